"""The read model: one row an organisation, one row a WABA, and the counts of messages."""

from alembic import op

revision = "health_projector_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE webhook_health (
            id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            webhook_verified boolean NOT NULL,
            webhook_verified_at timestamptz,
            template_sync_status text NOT NULL
                CHECK (template_sync_status IN ('never', 'requested', 'syncing', 'synced', 'failed')),
            last_sync_at timestamptz,
            template_total int NOT NULL,
            template_approved int NOT NULL,
            last_error text,
            last_error_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT webhook_health_org_id UNIQUE (org_id)
        )
    """)
    op.execute("""
        CREATE TABLE waba_health (
            waba_id text PRIMARY KEY,
            org_id text,
            state jsonb NOT NULL DEFAULT '{}',
            templates jsonb NOT NULL DEFAULT '{}',
            attention jsonb NOT NULL DEFAULT '{}',
            created_at timestamptz,
            updated_at timestamptz
        )
    """)
    op.execute("CREATE INDEX waba_health_org_id ON waba_health (org_id)")
    op.execute("COMMENT ON COLUMN waba_health.state IS 'WabaHealth without its templates'")
    op.execute("COMMENT ON COLUMN waba_health.attention IS 'those of the templates that are not in good order'")
    op.execute("""
        CREATE TABLE message_counts (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            phone_number_id text NOT NULL,
            kind text NOT NULL,
            count bigint NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, phone_number_id, kind)
        )
    """)
    op.execute("CREATE INDEX message_counts_hour ON message_counts (hour)")
    op.execute("""
        CREATE TABLE message_errors (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            code int NOT NULL,
            count bigint NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, code)
        )
    """)
    op.execute("CREATE INDEX message_errors_hour ON message_errors (hour)")
    op.execute("""
        CREATE TABLE counted_events (
            event_id uuid PRIMARY KEY,
            partition int NOT NULL,
            day date NOT NULL
        )
    """)
    op.execute("CREATE INDEX counted_events_day ON counted_events (partition, day)")


def downgrade() -> None:
    op.execute("DROP TABLE counted_events, message_errors, message_counts, waba_health, webhook_health")
