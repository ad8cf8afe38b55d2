"""What days cost, summed up for those who ask over a long time: what has changed since is noted, and read from cells.

The notes are made by triggers, so that a release before this one, which knows of no sums, can go on counting beside it.
"""

from alembic import op

revision = "insights_0010"
down_revision = "insights_0009"

_SUMS = """
    volume bigint NOT NULL,
    amount numeric(18, 6)
"""


def upgrade() -> None:
    op.execute("CREATE TABLE cost_changes (org_id text NOT NULL, day date NOT NULL)")
    op.execute("COMMENT ON TABLE cost_changes IS 'days whose cells are others than when they were summed up'")
    op.execute("CREATE INDEX cost_changes_day ON cost_changes (org_id, day)")
    op.execute("""
        CREATE TABLE cost_sums_due (
            org_id text NOT NULL, first date NOT NULL, last date NOT NULL, PRIMARY KEY (org_id, first, last)
        )
    """)
    op.execute("COMMENT ON TABLE cost_sums_due IS 'quarters, months and parts of months that are to be summed up'")
    op.execute(f"""
        CREATE TABLE cost_day_sums (
            org_id text NOT NULL,
            day date NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            country text NOT NULL,
            market text NOT NULL,
            category text NOT NULL,
            pricing_type text NOT NULL,
            currency text NOT NULL,
            known text NOT NULL,
            {_SUMS},
            PRIMARY KEY (
                org_id, day, waba_id, phone_number_id, country, market, category, pricing_type, currency, known
            )
        )
    """)
    op.execute("COMMENT ON TABLE cost_day_sums IS 'cells of all templates and campaigns together'")
    op.execute(f"""
        CREATE TABLE cost_template_sums (
            org_id text NOT NULL,
            first date NOT NULL,
            last date NOT NULL,
            phone_number_id text NOT NULL,
            country text NOT NULL,
            template_id text NOT NULL,
            campaign text NOT NULL,
            waba_id text NOT NULL,
            currency text NOT NULL,
            known text NOT NULL,
            {_SUMS},
            PRIMARY KEY (
                org_id, first, last, phone_number_id, country, template_id, campaign, waba_id, currency, known
            ) INCLUDE (volume, amount)
        )
    """)
    op.execute("COMMENT ON TABLE cost_template_sums IS 'cells of a quarter, a month, or a part of one, together'")
    op.execute("COMMENT ON COLUMN cost_template_sums.phone_number_id IS '* for all of them together'")
    op.execute("COMMENT ON COLUMN cost_template_sums.country IS '* for all of them together'")
    op.execute("CREATE INDEX cost_days_template ON cost_days (org_id, template_id, day)")
    # With room on its page a row that is added to stays where the indexes have it.
    op.execute("ALTER TABLE cost_days SET (fillfactor = 80)")
    op.execute("""
        CREATE FUNCTION note_cost_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            INSERT INTO cost_changes (org_id, day) SELECT DISTINCT org_id, day FROM changed;
            RETURN NULL;
        END $$
    """)
    for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        op.execute(f"""
            CREATE TRIGGER note_cost_changes_{event.lower()} AFTER {event} ON cost_days
            REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_cost_changes()
        """)
    op.execute("INSERT INTO cost_changes (org_id, day) SELECT DISTINCT org_id, day FROM cost_days")
