"""Finds conversations by the names and numbers of who they are with."""

from alembic import op

revision = "conversations_0008"
down_revision = "conversations_0007"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX conversations_names ON conversations USING gin (
            (to_tsvector('simple', coalesce(name, '') || ' ' || coalesce(username, ''))
                || array_to_tsvector(ARRAY['org ' || org_id]))
        ) WHERE name IS NOT NULL OR username IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX identifiers_names ON identifiers USING gin (
            (to_tsvector('simple', book_name) || array_to_tsvector(ARRAY['org ' || org_id]))
        ) WHERE book_name IS NOT NULL
    """)
    op.execute("""
        CREATE INDEX identifiers_number ON identifiers (org_id, value COLLATE "C") WHERE kind = 'wa_id'
    """)


def downgrade() -> None:
    op.execute("DROP INDEX identifiers_number, identifiers_names, conversations_names")
