"""What has changed, for those who follow; the key of their cursors; tickets to follow by."""

from alembic import op

revision = "conversations_0004"
down_revision = "conversations_0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE changes (
            day date NOT NULL,
            org_id text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            log_offset bigint NOT NULL,
            subject uuid NOT NULL,
            parts uuid[]
        ) PARTITION BY RANGE (day)
    """)
    op.execute("CREATE TABLE changes_default PARTITION OF changes DEFAULT")
    op.execute("CREATE INDEX changes_place ON changes (org_id, topic, partition, log_offset)")
    op.execute("COMMENT ON COLUMN changes.subject IS 'the conversation'")
    op.execute("COMMENT ON COLUMN changes.parts IS 'the messages; null where the whole thread has to be read anew'")
    op.execute("COMMENT ON COLUMN changes.log_offset IS 'of a record that it follows from; beside the log a number'")
    op.execute("""
        CREATE TABLE feed_key (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            key bytea NOT NULL CHECK (length(key) = 32)
        )
    """)
    op.execute("COMMENT ON TABLE feed_key IS 'seals cursors; with another one nobody resumes, and all load anew'")
    op.execute("""
        INSERT INTO feed_key (key)
        VALUES (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'))
    """)


def downgrade() -> None:
    op.execute("DROP TABLE feed_key, changes")
