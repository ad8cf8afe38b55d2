"""Sends that wait because a label or template is paused, by what they wait for, of which there are few kinds."""

from alembic import op

revision = "sender_0019"
down_revision = "sender_0018"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX sends_held_kinds ON sends (partition, org_id, phone_number_id, waba_id, coalesce(label, ''),
            coalesce(template_name, ''), coalesce(template_language, '')) WHERE held AND state = 'queued'
    """)
    op.execute("DROP INDEX sends_held")
