"""Which organisations' agents see the sends alone that they asked for."""

from alembic import op

revision = "sender_0015"
down_revision = "sender_0014"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE agents_see (
            org_id text PRIMARY KEY,
            what text NOT NULL CHECK (what IN ('all', 'teams')),
            at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE agents_see IS 'as conversations.v1 told last; outlives the topic'")
    op.execute("""
        CREATE INDEX sends_requested_by ON sends (org_id, requested_by, requested_at DESC, send_id)
            WHERE requested_by IS NOT NULL
    """)
