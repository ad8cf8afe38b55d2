"""Accounts, templates and syncs as `fold.py` adds them up from accounts.v1 and templates.v1."""

from alembic import op

revision = "template_sync_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE template_accounts (
            waba_id text PRIMARY KEY,
            org_id text,
            connected boolean NOT NULL,
            sync_id text,
            connected_at timestamptz,
            connected_id text,
            disconnected_at timestamptz,
            disconnected_id text,
            created_at timestamptz
        )
    """)
    op.execute("CREATE INDEX ON template_accounts (org_id) WHERE connected")
    op.execute("""
        CREATE TABLE templates (
            waba_id text NOT NULL,
            template_id text NOT NULL,
            name text,
            language text,
            category text,
            status text,
            quality text,
            rejected_reason text,
            template jsonb,
            listed_at timestamptz,
            listed_id text,
            present boolean NOT NULL,
            presence_at timestamptz,
            presence_id text,
            told jsonb NOT NULL,
            removed_at timestamptz,
            created_at timestamptz,
            updated_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, template_id)
        )
    """)
    op.execute("""
        CREATE TABLE template_syncs (
            sync_id text PRIMARY KEY,
            waba_id text NOT NULL,
            org_id text,
            reason text,
            status text NOT NULL,
            asked_at timestamptz NOT NULL,
            requested_at timestamptz,
            requested_by text,
            begun_at timestamptz,
            started_at timestamptz,
            finished_at timestamptz,
            outcome_id text,
            figures jsonb NOT NULL,
            error jsonb NOT NULL
        )
    """)
    op.execute("CREATE INDEX ON template_syncs (waba_id, asked_at DESC)")
    op.execute("CREATE INDEX ON template_syncs (waba_id, started_at DESC) WHERE status = 'synced'")


def downgrade() -> None:
    op.execute("DROP TABLE template_accounts, templates, template_syncs")
