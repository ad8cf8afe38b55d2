"""Who came by an ad or a button of a page, and until when messages to them are free because of it."""

from alembic import op

revision = "sender_0013"
down_revision = "sender_0012"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE free_entries (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            value text NOT NULL,
            referred_at timestamptz,
            answered_at timestamptz,
            answered_before timestamptz,
            reported_until timestamptz,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value, phone_number_id)
        )
    """)
    op.execute("COMMENT ON TABLE free_entries IS 'who came by an ad or a button of a page, and was answered when'")
    op.execute("COMMENT ON COLUMN free_entries.referred_at IS 'when they came last'")
    op.execute("COMMENT ON COLUMN free_entries.answered_at IS 'the first answer since then, if it was within a day'")
    op.execute("COMMENT ON COLUMN free_entries.answered_before IS 'the same of when they came before'")
    op.execute("COMMENT ON COLUMN free_entries.reported_until IS 'until when Meta says that messages are free'")
    op.execute("COMMENT ON COLUMN free_entries.at IS 'when the last of it was'")
