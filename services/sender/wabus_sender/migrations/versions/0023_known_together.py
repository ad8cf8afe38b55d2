"""What somebody is known by beside a number or user id, so that nobody is judged by a stranger who has their number."""

from alembic import op

revision = "sender_0023"
down_revision = "sender_0022"


def upgrade() -> None:
    op.execute("""
        CREATE VIEW known_together AS
        SELECT own.org_id, own.value, own.other FROM contacts AS own
        LEFT JOIN contacts AS back ON back.org_id = own.org_id AND back.value = own.other
        WHERE own.other IS NOT NULL AND coalesce(back.other, own.value) = own.value
    """)
    op.execute("COMMENT ON VIEW known_together IS 'numbers and user ids, each of which came with the other last'")


def downgrade() -> None:
    op.execute("DROP VIEW known_together")
