"""What messages achieved: a row a message for nine days, and counts by template for 400."""

from alembic import op

revision = "insights_0002"
down_revision = "insights_0001"

# The same columns of counts at each size: a query over a long time reads whole months, and days at its ends.
_COUNTS = """
    accepted integer NOT NULL DEFAULT 0,
    sent integer NOT NULL DEFAULT 0,
    delivered integer NOT NULL DEFAULT 0,
    read integer NOT NULL DEFAULT 0,
    played integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    replied integer NOT NULL DEFAULT 0,
    clicked integer NOT NULL DEFAULT 0,
    stopped integer NOT NULL DEFAULT 0
"""


def upgrade() -> None:
    """Make the tables."""
    _execute(
        """
        CREATE TABLE send_requests (
            send_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            template_id text NOT NULL,
            version integer NOT NULL,
            name text NOT NULL,
            language text NOT NULL,
            category text NOT NULL,
            experiment_id text NOT NULL,
            arm text NOT NULL,
            at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL
        );
        CREATE INDEX send_requests_expire ON send_requests (expires_at);

        -- A status does not say when its message was accepted: by days the same message could be there twice.
        CREATE TABLE send_facts (
            message_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            at timestamptz NOT NULL,
            accepted_at timestamptz,
            kind text NOT NULL DEFAULT '',
            template_id text NOT NULL DEFAULT '',
            version integer NOT NULL DEFAULT 0,
            name text NOT NULL DEFAULT '',
            language text NOT NULL DEFAULT '',
            category text NOT NULL DEFAULT '',
            experiment_id text NOT NULL DEFAULT '',
            arm text NOT NULL DEFAULT '',
            label text NOT NULL DEFAULT '',
            number_id uuid,
            user_id uuid,
            person uuid GENERATED ALWAYS AS (coalesce(number_id, user_id)) STORED,
            country text NOT NULL DEFAULT '',
            country_sure boolean NOT NULL DEFAULT false,
            bits smallint NOT NULL DEFAULT 0,
            delivered_at timestamptz,
            read_at timestamptz,
            failed_code integer,
            pricing_at timestamptz,
            billable boolean,
            pricing_model text NOT NULL DEFAULT '',
            pricing_category text NOT NULL DEFAULT '',
            pricing_type text NOT NULL DEFAULT '',
            cost numeric,
            cost_currency text NOT NULL DEFAULT ''
        ) WITH (fillfactor = 80);
        CREATE INDEX send_facts_at ON send_facts USING brin (at) WITH (pages_per_range = 32);
        CREATE INDEX send_facts_by_number ON send_facts (number_id, accepted_at) WHERE template_id <> '';
        CREATE INDEX send_facts_by_user ON send_facts (user_id, accepted_at) WHERE template_id <> '';

        CREATE TABLE acts (
            org_id text NOT NULL,
            waba_id text NOT NULL,
            phone_number_id text NOT NULL,
            person uuid NOT NULL,
            number_id uuid,
            user_id uuid,
            bit smallint NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (person, phone_number_id, bit, at)
        );
        CREATE INDEX acts_by_user ON acts (user_id) WHERE user_id IS NOT NULL;
        CREATE INDEX acts_at ON acts (at);

        CREATE TABLE people (
            person uuid PRIMARY KEY,
            org_id text NOT NULL,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            seen_at timestamptz NOT NULL
        ) WITH (fillfactor = 70);
        CREATE INDEX people_forgotten ON people (forgotten_as);
        CREATE INDEX people_forgotten_everywhere ON people (forgotten_everywhere_as);
        CREATE INDEX people_seen ON people USING brin (seen_at) WITH (pages_per_range = 32);

        CREATE TABLE counted_since (
            one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
            at timestamptz NOT NULL
        );
        """
    )
    _execute(
        f"""
        CREATE TABLE template_hours (
            org_id text NOT NULL,
            waba_id text NOT NULL,
            template_id text NOT NULL,
            version integer NOT NULL,
            phone_number_id text NOT NULL,
            country text NOT NULL,
            hour timestamptz NOT NULL,
            {_COUNTS},
            PRIMARY KEY (org_id, template_id, hour, version, phone_number_id, country, waba_id)
        ) WITH (fillfactor = 80);
        CREATE INDEX template_hours_hour ON template_hours (hour);

        CREATE TABLE template_days (
            org_id text NOT NULL,
            day date NOT NULL,
            template_id text NOT NULL,
            phone_number_id text NOT NULL,
            country text NOT NULL,
            waba_id text NOT NULL,
            {_COUNTS},
            PRIMARY KEY (org_id, day, template_id, phone_number_id, country, waba_id)
        ) WITH (fillfactor = 80);

        CREATE TABLE template_months (
            org_id text NOT NULL,
            month date NOT NULL,
            template_id text NOT NULL,
            phone_number_id text NOT NULL,
            country text NOT NULL,
            waba_id text NOT NULL,
            {_COUNTS},
            PRIMARY KEY (org_id, month, template_id, phone_number_id, country, waba_id)
        ) WITH (fillfactor = 80);

        CREATE TABLE failure_hours (
            org_id text NOT NULL,
            waba_id text NOT NULL,
            template_id text NOT NULL,
            version integer NOT NULL,
            phone_number_id text NOT NULL,
            country text NOT NULL,
            hour timestamptz NOT NULL,
            code integer NOT NULL,
            failed integer NOT NULL,
            PRIMARY KEY (org_id, template_id, hour, code, version, phone_number_id, country, waba_id)
        );

        CREATE TABLE read_times (
            org_id text NOT NULL,
            waba_id text NOT NULL,
            template_id text NOT NULL,
            version integer NOT NULL,
            day date NOT NULL,
            bucket smallint NOT NULL,
            read integer NOT NULL,
            PRIMARY KEY (org_id, template_id, day, version, bucket, waba_id)
        );

        CREATE TABLE meta_template_days (
            org_id text NOT NULL,
            waba_id text NOT NULL,
            template_id text NOT NULL,
            day date NOT NULL,
            sent integer,
            delivered integer,
            read integer,
            clicked integer,
            read_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, template_id, day, waba_id)
        );
        CREATE INDEX meta_template_days_day ON meta_template_days (day);

        CREATE TABLE template_insights (
            waba_id text PRIMARY KEY,
            org_id text NOT NULL,
            due_at timestamptz NOT NULL,
            leased_until timestamptz,
            failures integer NOT NULL DEFAULT 0,
            state text NOT NULL DEFAULT 'unknown',
            wanted_at timestamptz,
            settled_at timestamptz,
            read_at timestamptz,
            error text
        );

        CREATE TABLE templates (
            waba_id text NOT NULL,
            template_id text NOT NULL,
            name text NOT NULL,
            language text NOT NULL,
            category text NOT NULL DEFAULT '',
            status text NOT NULL DEFAULT '',
            quality text,
            at timestamptz NOT NULL,
            removed_at timestamptz,
            PRIMARY KEY (template_id, waba_id)
        );
        """
    )


def _execute(statements: str) -> None:
    for statement in filter(str.strip, statements.split(";")):
        op.execute(statement)
