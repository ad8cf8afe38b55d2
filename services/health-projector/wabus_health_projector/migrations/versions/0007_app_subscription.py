"""What our app is subscribed to at Meta, as somebody who checks has read it last, for all who check."""

from alembic import op

revision = "health_projector_0007"
down_revision = "health_projector_0006"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE app_subscription (
            app_id text PRIMARY KEY,
            asked_at timestamptz NOT NULL,
            read_at timestamptz,
            callback_url text,
            fields text[] NOT NULL DEFAULT '{}',
            tries integer NOT NULL DEFAULT 0,
            tried_at timestamptz,
            refused text[] NOT NULL DEFAULT '{}'
        )
    """)
    op.execute("COMMENT ON TABLE app_subscription IS 'a schedule and what it found, not derived from the log'")
    op.execute("COMMENT ON COLUMN app_subscription.asked_at IS 'when somebody last took it on to ask Meta'")
    op.execute("COMMENT ON COLUMN app_subscription.tries IS 'subscribing failed so many times in a row'")
    op.execute("COMMENT ON COLUMN app_subscription.refused IS 'fields that Meta did not take at the last try'")


def downgrade() -> None:
    op.execute("DROP TABLE app_subscription")
