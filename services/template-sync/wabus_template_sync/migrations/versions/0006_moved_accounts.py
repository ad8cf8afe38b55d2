"""For which organisation each template and version was told, so that an account that moves takes none of them along.

Those of before are given to the organisation whose sync had told them; where that is not known any more they show to
whoever has the account, as they did.
"""

from alembic import op

revision = "template_sync_0006"
down_revision = "template_sync_0005"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE templates ADD COLUMN org_id text, ADD COLUMN number_before integer NOT NULL DEFAULT 0
    """)
    op.execute("COMMENT ON COLUMN templates.org_id IS 'for whom it was told last'")
    op.execute("ALTER TABLE template_versions ADD COLUMN org_id text")
    op.execute("""
        UPDATE templates AS t SET org_id = (
            SELECT s.org_id FROM template_syncs AS s
            WHERE s.waba_id = t.waba_id AND s.status = 'synced' AND s.started_at <= t.presence_at
            ORDER BY s.started_at DESC LIMIT 1
        ) WHERE presence_at IS NOT NULL
    """)
    op.execute("""
        UPDATE template_versions AS v SET org_id = (
            SELECT s.org_id FROM template_syncs AS s
            WHERE s.waba_id = v.waba_id AND s.status = 'synced' AND s.started_at <= (v.version->>'at')::timestamptz
            ORDER BY s.started_at DESC LIMIT 1
        )
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE template_versions DROP COLUMN org_id")
    op.execute("ALTER TABLE templates DROP COLUMN org_id, DROP COLUMN number_before")
