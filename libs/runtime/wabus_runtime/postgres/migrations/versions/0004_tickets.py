"""Tickets: what an address may have in place of a token."""

from alembic import op

revision = "runtime_0004"
down_revision = "runtime_0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE tickets (
            digest bytea PRIMARY KEY,
            purpose text NOT NULL,
            org_id text NOT NULL,
            role text NOT NULL,
            subject text,
            token_expires_at double precision NOT NULL,
            ends_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON COLUMN tickets.digest IS 'SHA-256 of the ticket, which nobody has but whom it was given to'")
    op.execute("COMMENT ON COLUMN tickets.purpose IS 'the one thing that it is good for'")
    op.execute("CREATE INDEX tickets_end ON tickets (ends_at)")


def downgrade() -> None:
    op.execute("DROP TABLE tickets")
