"""Lists of sends of a label, or in a state that few of them stay in, without reading all the others."""

from alembic import op

revision = "sender_0017"
down_revision = "sender_0016"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX sends_labelled ON sends (org_id, label, requested_at DESC, send_id) WHERE label IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX sends_in_state ON sends (org_id, state, requested_at DESC, send_id) WHERE state <> 'accepted'
    """)
