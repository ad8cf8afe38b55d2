"""What Meta could not handle of a number, where it names no message: by the hour, as failed messages are."""

from alembic import op

revision = "health_projector_0006"
down_revision = "health_projector_0005"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE messaging_errors (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            phone_number_id text NOT NULL,
            code integer NOT NULL,
            first_at timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, phone_number_id, code)
        )
    """)
    op.execute("COMMENT ON TABLE messaging_errors IS 'errors of a number that Meta told with no message'")
    op.execute("CREATE INDEX messaging_errors_by_hour ON messaging_errors (hour)")


def downgrade() -> None:
    op.execute("DROP TABLE messaging_errors")
