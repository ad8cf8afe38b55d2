"""The ids of counted messages by the day of the message, a partition each: forgetting a day is dropping its partition.

Releases before this one go on with `counted_events`. What they have counted is looked up there as long as it can come
again, and a trigger lets them skip what has been counted here: so releases may change places, and back, at any moment.
A later release can drop both.
"""

from datetime import UTC, datetime, timedelta

from alembic import op

revision = "health_projector_0004"
down_revision = "health_projector_0003"

BEFORE, AHEAD = 10, 3  # days; the workers make the next ones


def upgrade() -> None:
    op.execute("""
        CREATE TABLE counted_messages (
            event_id uuid NOT NULL,
            day date NOT NULL,
            PRIMARY KEY (event_id, day)
        ) PARTITION BY RANGE (day)
    """)
    op.execute("COMMENT ON COLUMN counted_messages.day IS 'of the message, by its own time'")
    op.execute("CREATE TABLE counted_messages_default PARTITION OF counted_messages DEFAULT")
    today = datetime.now(UTC).date()
    for number in range(-BEFORE, AHEAD + 1):
        day = today + timedelta(days=number)
        op.execute(f"""
            CREATE TABLE counted_messages_{day:%Y%m%d} PARTITION OF counted_messages
            FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')
        """)
    op.execute("""
        CREATE FUNCTION skip_counted_message() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM counted_messages WHERE event_id = NEW.event_id) THEN
                RETURN NULL;
            END IF;
            RETURN NEW;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER skip_counted_message BEFORE INSERT ON counted_events
        FOR EACH ROW EXECUTE FUNCTION skip_counted_message()
    """)


def downgrade() -> None:
    op.execute("DROP TRIGGER skip_counted_message ON counted_events")
    op.execute("DROP FUNCTION skip_counted_message")
    op.execute("DROP TABLE counted_messages")
