"""Whom numbers do not want to hear of."""

from alembic import op

revision = "sender_0004"
down_revision = "sender_0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE blocks (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            value text NOT NULL,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            waba_id text NOT NULL,
            wa_id text,
            user_id text,
            partition int NOT NULL,
            request_id uuid NOT NULL,
            blocks boolean NOT NULL,
            state text NOT NULL,
            blocked boolean NOT NULL DEFAULT false,
            code text,
            error_code int,
            attempts int NOT NULL DEFAULT 0,
            next_at timestamptz NOT NULL,
            changed_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value, phone_number_id)
        )
    """)
    op.execute(
        "COMMENT ON TABLE blocks IS 'whom a number has blocked, as Meta has it (blocked), and what was asked for last "
        "(blocks): kept for as long as it holds, for longer than the log has it'"
    )
    op.execute("CREATE INDEX blocks_due ON blocks (next_at) WHERE state = 'asked'")
    op.execute("CREATE UNIQUE INDEX blocks_requests ON blocks (request_id)")
    op.execute("CREATE INDEX blocks_forgotten ON blocks (forgotten_as)")
    op.execute("CREATE INDEX blocks_forgotten_everywhere ON blocks (forgotten_everywhere_as)")
