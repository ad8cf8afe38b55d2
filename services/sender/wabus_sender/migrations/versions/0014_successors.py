"""Who has another number or user id now is answered there."""

from alembic import op

revision = "sender_0014"
down_revision = "sender_0013"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE successors (
            org_id text NOT NULL,
            value text NOT NULL,
            successor text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value)
        )
    """)
    op.execute("COMMENT ON TABLE successors IS 'what a number or user id became, as Meta told it last'")
    op.execute("CREATE INDEX contacts_other ON contacts (org_id, other, other_at) WHERE other IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX contacts_other")
    op.execute("DROP TABLE successors")
