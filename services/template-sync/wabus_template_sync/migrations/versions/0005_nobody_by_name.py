"""Who asked for a sync is named by an HMAC; releases before wrote the platform's own id of the person, which goes.

The fold of the log leaves it out too, so that a rebuild finds the same rows.
"""

from alembic import op

revision = "template_sync_0005"
down_revision = "template_sync_0004"


def upgrade() -> None:
    op.execute("UPDATE template_syncs SET requested_by = NULL WHERE requested_by NOT LIKE 'hmac:%'")


def downgrade() -> None:
    pass
