"""Media: what is wanted and what became of it, which content is where in the store, and what is to be deleted there."""

from alembic import op

revision = "conversations_0005"
down_revision = "conversations_0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE media_objects (
            org_id text NOT NULL,
            sha256 bytea NOT NULL,
            key text NOT NULL UNIQUE,
            bytes bigint NOT NULL,
            type text,
            stored_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, sha256)
        )
    """)
    op.execute("COMMENT ON TABLE media_objects IS 'content that is stored, once for an organisation'")
    op.execute("COMMENT ON COLUMN media_objects.key IS 'where in the store'")
    op.execute("COMMENT ON COLUMN media_objects.type IS 'its MIME type by its content'")
    op.execute("""
        CREATE TABLE media (
            media_id uuid PRIMARY KEY,
            message_id uuid NOT NULL UNIQUE,
            wamid text NOT NULL,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            contact text NOT NULL,
            people text[] NOT NULL,
            at timestamptz NOT NULL,
            kind text NOT NULL,
            meta_id text NOT NULL,
            url text,
            type_told text,
            name text,
            sha256_told bytea,
            deadline timestamptz NOT NULL,
            state text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'stored', 'lost', 'refused', 'gone')),
            reason text,
            attempts int NOT NULL DEFAULT 0,
            differed int NOT NULL DEFAULT 0,
            due_at timestamptz NOT NULL,
            leased_until timestamptz,
            sha256 bytea,
            decided_at timestamptz,
            announced boolean NOT NULL DEFAULT false,
            FOREIGN KEY (org_id, sha256) REFERENCES media_objects (org_id, sha256)
        )
    """)
    op.execute(
        "COMMENT ON COLUMN media.contact IS 'with whom, or in which group: as in the key of the message''s event'"
    )
    op.execute("COMMENT ON COLUMN media.people IS 'the number and user id of whose message it is'")
    op.execute("COMMENT ON COLUMN media.meta_id IS 'Meta''s id of it, which ends at the deadline'")
    op.execute("COMMENT ON COLUMN media.due_at IS 'of the next attempt; during one, when that counts as lost'")
    op.execute("COMMENT ON COLUMN media.reason IS 'why the last attempt failed'")
    op.execute("COMMENT ON COLUMN media.announced IS 'whether it was published that it is stored, or lost'")
    op.execute("CREATE INDEX media_due ON media (org_id, due_at) WHERE state = 'wanted'")
    op.execute("CREATE INDEX media_same ON media (org_id, sha256_told) WHERE state = 'wanted'")
    op.execute("CREATE INDEX media_leased ON media (leased_until) WHERE state = 'wanted' AND leased_until IS NOT NULL")
    op.execute("CREATE INDEX media_object ON media (org_id, sha256) WHERE sha256 IS NOT NULL")
    op.execute("CREATE INDEX media_account ON media (waba_id)")
    op.execute("""
        CREATE INDEX media_unannounced ON media (decided_at)
            WHERE NOT announced AND state IN ('stored', 'lost', 'refused')
    """)
    op.execute("""
        CREATE TABLE media_leftovers (
            key text PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text,
            people text[] NOT NULL DEFAULT '{}',
            due_at timestamptz NOT NULL,
            attempts int NOT NULL DEFAULT 0
        )
    """)
    op.execute("""
        COMMENT ON TABLE media_leftovers IS
            'places in the store that nothing leads to: what is being written, if that never ends, and what is deleted'
    """)
    op.execute("CREATE INDEX media_leftovers_due ON media_leftovers (due_at)")


def downgrade() -> None:
    op.execute("DROP TABLE media_leftovers, media, media_objects")
