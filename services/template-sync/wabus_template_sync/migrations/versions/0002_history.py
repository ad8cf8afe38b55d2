"""Versions of templates, syncs that become visible at once, when each account is due, progress, search.

The tables are folds of Kafka: they are emptied here, and read from the beginning again.
"""

from alembic import op

revision = "template_sync_0002"
down_revision = "template_sync_0001"


def upgrade() -> None:
    op.execute("TRUNCATE template_accounts, templates, template_syncs")
    op.execute("UPDATE projection_offsets SET next_offset = 0 WHERE projection = 'template-sync-projection'")
    op.execute("""
        ALTER TABLE templates
            ADD COLUMN fingerprint text,
            ADD COLUMN search text,
            ADD COLUMN version jsonb
    """)
    op.execute("CREATE INDEX ON templates (waba_id) WHERE told <> '{}'")
    op.execute("CREATE INDEX ON templates (template_id)")
    op.execute("CREATE INDEX ON template_syncs (waba_id, finished_at DESC) WHERE status IN ('synced', 'failed')")
    op.execute("ALTER TABLE template_syncs ADD COLUMN progress jsonb NOT NULL DEFAULT '{}'")
    op.execute("""
        CREATE TABLE template_versions (
            waba_id text NOT NULL,
            template_id text NOT NULL,
            number integer NOT NULL,
            event_id text NOT NULL,
            version jsonb NOT NULL,
            template jsonb,
            PRIMARY KEY (waba_id, template_id, number)
        )
    """)
    op.execute("""
        CREATE TABLE template_staged (
            sync_id text NOT NULL,
            position bigint NOT NULL,
            event jsonb NOT NULL,
            PRIMARY KEY (sync_id, position)
        )
    """)
    op.execute("""
        CREATE TABLE template_sync_requests (
            request_id text PRIMARY KEY,
            waba_id text NOT NULL,
            sync_id text NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE template_schedules (
            waba_id text PRIMARY KEY,
            asked_at timestamptz,
            asked_sync_id text,
            ended_at timestamptz,
            ended_sync_id text,
            failures integer NOT NULL,
            retryable boolean NOT NULL,
            retry_at timestamptz
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE template_versions, template_staged, template_sync_requests, template_schedules")
    op.execute("ALTER TABLE template_syncs DROP COLUMN progress")
    op.execute("ALTER TABLE templates DROP COLUMN fingerprint, DROP COLUMN search, DROP COLUMN version")
