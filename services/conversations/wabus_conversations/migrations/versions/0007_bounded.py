"""What bounds a search, the list of windows that may be open, and who is in groups only."""

from alembic import op

revision = "conversations_0007"
down_revision = "conversations_0006"


def upgrade() -> None:
    # Of a word that many messages have the newest are found by their time, without sorting all of them.
    op.execute("CREATE INDEX messages_said ON messages (org_id, at DESC, message_id DESC) WHERE text IS NOT NULL")
    op.execute("CREATE INDEX conversations_maybe ON conversations (org_id, maybe_at) WHERE maybe_at IS NOT NULL")
    op.execute("""
        CREATE INDEX messages_in_groups ON messages (coalesce(user_id, wa_id)) WHERE group_id IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX message_statuses_in_groups ON message_statuses (coalesce(user_id, wa_id))
            WHERE participant <> ''
    """)


def downgrade() -> None:
    op.execute("DROP INDEX message_statuses_in_groups, messages_in_groups, conversations_maybe, messages_said")
