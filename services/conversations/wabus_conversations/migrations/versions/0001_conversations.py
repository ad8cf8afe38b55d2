"""Persons and their identifiers, conversations, messages and statuses by month, and what decides what is kept."""

from alembic import op

revision = "conversations_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE service_start (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            started_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE service_start IS 'first start of all: nothing older than that is unread'")
    op.execute("""
        CREATE TABLE scopes (
            org_id text NOT NULL,
            waba_id text NOT NULL,
            scope text NOT NULL,
            PRIMARY KEY (org_id, waba_id)
        )
    """)
    op.execute("COMMENT ON COLUMN scopes.scope IS 'the portfolio, or the WABA where it was not known at first'")
    op.execute("""
        CREATE TABLE identifiers (
            identifier_id uuid PRIMARY KEY,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            org_id text NOT NULL,
            scope text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('user_id', 'wa_id')),
            value text NOT NULL,
            first_seen timestamptz NOT NULL,
            cluster uuid NOT NULL,
            person_id uuid NOT NULL,
            holder_id uuid NOT NULL,
            paired uuid,
            paired_at timestamptz,
            contested boolean NOT NULL DEFAULT false,
            book_name text,
            book_at timestamptz
        )
    """)
    op.execute(
        "COMMENT ON COLUMN identifiers.identifier_id IS 'HMAC of scope, kind and value: a person''s id, or once'"
    )
    op.execute("COMMENT ON COLUMN identifiers.forgotten_as IS 'what ContactForgotten of the organisation names it by'")
    op.execute("COMMENT ON COLUMN identifiers.forgotten_everywhere_as IS 'the same for that of all organisations'")
    op.execute("COMMENT ON COLUMN identifiers.cluster IS 'what Meta ever linked; one person, or several in turn'")
    op.execute(
        "COMMENT ON COLUMN identifiers.person_id IS 'whose it was first: to whom its id, if a former one, leads'"
    )
    op.execute("COMMENT ON COLUMN identifiers.holder_id IS 'whose it is now: another than at first if passed on'")
    op.execute("COMMENT ON COLUMN identifiers.paired IS 'of a wa_id: the user_id it came with last, and since when'")
    op.execute(
        "COMMENT ON COLUMN identifiers.contested IS 'of a wa_id: whose it is depends on each item that named it'"
    )
    op.execute("COMMENT ON COLUMN identifiers.book_name IS 'its name in the address book of the phone app'")
    op.execute("CREATE INDEX identifiers_value ON identifiers (org_id, value)")
    op.execute("CREATE INDEX identifiers_forgotten ON identifiers (forgotten_as)")
    op.execute("CREATE INDEX identifiers_forgotten_everywhere ON identifiers (forgotten_everywhere_as)")
    op.execute("CREATE INDEX identifiers_cluster ON identifiers (cluster)")
    op.execute("CREATE INDEX identifiers_person ON identifiers (person_id)")
    op.execute("""
        CREATE TABLE identity_evidence (
            kind text NOT NULL CHECK (kind IN ('together', 'became', 'moved', 'same')),
            first uuid NOT NULL,
            second uuid NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (kind, first, second, at)
        )
    """)
    op.execute("COMMENT ON TABLE identity_evidence IS 'what Meta told of identifiers beside messages and statuses'")
    op.execute("CREATE INDEX identity_evidence_first ON identity_evidence (first)")
    op.execute("CREATE INDEX identity_evidence_second ON identity_evidence (second)")
    op.execute("""
        CREATE TABLE persons (
            person_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            scope text NOT NULL,
            first_seen timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX persons_org ON persons (org_id, first_seen, person_id)")
    op.execute("""
        CREATE TABLE conversations (
            conversation_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            person_id uuid,
            group_id text,
            first_at timestamptz NOT NULL,
            last_at timestamptz,
            last_tie bigint,
            last_message_id uuid,
            history_at timestamptz,
            unread int NOT NULL DEFAULT 0,
            user_last_at timestamptz,
            maybe_at timestamptz,
            refused_at timestamptz,
            referred_at timestamptz,
            free_computed_until timestamptz,
            free_reported_until timestamptz,
            name text,
            name_at timestamptz,
            username text,
            username_at timestamptz,
            version bigint NOT NULL DEFAULT 1,
            sorted_at timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(last_at, history_at, first_at)) STORED,
            CHECK ((person_id IS NULL) <> (group_id IS NULL))
        )
    """)
    op.execute("COMMENT ON COLUMN conversations.last_at IS 'last activity: live messages only, by Meta''s time'")
    op.execute("COMMENT ON COLUMN conversations.history_at IS 'the newest message that only the history has brought'")
    op.execute("COMMENT ON COLUMN conversations.user_last_at IS 'the last message or call that opens the window'")
    op.execute(
        "COMMENT ON COLUMN conversations.maybe_at IS 'the last reaction, edit or revoke: of these Meta is silent'"
    )
    op.execute(
        "COMMENT ON COLUMN conversations.refused_at IS 'when Meta last refused a message for the window, 131047'"
    )
    op.execute("COMMENT ON COLUMN conversations.version IS 'one more whenever something about it may have changed'")
    op.execute("CREATE INDEX conversations_list ON conversations (org_id, sorted_at DESC, conversation_id)")
    op.execute("""
        CREATE INDEX conversations_unread ON conversations (org_id, sorted_at DESC, conversation_id) WHERE unread > 0
    """)
    op.execute("CREATE INDEX conversations_person ON conversations (person_id) WHERE person_id IS NOT NULL")
    op.execute("""
        CREATE TABLE former_conversations (
            conversation_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            identifier_id uuid NOT NULL
        )
    """)
    op.execute("""
        COMMENT ON TABLE former_conversations IS
            'ids that conversations have had: each leads to that of the person whose identifier it is, at this number'
    """)
    op.execute("CREATE INDEX former_conversations_identifier ON former_conversations (identifier_id)")
    op.execute("""
        CREATE TABLE message_places (
            message_id uuid PRIMARY KEY,
            month date NOT NULL,
            gone boolean NOT NULL DEFAULT false
        )
    """)
    op.execute("COMMENT ON COLUMN message_places.month IS 'the partition in which the message and its statuses are'")
    op.execute("COMMENT ON COLUMN message_places.gone IS 'erased, or past its retention: nothing of it is kept again'")
    op.execute("""
        CREATE TABLE messages (
            month date NOT NULL,
            message_id uuid NOT NULL,
            wamid text NOT NULL,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            conversation_id uuid NOT NULL,
            at timestamptz NOT NULL,
            tie bigint NOT NULL,
            source smallint NOT NULL,
            outgoing boolean NOT NULL,
            kind text NOT NULL,
            type text NOT NULL,
            wa_id uuid,
            user_id uuid,
            group_id text,
            name text,
            username text,
            content jsonb,
            altered boolean NOT NULL DEFAULT false,
            text text,
            about_id uuid,
            context_id uuid,
            opens smallint NOT NULL DEFAULT 0,
            unread boolean NOT NULL DEFAULT false,
            referred boolean NOT NULL DEFAULT false,
            standby boolean NOT NULL DEFAULT false,
            state smallint NOT NULL DEFAULT 0,
            sent_at timestamptz,
            delivered_at timestamptz,
            read_at timestamptz,
            played_at timestamptz,
            failed_at timestamptz,
            refused_at timestamptz,
            free_until timestamptz,
            PRIMARY KEY (month, message_id)
        ) PARTITION BY LIST (month)
    """)
    op.execute("CREATE TABLE messages_default PARTITION OF messages DEFAULT WITH (fillfactor = 85)")
    op.execute("COMMENT ON COLUMN messages.source IS 'Source: from 1, a status alone, to 7, received'")
    op.execute("COMMENT ON COLUMN messages.tie IS 'the order of messages of one second: the log''s'")
    op.execute("COMMENT ON COLUMN messages.kind IS 'message, call, system, or reaction, edit, revoke: about another'")
    op.execute("COMMENT ON COLUMN messages.content IS 'the message as Meta sent it'")
    op.execute("COMMENT ON COLUMN messages.altered IS 'whether characters that no table holds were replaced by U+FFFD'")
    op.execute("COMMENT ON COLUMN messages.opens IS 'the window: 2 opens it, 1 may open it, 0 does not'")
    op.execute("COMMENT ON COLUMN messages.state IS 'MessageState: the join of its statuses'")
    op.execute("CREATE INDEX messages_thread ON messages (conversation_id, at, tie, message_id)")
    op.execute("CREATE INDEX messages_about ON messages (about_id) WHERE about_id IS NOT NULL")
    op.execute("CREATE INDEX messages_referred ON messages (conversation_id) WHERE referred")
    op.execute("CREATE INDEX messages_paired ON messages (wa_id) WHERE wa_id IS NOT NULL AND user_id IS NOT NULL")
    op.execute("""
        CREATE INDEX messages_text ON messages
            USING gin ((to_tsvector('simple', text) || array_to_tsvector(ARRAY['org ' || org_id])))
            WHERE text IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE message_statuses (
            month date NOT NULL,
            message_id uuid NOT NULL,
            participant text NOT NULL,
            status text NOT NULL,
            at timestamptz NOT NULL,
            wa_id uuid,
            user_id uuid,
            content jsonb NOT NULL,
            PRIMARY KEY (month, message_id, participant, status)
        ) PARTITION BY LIST (month)
    """)
    op.execute("CREATE TABLE message_statuses_default PARTITION OF message_statuses DEFAULT")
    op.execute("""
        COMMENT ON COLUMN message_statuses.participant IS
            'whose status it is in a group; of a payment its digest, so that each attempt has its own; else empty'
    """)
    op.execute("""
        CREATE INDEX message_statuses_paired ON message_statuses (wa_id)
            WHERE wa_id IS NOT NULL AND user_id IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE contact_facts (
            phone_number_id text NOT NULL,
            identifier_id uuid NOT NULL,
            fact text NOT NULL,
            org_id text NOT NULL,
            value jsonb NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (phone_number_id, identifier_id, fact)
        )
    """)
    op.execute(
        "COMMENT ON COLUMN contact_facts.fact IS 'thread_owner, or preference and its category; the newest stands'"
    )
    op.execute("CREATE INDEX contact_facts_identifier ON contact_facts (identifier_id)")
    op.execute("""
        CREATE TABLE histories (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            phase int NOT NULL,
            progress int,
            chunk_order int,
            declined boolean NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, phone_number_id, phase)
        )
    """)
    op.execute("COMMENT ON TABLE histories IS 'how far a number''s history has come; phase -1: it was declined'")
    op.execute("""
        CREATE TABLE retention (
            org_id text PRIMARY KEY,
            days int NOT NULL CHECK (days BETWEEN 1 AND 730),
            at timestamptz NOT NULL
        )
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE retention, histories, contact_facts, message_statuses, messages, message_places,
            former_conversations, conversations, persons, identity_evidence, identifiers, scopes, service_start
    """)
