"""Who wants no marketing of an organisation, and the words by which they say so."""

from alembic import op

revision = "sender_0003"
down_revision = "sender_0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE opt_outs (
            org_id text NOT NULL,
            value text NOT NULL,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            opted_out boolean NOT NULL,
            at timestamptz NOT NULL,
            by text NOT NULL,
            PRIMARY KEY (org_id, value)
        )
    """)
    op.execute(
        "COMMENT ON TABLE opt_outs IS 'whether a person wants no marketing of an organisation, as they told it last: "
        "kept until they are forgotten, for longer than the log has it'"
    )
    op.execute("CREATE INDEX opt_outs_forgotten ON opt_outs (forgotten_as)")
    op.execute("CREATE INDEX opt_outs_forgotten_everywhere ON opt_outs (forgotten_everywhere_as)")
    op.execute("""
        CREATE TABLE opt_outs_untold (
            event_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            wa_id text,
            user_id text,
            opted_out boolean NOT NULL,
            at timestamptz NOT NULL,
            wamid text NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE opt_outs_untold IS 'choices by a word, of which the log is to be told'")
    op.execute("""
        CREATE TABLE opt_words (
            org_id text PRIMARY KEY,
            stop text[] NOT NULL,
            start text[] NOT NULL,
            changed_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE opt_words IS 'an organisation''s own words, as it gave them; no fold'")
