"""Failed messages are counted for each number, with when it began, so that what ails one number is not said of all.

`message_errors` stays for processes of the release before, which know nothing else; a later one can drop it.
"""

from alembic import op

revision = "health_projector_0003"
down_revision = "health_projector_0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE message_failures (
            waba_id text NOT NULL,
            hour timestamptz NOT NULL,
            phone_number_id text NOT NULL,
            code int NOT NULL,
            count bigint NOT NULL,
            first_at timestamptz NOT NULL,
            last_at timestamptz NOT NULL,
            PRIMARY KEY (waba_id, hour, phone_number_id, code)
        )
    """)
    op.execute("CREATE INDEX message_failures_hour ON message_failures (hour)")
    op.execute("""
        INSERT INTO message_failures
        SELECT waba_id, hour, '', code, count, last_at, last_at FROM message_errors
    """)


def downgrade() -> None:
    op.execute("DROP TABLE message_failures")
