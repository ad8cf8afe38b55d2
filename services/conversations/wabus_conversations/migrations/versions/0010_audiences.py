"""Whom conversations are for, so that agents can see those of their teams alone."""

from alembic import op

revision = "conversations_0010"
down_revision = "conversations_0009"


def upgrade() -> None:
    op.execute("ALTER TABLE work_settings ADD COLUMN agents_see text CHECK (agents_see IN ('all', 'teams'))")
    op.execute("COMMENT ON COLUMN work_settings.agents_see IS 'what agents see of conversations; null is all'")
    op.execute("ALTER TABLE conversation_work ADD COLUMN kept text")
    op.execute("COMMENT ON COLUMN conversation_work.kept IS 'whom it is for where who has it does not say that'")
    op.execute("""
        ALTER TABLE conversations
            ADD COLUMN kept text,
            ADD COLUMN left_audiences text[] NOT NULL DEFAULT '{}'
    """)
    op.execute(
        "COMMENT ON COLUMN conversations.left_audiences IS 'whom it was for before, and who had it, the newest first'"
    )
    # Only what somebody has had is in these: who does not use them pays nothing for them.
    op.execute("""
        CREATE INDEX conversations_audience ON conversations
            (org_id, (coalesce('team ' || team, kept, 'agent ' || agent, '')), sorted_at DESC, conversation_id)
            WHERE team IS NOT NULL OR kept IS NOT NULL OR agent IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX conversations_nobodys ON conversations (org_id, sorted_at DESC, conversation_id)
            WHERE team IS NULL AND kept IS NULL AND agent IS NULL AND (bot IS NOT NULL OR work_state <> 'open')
    """)


def downgrade() -> None:
    op.execute("DROP INDEX conversations_nobodys, conversations_audience")
    op.execute("""
        ALTER TABLE conversations DROP COLUMN kept, DROP COLUMN left_audiences
    """)
    op.execute("ALTER TABLE conversation_work DROP COLUMN kept")
    op.execute("ALTER TABLE work_settings DROP COLUMN agents_see")
