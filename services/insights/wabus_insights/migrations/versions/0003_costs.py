"""What messages cost: each message for some weeks, what messages that were charged alike cost together, prices."""

from alembic import op

revision = "insights_0003"
down_revision = "insights_0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE rate_cards (
            currency text NOT NULL,
            effective date NOT NULL,
            published_at timestamptz NOT NULL,
            event_id text NOT NULL,
            origin text NOT NULL,
            sha256 text,
            rates jsonb NOT NULL,
            PRIMARY KEY (currency, effective)
        )
    """)
    op.execute("COMMENT ON COLUMN rate_cards.rates IS 'as the event has them; empty for a card that was withdrawn'")
    op.execute("""
        CREATE TABLE price_rules (
            effective date PRIMARY KEY,
            published_at timestamptz NOT NULL,
            event_id text NOT NULL,
            rules jsonb NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE meta_averages (
            waba_id text NOT NULL,
            day date NOT NULL,
            country text NOT NULL,
            category text NOT NULL,
            currency text NOT NULL,
            volume bigint NOT NULL,
            amount numeric(18, 6) NOT NULL,
            PRIMARY KEY (waba_id, day, country, category, currency)
        )
    """)
    op.execute("""
        CREATE TABLE meta_readings (
            waba_id text NOT NULL, day date NOT NULL, read_at timestamptz NOT NULL, PRIMARY KEY (waba_id, day)
        )
    """)
    op.execute("""
        CREATE TABLE charge_sends (
            send_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            template_id text NOT NULL,
            at timestamptz NOT NULL
        )
    """)
    op.execute("CREATE INDEX charge_sends_at ON charge_sends (at)")
    op.execute("""
        CREATE TABLE charges (
            charge_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            seen_at timestamptz NOT NULL,
            delivered_at timestamptz,
            read_at timestamptz,
            pricing_rank smallint NOT NULL,
            category text NOT NULL,
            pricing_type text NOT NULL,
            cost numeric,
            cost_currency text,
            country text NOT NULL,
            sure boolean NOT NULL,
            template_id text NOT NULL,
            campaign text NOT NULL,
            cell_id uuid,
            counted_at timestamptz,
            counted_amount numeric
        )
    """)
    op.execute("COMMENT ON TABLE charges IS 'a message to one person, while statuses of it may come'")
    op.execute("COMMENT ON COLUMN charges.pricing_rank IS 'of the status that told the price; -1 while none has'")
    op.execute("COMMENT ON COLUMN charges.cell_id IS 'where it counts; NULL while nothing tells that it was delivered'")
    op.execute("CREATE INDEX charges_seen ON charges (seen_at)")
    op.execute("""
        CREATE TABLE cost_days (
            cell_id uuid NOT NULL,
            band int NOT NULL,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            market text NOT NULL,
            country text NOT NULL,
            sure boolean NOT NULL,
            category text NOT NULL,
            pricing_type text NOT NULL,
            template_id text NOT NULL,
            campaign text NOT NULL,
            day date NOT NULL,
            currency text NOT NULL,
            basis text NOT NULL CHECK (basis IN ('reported', 'free', 'card')),
            scope text NOT NULL,
            tier_id uuid,
            known text NOT NULL CHECK (known IN ('reported', 'free', 'rated', 'estimated', 'unknown')),
            volume bigint NOT NULL,
            reported numeric(18, 6) NOT NULL,
            rate numeric,
            amount numeric(18, 6) GENERATED ALWAYS AS (
                CASE basis WHEN 'reported' THEN reported WHEN 'free' THEN 0 ELSE round(rate * volume, 6) END
            ) STORED,
            PRIMARY KEY (cell_id, band)
        )
    """)
    op.execute("COMMENT ON COLUMN cost_days.band IS 'the volume tier, 0 for the list rate'")
    op.execute("COMMENT ON COLUMN cost_days.day IS 'in the zone of the account'")
    op.execute("COMMENT ON COLUMN cost_days.amount IS 'in the currency; NULL where it is not known, never 0 then'")
    op.execute("CREATE INDEX cost_days_org ON cost_days (org_id, day)")
    op.execute("CREATE INDEX cost_days_waba ON cost_days (waba_id, day)")
    op.execute("CREATE INDEX cost_days_card ON cost_days (day, currency) WHERE basis = 'card'")
    op.execute("""
        CREATE TABLE tier_months (
            tier_id uuid PRIMARY KEY,
            scope text NOT NULL,
            market text NOT NULL,
            category text NOT NULL,
            month date NOT NULL,
            volume bigint NOT NULL,
            last_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON COLUMN tier_months.volume IS 'messages that were charged, of all accounts of the portfolio'")
    op.execute("CREATE INDEX tier_months_scope ON tier_months (scope, month)")
    op.execute("""
        CREATE TABLE tier_seconds (
            tier_id uuid NOT NULL,
            at timestamptz NOT NULL,
            cell_id uuid NOT NULL,
            band int NOT NULL,
            messages int NOT NULL,
            PRIMARY KEY (tier_id, at, cell_id, band)
        )
    """)
    op.execute("COMMENT ON TABLE tier_seconds IS 'in which order they were delivered, until the month is long over'")
    op.execute("CREATE INDEX tier_seconds_cell ON tier_seconds (cell_id)")
    op.execute("CREATE INDEX tier_seconds_at ON tier_seconds (at)")
    op.execute("""
        CREATE TABLE tier_floors (
            scope text NOT NULL,
            market text NOT NULL,
            category text NOT NULL,
            month date NOT NULL,
            first bigint NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (scope, market, category, month, first)
        )
    """)
    op.execute("COMMENT ON TABLE tier_floors IS 'volume tiers that Meta says were reached, and when'")


def downgrade() -> None:
    op.execute("""
        DROP TABLE tier_floors, tier_seconds, tier_months, cost_days, charges, charge_sends, meta_readings,
            meta_averages, price_rules, rate_cards
    """)
