"""When Meta last reached us about each WABA, which the times of messages do not tell: they may come days late."""

from alembic import op

revision = "health_projector_0005"
down_revision = "health_projector_0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE webhook_arrivals (
            waba_id text PRIMARY KEY,
            last_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON COLUMN webhook_arrivals.last_at IS 'when the newest event was logged that a webhook led to'")


def downgrade() -> None:
    op.execute("DROP TABLE webhook_arrivals")
