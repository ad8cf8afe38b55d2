"""Each template as it was told last, with the number of that version, and when Graph was asked for it.

What an earlier release told after a webhook may have been superseded already: those templates are in doubt until the
next comparison tells them once more.
"""

from alembic import op

revision = "template_sync_0003"
down_revision = "template_sync_0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE templates
            ADD COLUMN listed_number integer NOT NULL DEFAULT 0,
            ADD COLUMN presence_number integer NOT NULL DEFAULT 0,
            ADD COLUMN asked_at timestamptz,
            ADD COLUMN in_doubt boolean NOT NULL DEFAULT false
    """)
    op.execute("""
        UPDATE templates AS t SET asked_at = presence_at, in_doubt = t.version->>'source' = 'webhook' OR EXISTS (
            SELECT FROM template_versions AS v
            WHERE v.waba_id = t.waba_id AND v.template_id = t.template_id AND v.version->>'source' = 'webhook'
        )
        WHERE presence_at IS NOT NULL AND version IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("""
        ALTER TABLE templates
            DROP COLUMN listed_number, DROP COLUMN presence_number, DROP COLUMN asked_at, DROP COLUMN in_doubt
    """)
