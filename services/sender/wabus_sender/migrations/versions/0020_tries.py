"""How often Meta was in trouble for a send, so that it is not tried for ever by workers that end in between."""

from alembic import op

revision = "sender_0020"
down_revision = "sender_0019"


def upgrade() -> None:
    op.execute("ALTER TABLE sends ADD COLUMN tries int NOT NULL DEFAULT 0")
    op.execute("COMMENT ON COLUMN sends.tries IS 'at how many attempts Meta was in trouble'")


def downgrade() -> None:
    op.execute("ALTER TABLE sends DROP COLUMN tries")
