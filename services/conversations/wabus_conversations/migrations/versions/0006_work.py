"""What people do with conversations: who has one, its state, tags and notes; teams, rules, and who is there."""

from alembic import op

revision = "conversations_0006"
down_revision = "conversations_0005"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE conversation_work (
            conversation_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            agent text,
            bot text,
            team text,
            assigned_at timestamptz,
            assigned_by text,
            reason text,
            rule text,
            put text CHECK (put IN ('closed', 'snoozed')),
            put_id uuid,
            put_at timestamptz,
            put_by text,
            up_to_at timestamptz,
            up_to_tie bigint,
            snoozed_until timestamptz,
            leased_until timestamptz,
            last_agent text,
            last_closed_at timestamptz,
            read_at timestamptz,
            read_tie bigint,
            tags text[] NOT NULL DEFAULT '{}',
            last_at timestamptz NOT NULL,
            written_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("COMMENT ON TABLE conversation_work IS 'the fold of conversations.v1; outlives the topic'")
    op.execute("COMMENT ON COLUMN conversation_work.put IS 'what it was put to, until the person writes again'")
    op.execute("COMMENT ON COLUMN conversation_work.up_to_at IS 'the last message of the person that was there then'")
    op.execute("COMMENT ON COLUMN conversation_work.last_agent IS 'who had it when it was closed'")
    op.execute("CREATE INDEX conversation_work_org ON conversation_work (org_id, waba_id)")
    op.execute("CREATE INDEX conversation_work_written ON conversation_work (written_at)")
    op.execute("""
        CREATE INDEX conversation_work_snoozed ON conversation_work (snoozed_until) WHERE snoozed_until IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE work_events (
            event_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text,
            conversation_id uuid,
            at timestamptz NOT NULL,
            outcome text NOT NULL
        )
    """)
    op.execute(
        "COMMENT ON TABLE work_events IS 'which events of conversations.v1 are folded, and whether they counted'"
    )
    op.execute("CREATE INDEX work_events_at ON work_events (at)")
    op.execute("CREATE INDEX work_events_org ON work_events (org_id, waba_id, at)")
    op.execute("CREATE INDEX work_events_conversation ON work_events (conversation_id)")
    op.execute("""
        CREATE TABLE notes (
            note_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            conversation_id uuid NOT NULL,
            at timestamptz NOT NULL,
            author text,
            text text NOT NULL
        )
    """)
    op.execute("CREATE INDEX notes_conversation ON notes (conversation_id, at, note_id)")
    op.execute("CREATE INDEX notes_org ON notes (org_id, waba_id)")
    op.execute("""
        CREATE TABLE work_settings (
            org_id text PRIMARY KEY,
            teams jsonb NOT NULL DEFAULT '[]',
            teams_id uuid,
            teams_at timestamptz,
            rules jsonb NOT NULL DEFAULT '[]',
            rules_id uuid,
            rules_at timestamptz,
            rules_since timestamptz,
            looked_at timestamptz,
            leased_until timestamptz
        )
    """)
    op.execute("COMMENT ON COLUMN work_settings.rules_since IS 'since when there are any: nothing older is routed'")
    op.execute("""
        CREATE TABLE agent_turns (
            org_id text NOT NULL,
            agent text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, agent)
        )
    """)
    op.execute("COMMENT ON TABLE agent_turns IS 'when rules gave somebody a conversation last: whose turn it is'")
    op.execute("""
        CREATE TABLE presence (
            org_id text NOT NULL,
            subject text NOT NULL,
            process uuid NOT NULL,
            until timestamptz NOT NULL,
            PRIMARY KEY (org_id, subject, process)
        )
    """)
    op.execute("COMMENT ON TABLE presence IS 'who of the agents has the feed open, at which process, and until when'")
    op.execute("CREATE INDEX presence_until ON presence (until)")
    op.execute("""
        ALTER TABLE conversations
            ADD COLUMN heard_at timestamptz,
            ADD COLUMN heard_tie bigint,
            ADD COLUMN up_to_at timestamptz,
            ADD COLUMN up_to_tie bigint,
            ADD COLUMN work_state text NOT NULL DEFAULT 'open',
            ADD COLUMN agent text,
            ADD COLUMN bot text,
            ADD COLUMN team text,
            ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
            ADD COLUMN route_after timestamptz
    """)
    op.execute("COMMENT ON COLUMN conversations.heard_at IS 'the last message or call of the person, with its tie'")
    op.execute("COMMENT ON COLUMN conversations.work_state IS 'as conversation_work has it, and what was heard since'")
    op.execute("COMMENT ON COLUMN conversations.route_after IS 'no rule is asked about it before'")
    for column in ("agent", "team"):
        op.execute(f"""
            CREATE INDEX conversations_{column} ON conversations (org_id, {column}, sorted_at DESC, conversation_id)
                WHERE {column} IS NOT NULL
        """)
    op.execute("""
        CREATE INDEX conversations_put ON conversations (org_id, work_state, sorted_at DESC, conversation_id)
            WHERE work_state <> 'open'
    """)
    op.execute("""
        CREATE INDEX conversations_untaken ON conversations (org_id, sorted_at DESC, conversation_id)
            WHERE agent IS NULL AND bot IS NULL AND work_state = 'open'
    """)
    op.execute("CREATE INDEX conversations_tags ON conversations USING gin (tags) WHERE tags <> '{}'")


def downgrade() -> None:
    op.execute("DROP INDEX conversations_agent, conversations_team, conversations_put, conversations_untaken")
    op.execute("""
        ALTER TABLE conversations DROP COLUMN heard_at, DROP COLUMN heard_tie, DROP COLUMN up_to_at,
            DROP COLUMN up_to_tie, DROP COLUMN work_state, DROP COLUMN agent, DROP COLUMN bot, DROP COLUMN team,
            DROP COLUMN tags, DROP COLUMN route_after
    """)
    op.execute("DROP TABLE presence, agent_turns, work_settings, notes, work_events, conversation_work")
