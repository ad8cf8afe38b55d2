"""Experiments: which weights hold, who is in which arm, and what is not sent for them."""

from alembic import op

revision = "sender_0010"
down_revision = "sender_0009"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE known_experiments (
            experiment_id uuid PRIMARY KEY,
            org_id text NOT NULL,
            waba_id text NOT NULL,
            plan jsonb NOT NULL,
            salt text NOT NULL,
            epoch int NOT NULL DEFAULT 0,
            slices jsonb,
            ends_at timestamptz,
            stopped_at timestamptz,
            winner text,
            decided_at timestamptz,
            at timestamptz NOT NULL
        )
    """)
    op.execute("""
        CREATE TABLE experiment_arms (
            experiment_id uuid NOT NULL,
            org_id text NOT NULL,
            value text NOT NULL,
            forgotten_as text NOT NULL,
            forgotten_everywhere_as text NOT NULL,
            arm text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value, experiment_id)
        )
    """)
    op.execute(
        "COMMENT ON TABLE experiment_arms IS 'who is in which arm, by a number or a user id; kept with the experiment'"
    )
    op.execute("CREATE INDEX experiment_arms_forgotten ON experiment_arms (forgotten_as)")
    op.execute("CREATE INDEX experiment_arms_experiment ON experiment_arms (experiment_id)")
    op.execute("""
        CREATE TABLE known_holdouts (
            org_id text PRIMARY KEY,
            share int NOT NULL,
            salt text NOT NULL,
            at timestamptz NOT NULL
        )
    """)
    op.execute("ALTER TABLE sends ADD COLUMN experiment_id uuid, ADD COLUMN arm text, ADD COLUMN withheld text")
    op.execute("COMMENT ON COLUMN sends.withheld IS 'experiment or holdout, where nothing is sent for it'")
