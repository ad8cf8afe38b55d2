"""What an account counted for each organisation, so that one which moves takes nothing of the earlier one along.

`message_counts` stays, for a release before this one knows nothing else; what was counted for one organisation is asked
for where the account moved to it within the hour. `organisation_failures` and `organisation_errors` take the place of
`message_failures` and `messaging_errors`, which a later release can drop.
"""

from alembic import op

revision = "health_projector_0008"
down_revision = "health_projector_0007"


def upgrade() -> None:
    op.execute("ALTER TABLE waba_health ADD COLUMN moved_at timestamptz")
    op.execute("COMMENT ON COLUMN waba_health.moved_at IS 'when it ended to be another organisation''s'")
    op.execute("""
        CREATE TABLE organisation_counts (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            phone_number_id text NOT NULL,
            kind text NOT NULL,
            org_id text NOT NULL,
            count bigint NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, phone_number_id, kind, org_id)
        )
    """)
    op.execute("COMMENT ON COLUMN organisation_counts.org_id IS 'empty where the account was nobody''s'")
    op.execute("CREATE INDEX organisation_counts_hour ON organisation_counts (hour)")
    op.execute("""
        CREATE TABLE organisation_failures (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            phone_number_id text NOT NULL,
            code int NOT NULL,
            org_id text NOT NULL,
            count bigint NOT NULL,
            first_at timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, phone_number_id, code, org_id)
        )
    """)
    op.execute("CREATE INDEX organisation_failures_hour ON organisation_failures (hour)")
    op.execute("""
        INSERT INTO organisation_failures
        SELECT waba_id, hour, phone_number_id, code, '', count, first_at, last_at FROM message_failures
    """)
    op.execute("""
        CREATE TABLE organisation_errors (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            phone_number_id text NOT NULL,
            code int NOT NULL,
            org_id text NOT NULL,
            first_at timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, phone_number_id, code, org_id)
        )
    """)
    op.execute("COMMENT ON TABLE organisation_errors IS 'errors of a number that Meta told with no message'")
    op.execute("CREATE INDEX organisation_errors_hour ON organisation_errors (hour)")
    op.execute("""
        INSERT INTO organisation_errors
        SELECT waba_id, hour, phone_number_id, code, '', first_at, last_at FROM messaging_errors
    """)


def downgrade() -> None:
    op.execute("DROP TABLE organisation_errors, organisation_failures, organisation_counts")
    op.execute("ALTER TABLE waba_health DROP COLUMN moved_at")
