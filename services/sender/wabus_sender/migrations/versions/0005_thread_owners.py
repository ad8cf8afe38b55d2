"""Who answers a person, where a number has several responders."""

from alembic import op

revision = "sender_0005"
down_revision = "sender_0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE thread_owners (
            org_id text NOT NULL,
            phone_number_id text NOT NULL,
            value text NOT NULL,
            ours boolean NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value, phone_number_id)
        )
    """)
    op.execute("COMMENT ON TABLE thread_owners IS 'whether a person is ours to answer, as Meta told it last'")
