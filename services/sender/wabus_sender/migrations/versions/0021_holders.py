"""Whose numbers were, one after the other, so that nobody is answered at a stranger's."""

from alembic import op

revision = "sender_0021"
down_revision = "sender_0020"
serves_from = "sender_0021"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE holders (
            org_id text NOT NULL,
            value text NOT NULL,
            holder text NOT NULL,
            first_at timestamptz NOT NULL,
            PRIMARY KEY (org_id, value, holder)
        )
    """)
    op.execute("COMMENT ON TABLE holders IS 'which user ids a number came with, and when first'")
    op.execute("CREATE INDEX holders_holder ON holders (org_id, holder)")
    op.execute("""
        INSERT INTO holders (org_id, value, holder, first_at)
        SELECT org_id, number, holder, min(other_at) FROM (
            SELECT org_id, value AS number, other AS holder, other_at FROM contacts
            UNION ALL SELECT org_id, other, value, other_at FROM contacts
        ) AS known
        WHERE number !~ '[^0-9]' AND holder ~ '[^0-9]' GROUP BY 1, 2, 3
    """)
    op.execute("ALTER TABLE successors DROP CONSTRAINT successors_pkey, ADD PRIMARY KEY (org_id, value, at)")
    op.execute("COMMENT ON TABLE successors IS 'what a number or user id became, each time that Meta told it'")
    op.execute("CREATE INDEX successors_successor ON successors (org_id, successor)")


def downgrade() -> None:
    op.execute("DROP INDEX successors_successor")
    op.execute("""
        DELETE FROM successors AS older USING successors AS newer
        WHERE (older.org_id, older.value) = (newer.org_id, newer.value) AND older.at < newer.at
    """)
    op.execute("ALTER TABLE successors DROP CONSTRAINT successors_pkey, ADD PRIMARY KEY (org_id, value)")
    op.execute("DROP TABLE holders")
