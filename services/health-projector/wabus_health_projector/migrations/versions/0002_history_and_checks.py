"""The history of health, and when each account was last compared with Graph."""

from alembic import op

revision = "health_projector_0002"
down_revision = "health_projector_0001"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE health_history (
            event_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            log_offset bigint NOT NULL,
            from_status text,
            to_status text NOT NULL,
            reasons jsonb NOT NULL,
            since timestamptz NOT NULL,
            at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE UNIQUE INDEX health_history_org_id ON health_history (org_id, log_offset)")
    op.execute("COMMENT ON COLUMN health_history.log_offset IS 'orders the changes of one organisation'")
    op.execute("""
        CREATE TABLE account_checks (
            waba_id text PRIMARY KEY,
            checked_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE account_checks IS 'a schedule, not derived from the log'")


def downgrade() -> None:
    op.execute("DROP TABLE account_checks, health_history")
