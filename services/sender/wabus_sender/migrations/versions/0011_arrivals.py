"""How much people write to each number: Meta counts it against what the number may send."""

from alembic import op

revision = "sender_0011"
down_revision = "sender_0010"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE arrivals (
            phone_number_id text NOT NULL,
            slot int NOT NULL,
            second bigint NOT NULL,
            messages int NOT NULL,
            PRIMARY KEY (phone_number_id, slot)
        )
    """)
    op.execute(
        "COMMENT ON TABLE arrivals IS 'messages that came in within each of the last seconds, counted from 1970'"
    )
