"""Experiments: what was planned, who was drawn, what they did, what was seen at each look."""

from alembic import op

revision = "insights_0005"
down_revision = "insights_0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE experiments (
            experiment_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            plan jsonb NOT NULL,
            plan_hash text NOT NULL,
            salt text NOT NULL,
            defined_at timestamptz NOT NULL,
            started_at timestamptz,
            ends_at timestamptz,
            epoch int NOT NULL DEFAULT 0,
            slices jsonb,
            weights jsonb NOT NULL DEFAULT '{}',
            stops jsonb NOT NULL DEFAULT '{}',
            stopped_at timestamptz,
            stop_reason text,
            flagged_at timestamptz,
            decision jsonb,
            decided_at timestamptz,
            told jsonb NOT NULL DEFAULT '{}',
            looked_at timestamptz
        )
    """)
    op.execute("COMMENT ON COLUMN experiments.weights IS 'by epoch: the weight of each arm, the coin of who was drawn'")
    op.execute("COMMENT ON COLUMN experiments.stops IS 'arms that nobody is drawn into any more, and why'")
    op.execute("COMMENT ON COLUMN experiments.told IS 'not folded: what the worker has published, so that it waits'")
    op.execute("CREATE INDEX experiments_list ON experiments (org_id, defined_at DESC, experiment_id)")
    op.execute("CREATE INDEX experiments_open ON experiments (waba_id) WHERE decided_at IS NULL")
    op.execute("""
        CREATE TABLE experiment_people (
            experiment_id uuid NOT NULL,
            person uuid NOT NULL,
            arm text NOT NULL,
            epoch int NOT NULL,
            drawn_at timestamptz NOT NULL,
            draws int[] NOT NULL,
            excluded boolean NOT NULL DEFAULT false,
            harm_counted_at timestamptz,
            failed boolean NOT NULL DEFAULT false,
            counted_at timestamptz,
            success boolean NOT NULL DEFAULT false,
            stopped boolean NOT NULL DEFAULT false,
            capped boolean NOT NULL DEFAULT false,
            in_metas_test boolean NOT NULL DEFAULT false,
            PRIMARY KEY (experiment_id, person)
        )
    """)
    op.execute("COMMENT ON COLUMN experiment_people.person IS 'an HMAC of what the person was first drawn by'")
    op.execute(
        "COMMENT ON COLUMN experiment_people.draws IS 'the epoch of each draw: of somebody taken for two, several'"
    )
    op.execute("COMMENT ON COLUMN experiment_people.excluded IS 'drawn into two arms, or counted as another already'")
    op.execute(
        "CREATE INDEX experiment_people_due ON experiment_people (experiment_id, drawn_at) WHERE counted_at IS NULL"
    )
    op.execute(
        "CREATE INDEX experiment_people_harm ON experiment_people (experiment_id, drawn_at) "
        "WHERE harm_counted_at IS NULL"
    )
    op.execute("""
        CREATE TABLE experiment_keys (
            key uuid NOT NULL,
            experiment_id uuid NOT NULL,
            person uuid NOT NULL,
            drawn boolean NOT NULL DEFAULT false,
            forgotten_as text,
            forgotten_everywhere_as text,
            at timestamptz NOT NULL,
            PRIMARY KEY (key, experiment_id)
        )
    """)
    op.execute(
        "COMMENT ON COLUMN experiment_keys.key IS 'of an identifier an HMAC; or the id of a send, or of a message'"
    )
    op.execute("COMMENT ON COLUMN experiment_keys.drawn IS 'an arm was drawn by hashing this identifier'")
    op.execute(
        "CREATE INDEX experiment_keys_forgotten ON experiment_keys (forgotten_as) WHERE forgotten_as IS NOT NULL"
    )
    op.execute("CREATE INDEX experiment_keys_person ON experiment_keys (experiment_id, person)")
    op.execute("""
        CREATE TABLE experiment_links (
            key uuid NOT NULL,
            other uuid NOT NULL,
            org_id text NOT NULL,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            other_forgotten_as text NOT NULL,
            other_forgotten_everywhere_as text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (key, other)
        )
    """)
    op.execute("COMMENT ON TABLE experiment_links IS 'identifiers of one person, each both ways'")
    op.execute("CREATE INDEX experiment_links_at ON experiment_links USING brin (at)")
    op.execute("""
        CREATE TABLE experiment_signs (
            key uuid NOT NULL,
            sign text NOT NULL,
            at timestamptz NOT NULL,
            org_id text NOT NULL,
            forgotten_as text,
            forgotten_everywhere_as text,
            PRIMARY KEY (key, sign, at)
        )
    """)
    op.execute(
        "COMMENT ON TABLE experiment_signs IS 'what people did, of organisations with open experiments; 10 days'"
    )
    op.execute("CREATE INDEX experiment_signs_at ON experiment_signs USING brin (at)")
    op.execute("""
        CREATE TABLE experiment_days (
            experiment_id uuid NOT NULL,
            day date NOT NULL,
            arm text NOT NULL,
            epoch int NOT NULL,
            drawn bigint NOT NULL,
            counted bigint NOT NULL,
            successes bigint NOT NULL,
            failed bigint NOT NULL,
            stopped bigint NOT NULL,
            excluded bigint NOT NULL,
            told_at timestamptz NOT NULL,
            PRIMARY KEY (experiment_id, day, arm, epoch)
        )
    """)
    op.execute("""
        CREATE TABLE experiment_looks (
            experiment_id uuid NOT NULL,
            at timestamptz NOT NULL,
            arm text NOT NULL,
            people bigint NOT NULL,
            log_evidence double precision NOT NULL,
            highest double precision NOT NULL,
            low double precision NOT NULL,
            high double precision NOT NULL,
            PRIMARY KEY (experiment_id, at, arm)
        )
    """)
    op.execute("COMMENT ON TABLE experiment_looks IS 'what was seen, and when; no fold'")
    op.execute("COMMENT ON COLUMN experiment_looks.people IS 'of the arm and of the control'")
    op.execute("""
        CREATE TABLE experiment_templates (
            waba_id text NOT NULL,
            template_id text NOT NULL,
            name text NOT NULL,
            language text NOT NULL,
            version int,
            category text NOT NULL,
            status text NOT NULL,
            quality text,
            template jsonb NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, template_id)
        )
    """)
    op.execute("CREATE INDEX experiment_templates_name ON experiment_templates (waba_id, name, language)")
    op.execute("""
        CREATE TABLE holdouts (
            org_id text PRIMARY KEY,
            share int NOT NULL,
            salt text NOT NULL,
            at timestamptz NOT NULL
        )
    """)
