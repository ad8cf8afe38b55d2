"""Files on their way to Meta."""

from alembic import op

revision = "sender_0002"
down_revision = "sender_0001"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE uploads (
            upload_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            content_type text NOT NULL,
            state text NOT NULL,
            size bigint NOT NULL DEFAULT 0,
            parts int NOT NULL DEFAULT 0,
            attempts int NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            next_at timestamptz NOT NULL,
            media_id text,
            ends_at timestamptz,
            refusal text,
            error_code int
        )
    """)
    op.execute("COMMENT ON TABLE uploads IS 'files that somebody has Meta keep; no fold, and nothing is lost with it'")
    op.execute("COMMENT ON COLUMN uploads.state IS 'arriving from the client, waiting for Meta, stored there, refused'")
    op.execute("CREATE INDEX uploads_due ON uploads (next_at) WHERE state = 'waiting'")
    op.execute("CREATE INDEX uploads_open ON uploads (org_id) WHERE state IN ('arriving', 'waiting')")
    op.execute("CREATE INDEX uploads_age ON uploads (created_at)")
    # Gone within moments: after a crash of PostgreSQL somebody sends the file once more.
    op.execute("""
        CREATE UNLOGGED TABLE upload_parts (
            upload_id uuid NOT NULL REFERENCES uploads ON DELETE CASCADE,
            number int NOT NULL,
            content bytea NOT NULL,
            PRIMARY KEY (upload_id, number)
        )
    """)
    op.execute("ALTER TABLE upload_parts ALTER COLUMN content SET STORAGE EXTERNAL")
    op.execute("COMMENT ON TABLE upload_parts IS 'the bytes of files that Meta does not have yet'")
