"""Failed messages are counted for each number, with when it began, so that what ails one number is not said of all."""

from alembic import op

revision = "health_projector_0003"
down_revision = "health_projector_0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE message_errors
            ADD COLUMN phone_number_id text NOT NULL DEFAULT '',
            ADD COLUMN first_at timestamptz
    """)
    op.execute("UPDATE message_errors SET first_at = last_at")
    op.execute("""
        ALTER TABLE message_errors
            ALTER COLUMN phone_number_id DROP DEFAULT,
            ALTER COLUMN first_at SET NOT NULL,
            DROP CONSTRAINT message_errors_pkey,
            ADD PRIMARY KEY (waba_id, hour, phone_number_id, code)
    """)


def downgrade() -> None:
    op.execute("""
        CREATE TABLE summed AS
        SELECT waba_id, hour, code, sum(count)::bigint AS count, max(last_at) AS last_at
        FROM message_errors GROUP BY waba_id, hour, code
    """)
    op.execute("DELETE FROM message_errors")
    op.execute("ALTER TABLE message_errors DROP COLUMN phone_number_id, DROP COLUMN first_at")
    op.execute("ALTER TABLE message_errors ADD PRIMARY KEY (waba_id, hour, code)")
    op.execute("INSERT INTO message_errors (waba_id, hour, code, count, last_at) SELECT * FROM summed")
    op.execute("DROP TABLE summed")
