"""What is known ahead of the invoice: accounts, budgets and what was told of them, Meta's own account, advice."""

from alembic import op

revision = "insights_0004"
down_revision = "insights_0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE planned_accounts (
            waba_id text PRIMARY KEY,
            org_id text,
            last_org_id text,
            since timestamptz,
            had_another_owner boolean NOT NULL DEFAULT false,
            owner_told_at timestamptz,
            time_zone text,
            currency text,
            told_at timestamptz
        )
    """)
    op.execute("COMMENT ON TABLE planned_accounts IS 'whose an account is now, its clocks and its currency'")
    op.execute("CREATE INDEX planned_accounts_org ON planned_accounts (org_id)")
    op.execute("""
        CREATE TABLE budget_sets (
            org_id text PRIMARY KEY,
            set_at timestamptz NOT NULL,
            event_id text NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE budget_sets IS 'which BudgetsSet of an organisation holds'")
    op.execute("""
        CREATE TABLE budgets (
            org_id text NOT NULL,
            budget_id text NOT NULL,
            waba_id text,
            month text,
            currency text NOT NULL,
            amount numeric(18, 6) NOT NULL,
            thresholds integer[] NOT NULL,
            PRIMARY KEY (org_id, budget_id)
        )
    """)
    op.execute("COMMENT ON COLUMN budgets.month IS 'the only month it is for, as 2026-12; NULL for each'")
    op.execute("""
        CREATE TABLE budget_checks (
            org_id text PRIMARY KEY,
            due_at timestamptz NOT NULL,
            leased_until timestamptz
        )
    """)
    op.execute("COMMENT ON TABLE budget_checks IS 'when the budgets of an organisation are looked at next'")
    op.execute("CREATE INDEX budget_checks_due ON budget_checks (due_at)")
    op.execute("""
        CREATE TABLE budget_alerts (
            event_id text PRIMARY KEY,
            org_id text NOT NULL,
            budget_id text NOT NULL,
            month text NOT NULL,
            alert text NOT NULL,
            threshold integer NOT NULL,
            currency text NOT NULL,
            amount numeric(18, 6) NOT NULL,
            spent numeric(18, 6) NOT NULL,
            projected numeric(18, 6),
            alerted_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON TABLE budget_alerts IS 'what was told: each event once, whoever published it'")
    op.execute("CREATE INDEX budget_alerts_budget ON budget_alerts (org_id, budget_id, month)")
    op.execute("""
        CREATE TABLE pricing_readings (
            waba_id text NOT NULL,
            priced_on date NOT NULL,
            org_id text,
            read_at timestamptz NOT NULL,
            event_id text NOT NULL,
            digest text NOT NULL,
            volume bigint NOT NULL,
            currency text,
            amounts_told boolean NOT NULL,
            PRIMARY KEY (waba_id, priced_on)
        )
    """)
    op.execute("COMMENT ON TABLE pricing_readings IS 'the last reading of each day of an account at Meta'")
    op.execute("""
        CREATE TABLE meta_pricing_days (
            waba_id text NOT NULL,
            priced_on date NOT NULL,
            country text NOT NULL,
            category text NOT NULL,
            pricing_type text NOT NULL,
            tier text NOT NULL,
            volume bigint NOT NULL,
            amount numeric(18, 6),
            PRIMARY KEY (waba_id, priced_on, country, category, pricing_type, tier),
            FOREIGN KEY (waba_id, priced_on) REFERENCES pricing_readings ON DELETE CASCADE
        )
    """)
    op.execute("COMMENT ON COLUMN meta_pricing_days.amount IS 'approximate by Meta; NULL where it tells none'")
    op.execute("""
        CREATE TABLE pricing_schedules (
            waba_id text PRIMARY KEY,
            org_id text NOT NULL,
            due_at timestamptz NOT NULL,
            leased_until timestamptz,
            failures integer NOT NULL DEFAULT 0,
            read_at timestamptz,
            error text,
            complete_from date,
            amounts_untold_at timestamptz
        )
    """)
    op.execute("COMMENT ON TABLE pricing_schedules IS 'when Meta is asked next what an account costs'")
    op.execute("CREATE INDEX pricing_schedules_due ON pricing_schedules (due_at)")
    op.execute("""
        CREATE TABLE template_categories (
            waba_id text NOT NULL,
            template_id text NOT NULL,
            name text NOT NULL,
            language text NOT NULL,
            category text NOT NULL,
            previous_category text,
            correct_category text,
            told_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, template_id)
        )
    """)
    op.execute("COMMENT ON TABLE template_categories IS 'what Meta says of the category of each template'")
    op.execute("""
        CREATE TABLE payment_errors (
            waba_id text PRIMARY KEY,
            code text,
            told_at timestamptz NOT NULL
        )
    """)
    op.execute("COMMENT ON COLUMN payment_errors.code IS 'why Meta can not charge the account; NULL if it can again'")
    op.execute("""
        CREATE TABLE advice (
            org_id text NOT NULL,
            advice_id text NOT NULL,
            kind text NOT NULL,
            waba_id text NOT NULL,
            about text NOT NULL,
            finding text NOT NULL,
            remedy text NOT NULL,
            saving numeric(18, 6),
            currency text,
            evidence jsonb NOT NULL,
            place integer NOT NULL,
            since timestamptz NOT NULL,
            PRIMARY KEY (org_id, advice_id)
        )
    """)
    op.execute("COMMENT ON TABLE advice IS 'what is advised now, worked out anew from time to time'")
    op.execute("""
        CREATE TABLE advice_checks (
            org_id text PRIMARY KEY,
            due_at timestamptz NOT NULL,
            leased_until timestamptz,
            as_of timestamptz
        )
    """)
    op.execute("CREATE INDEX advice_checks_due ON advice_checks (due_at)")
    op.execute("""
        CREATE TABLE advice_dismissals (
            org_id text NOT NULL,
            advice_id text NOT NULL,
            kind text NOT NULL,
            dismissed boolean NOT NULL,
            told_at timestamptz NOT NULL,
            event_id text NOT NULL,
            PRIMARY KEY (org_id, advice_id)
        )
    """)
    op.execute("COMMENT ON TABLE advice_dismissals IS 'the fold of AdviceDismissed; outlives the advice itself'")
