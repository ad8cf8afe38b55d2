"""What advice counts of messages, day by day, so that no look at an organisation reads all that it has sent."""

from alembic import op

revision = "insights_0011"
down_revision = "insights_0010"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE advice_days (
            day date NOT NULL,
            settled boolean NOT NULL,
            parts integer NOT NULL DEFAULT 1,
            done integer NOT NULL DEFAULT 0,
            counted_at timestamptz,
            PRIMARY KEY (day, settled)
        )
    """)
    op.execute("COMMENT ON TABLE advice_days IS 'how far days of UTC are counted for advice, of all organisations'")
    op.execute("COMMENT ON COLUMN advice_days.settled IS 'counted once more, when what comes late has come'")
    op.execute("COMMENT ON COLUMN advice_days.parts IS 'people are counted in so many parts, each in one transaction'")
    op.execute("""
        CREATE TABLE advice_counts (
            org_id text NOT NULL,
            day date NOT NULL,
            settled boolean NOT NULL,
            kind text NOT NULL,
            waba_id text NOT NULL,
            about text NOT NULL,
            category text NOT NULL,
            country text NOT NULL,
            name text NOT NULL,
            messages bigint NOT NULL,
            people bigint NOT NULL,
            PRIMARY KEY (org_id, day, settled, kind, waba_id, about, category, country)
        )
    """)
    op.execute("COMMENT ON TABLE advice_counts IS 'of a day that is not counted whole (advice_days) nothing is read'")
    op.execute("CREATE INDEX advice_counts_day ON advice_counts (day, settled)")
    # Few messages fail so; without it each look for them reads all messages of everybody.
    op.execute("""
        CREATE INDEX send_facts_failed ON send_facts (org_id, failed_code, at) WHERE failed_code IN (131026, 131042)
    """)
    op.execute("ALTER TABLE advice_checks ADD COLUMN counted_to date")
    op.execute("ALTER TABLE advice_checks ADD COLUMN unfinished text[] NOT NULL DEFAULT '{}'")
    op.execute("COMMENT ON COLUMN advice_checks.counted_to IS 'the last day whose messages the advice rests on'")
    op.execute("COMMENT ON COLUMN advice_checks.unfinished IS 'kinds of advice that are of an earlier time'")
