"""Secrets that were rotated more than once a day, deliveries by their state, and what of the forgotten is gone."""

from alembic import op

revision = "subscriptions_0002"
down_revision = "subscriptions_0001"


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN rotations timestamptz[] NOT NULL DEFAULT '{}'")
    op.execute("UPDATE subscriptions SET rotations = ARRAY[rotated_at] WHERE rotated_at IS NOT NULL")
    op.execute("COMMENT ON COLUMN subscriptions.rotations IS 'when its last secrets were replaced, the newest first'")
    op.execute("CREATE INDEX deliveries_state ON deliveries (subscription_id, state, at DESC, event_id)")
    op.execute("CREATE TABLE cleared (outbox text PRIMARY KEY, revision bigint NOT NULL)")
    op.execute("""
        COMMENT ON COLUMN cleared.revision IS 'of erasures: what was waiting of whoever was forgotten up to it is gone'
    """)


def downgrade() -> None:
    op.execute("DROP TABLE cleared")
    op.execute("DROP INDEX deliveries_state")
    op.execute("ALTER TABLE subscriptions DROP COLUMN rotations")
