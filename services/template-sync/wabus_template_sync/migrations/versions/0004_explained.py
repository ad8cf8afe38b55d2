"""What Meta's webhooks last said beside a template's status, and when it was last no longer paused or rejected."""

from alembic import op

revision = "template_sync_0004"
down_revision = "template_sync_0003"


def upgrade() -> None:
    op.execute("ALTER TABLE templates ADD COLUMN explained jsonb, ADD COLUMN left_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE templates DROP COLUMN explained, DROP COLUMN left_at")
