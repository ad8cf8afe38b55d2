"""What happens to what waits for a template that is paused, or a number that is stopped."""

from alembic import op

revision = "sender_0007"
down_revision = "sender_0006"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE policies (
            org_id text PRIMARY KEY,
            paused_template text NOT NULL,
            stopped_number text NOT NULL,
            changed_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE policies IS 'wait or refuse, as an organisation has chosen; no fold'")
