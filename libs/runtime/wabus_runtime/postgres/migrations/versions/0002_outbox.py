"""Events that wait to be delivered to others as webhooks."""

from alembic import op

revision = "runtime_0002"
down_revision = "runtime_0001"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE outbox (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            outbox text NOT NULL,
            endpoint text NOT NULL,
            lane text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            log_offset bigint NOT NULL,
            key bytea NOT NULL,
            value bytea NOT NULL,
            headers jsonb NOT NULL,
            attempts int NOT NULL DEFAULT 0,
            due_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX outbox_lanes ON outbox (outbox, endpoint, lane, id)")
    op.execute("CREATE INDEX outbox_offsets ON outbox (outbox, topic, partition, log_offset)")
    op.execute("COMMENT ON COLUMN outbox.lane IS 'what is delivered one after the other: an organisation'")
    op.execute("COMMENT ON COLUMN outbox.due_at IS 'of the next attempt; during one, when that counts as lost'")


def downgrade() -> None:
    op.execute("DROP TABLE outbox")
