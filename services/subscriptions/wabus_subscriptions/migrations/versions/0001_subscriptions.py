"""Who is told of what, where those are that are not told at once, and what became of what was told."""

from alembic import op

revision = "subscriptions_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE subscriptions (
            subscription_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            url text NOT NULL,
            types text[],
            description text NOT NULL DEFAULT '',
            status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'catching_up', 'paused')),
            reason text CHECK ((reason IS NULL) = (status <> 'paused')),
            paused_at timestamptz,
            failing_since timestamptz,
            position jsonb NOT NULL DEFAULT '[]',
            since timestamptz,
            generation int NOT NULL DEFAULT 1,
            rotated_at timestamptz,
            lease_owner uuid,
            lease_until timestamptz,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("COMMENT ON COLUMN subscriptions.types IS 'names of events; NULL for all'")
    op.execute("COMMENT ON COLUMN subscriptions.failing_since IS 'no attempt of after that has succeeded'")
    op.execute("""
        COMMENT ON COLUMN subscriptions.position IS
        'of one that is not active: up to which offset of each partition it was told'
    """)
    op.execute("COMMENT ON COLUMN subscriptions.since IS 'it shall be told what was logged from then on, too'")
    op.execute("COMMENT ON COLUMN subscriptions.generation IS 'of its secret; the one before signs for a while'")
    op.execute("CREATE INDEX subscriptions_org ON subscriptions (org_id, created_at, subscription_id)")
    op.execute("CREATE INDEX subscriptions_behind ON subscriptions (created_at) WHERE status = 'catching_up'")
    op.execute("""
        CREATE TABLE deliveries (
            subscription_id uuid NOT NULL REFERENCES subscriptions ON DELETE CASCADE,
            event_id text NOT NULL,
            org_id text NOT NULL,
            type text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            log_offset bigint NOT NULL,
            state text NOT NULL CHECK (state IN ('delivered', 'failing', 'given_up')),
            attempts int NOT NULL,
            status int,
            error text,
            seconds real NOT NULL,
            at timestamptz NOT NULL,
            next_at timestamptz,
            again_at timestamptz,
            PRIMARY KEY (subscription_id, event_id)
        )
    """)
    op.execute("COMMENT ON COLUMN deliveries.seconds IS 'of the last attempt, which ended at `at`'")
    op.execute("COMMENT ON COLUMN deliveries.again_at IS 'somebody asked for it once more, and it does not wait yet'")
    op.execute("CREATE INDEX deliveries_at ON deliveries (subscription_id, at DESC, event_id)")
    op.execute("CREATE INDEX deliveries_old ON deliveries (at)")
    op.execute("CREATE INDEX deliveries_org ON deliveries (org_id)")
    op.execute("CREATE INDEX deliveries_again ON deliveries (again_at) WHERE again_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP TABLE deliveries, subscriptions")
