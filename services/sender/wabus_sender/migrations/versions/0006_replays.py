"""What a replay has brought back, until it is known what became of it."""

from alembic import op

revision = "sender_0006"
down_revision = "sender_0005"


def upgrade() -> None:
    op.execute("ALTER TABLE sends ADD COLUMN due_at timestamptz")
    op.execute(
        "COMMENT ON COLUMN sends.due_at IS 'set while the log is folded once more over these rows: what becomes "
        "next_at then. Until then the row was brought back, and what came of it may not be folded yet'"
    )
    op.execute("CREATE INDEX sends_brought_back ON sends (send_id) WHERE due_at IS NOT NULL")
