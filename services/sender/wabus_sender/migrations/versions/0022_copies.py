"""When somebody last wrote to another responder, which may be told before that one was handed the person."""

from alembic import op

revision = "sender_0022"
down_revision = "sender_0021"


def upgrade() -> None:
    op.execute("ALTER TABLE thread_owners ADD COLUMN copied_at timestamptz")
    op.execute(
        "COMMENT ON COLUMN thread_owners.copied_at IS 'when they last wrote to another responder, by a copy of it'"
    )


def downgrade() -> None:
    op.execute("DELETE FROM thread_owners WHERE at = '-infinity'")
    op.execute("ALTER TABLE thread_owners DROP COLUMN copied_at")
