"""Sends, the keys by which they were asked for, and what has to be known before Meta is asked."""

from alembic import op

revision = "sender_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE sends (
            send_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            partition int NOT NULL,
            sequence bigint NOT NULL,
            lane text NOT NULL,
            kind text NOT NULL,
            wa_id text,
            user_id text,
            conversation_id uuid,
            message jsonb NOT NULL,
            template_name text,
            template_language text,
            template_id text,
            template_version int,
            label text,
            metadata text,
            requested_by text,
            again_of uuid,
            requested_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            state text NOT NULL,
            next_at timestamptz NOT NULL,
            claimed int NOT NULL DEFAULT 0,
            owner uuid,
            called_at timestamptz,
            returned jsonb,
            lost jsonb,
            refusal jsonb,
            acceptance jsonb,
            settled_at timestamptz,
            settled_wamid text,
            cancelled_at timestamptz,
            expired_at timestamptz,
            held boolean NOT NULL DEFAULT false,
            changed_at timestamptz NOT NULL,
            CHECK (wa_id IS NOT NULL OR user_id IS NOT NULL)
        ) WITH (fillfactor = 80)
    """)
    op.execute("COMMENT ON COLUMN sends.partition IS 'of sends.v1: its owner alone calls Meta for the number'")
    op.execute("COMMENT ON COLUMN sends.sequence IS 'offset of the request: the order in which it was asked'")
    op.execute("COMMENT ON COLUMN sends.next_at IS 'not before; not a fact: when whoever owns it looks at it again'")
    op.execute(
        "COMMENT ON COLUMN sends.claimed IS 'the highest attempt; written before the call, and told as SendClaimed'"
    )
    op.execute(
        "COMMENT ON COLUMN sends.owner IS 'who claimed it last: the id beside the offsets of its partition then'"
    )
    op.execute("""
        CREATE INDEX sends_due ON sends (phone_number_id, lane, next_at, sequence) WHERE state = 'queued'
    """)
    op.execute("CREATE INDEX sends_expiring ON sends (expires_at) WHERE state = 'queued'")
    op.execute("CREATE INDEX sends_open ON sends (partition) WHERE state IN ('calling', 'unknown')")
    op.execute("COMMENT ON COLUMN sends.held IS 'it was due while its label was paused'")
    op.execute("CREATE INDEX sends_held ON sends (partition) WHERE held AND state = 'queued'")
    op.execute("CREATE INDEX sends_list ON sends (org_id, requested_at DESC, send_id)")
    op.execute("CREATE INDEX sends_called ON sends USING brin (called_at)")
    op.execute("CREATE INDEX sends_age ON sends USING brin (requested_at)")
    op.execute("""
        CREATE TABLE queues (
            phone_number_id text NOT NULL,
            lane text NOT NULL,
            partition int NOT NULL,
            PRIMARY KEY (phone_number_id, lane)
        )
    """)
    op.execute("COMMENT ON TABLE queues IS 'which numbers and lanes have ever had anything to send'")
    op.execute("""
        CREATE TABLE labels (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            label text NOT NULL,
            paused boolean NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (phone_number_id, org_id, label)
        )
    """)
    op.execute("COMMENT ON TABLE labels IS 'whether what has a label waits, as it was said last'")
    op.execute("""
        CREATE TABLE read_marks (
            mark_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            partition int NOT NULL,
            wamid text NOT NULL,
            typing boolean NOT NULL,
            expires_at timestamptz NOT NULL,
            next_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE read_marks IS 'what Meta is to be told was read; gone once it is, or nobody cares'")
    op.execute("CREATE TABLE owners (owner uuid PRIMARY KEY, seen_at timestamptz NOT NULL)")
    op.execute("COMMENT ON TABLE owners IS 'who claims sends, and when its process was there last'")
    op.execute("""
        CREATE TABLE number_pauses (
            phone_number_id text PRIMARY KEY,
            until timestamptz NOT NULL,
            reason text NOT NULL,
            error_code int
        )
    """)
    op.execute(
        "COMMENT ON TABLE number_pauses IS 'until when nothing was to be sent for a number, and why, as of last'"
    )
    op.execute("""
        CREATE TABLE heard (
            send_id uuid PRIMARY KEY,
            wamid text NOT NULL,
            status text NOT NULL,
            rank int NOT NULL,
            error_codes int[] NOT NULL,
            at timestamptz NOT NULL,
            told_wa_id text,
            told_user_id text
        )
    """)
    op.execute("COMMENT ON TABLE heard IS 'what Meta''s statuses tell of sends: the furthest of each'")
    op.execute("""
        CREATE TABLE send_keys (
            org_id text NOT NULL,
            key text NOT NULL,
            body_hash bytea NOT NULL,
            send_id uuid NOT NULL,
            answer jsonb NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, key)
        )
    """)
    op.execute(
        "COMMENT ON TABLE send_keys IS 'each Idempotency-Key of the last 48 hours, and the request it was sent with'"
    )
    op.execute("CREATE INDEX send_keys_age ON send_keys (created_at)")
    op.execute("""
        CREATE TABLE known_accounts (
            waba_id text PRIMARY KEY,
            org_id text,
            at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE known_numbers (
            phone_number_id text PRIMARY KEY,
            waba_id text NOT NULL,
            throughput text,
            coexistence boolean,
            at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE known_templates (
            waba_id text NOT NULL,
            name text NOT NULL,
            language text NOT NULL,
            template_id text NOT NULL,
            category text NOT NULL,
            status text NOT NULL,
            version int,
            template jsonb NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, name, language)
        )
    """)
    op.execute("""
        CREATE TABLE contacts (
            org_id text NOT NULL,
            value text NOT NULL,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            other text,
            other_at timestamptz,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value)
        )
    """)
    op.execute("COMMENT ON COLUMN contacts.value IS 'a number or a user id; other is what it came together with last'")
    op.execute("CREATE INDEX contacts_forgotten ON contacts (forgotten_as)")
    op.execute("CREATE INDEX contacts_forgotten_everywhere ON contacts (forgotten_everywhere_as)")
    op.execute("""
        CREATE TABLE windows (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            value text NOT NULL,
            user_last_at timestamptz,
            maybe_at timestamptz,
            last_wamid text,
            PRIMARY KEY (org_id, value, phone_number_id)
        )
    """)
    op.execute("COMMENT ON TABLE windows IS 'when a person last wrote to a number, or called it'")
    op.execute("""
        CREATE TABLE preferences (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            value text NOT NULL,
            stopped boolean NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value, phone_number_id)
        )
    """)
    op.execute(
        "COMMENT ON TABLE preferences IS 'whether a person wants no marketing from a number, as Meta told it last'"
    )
    op.execute("""
        CREATE TABLE conversation_ids (
            conversation_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            value text NOT NULL
        )
    """)
    op.execute(
        "COMMENT ON TABLE conversation_ids IS 'which conversation is with whom: ids as conversations makes them'"
    )
    op.execute("CREATE INDEX conversation_ids_value ON conversation_ids (org_id, value)")
    op.execute("""
        CREATE TABLE freshness (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            read_until timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE freshness IS 'all that the log had at this moment is in these tables'")
