"""Finds texts in scripts that write no spaces between words by any part of them."""

from alembic import op

revision = "conversations_0009"
down_revision = "conversations_0008"


def upgrade() -> None:
    op.execute("ALTER TABLE messages ADD COLUMN pieces text")
    op.execute("COMMENT ON COLUMN messages.pieces IS 'what a text without spaces between words is found by; else null'")
    op.execute("""
        CREATE INDEX messages_pieces ON messages
            USING gin ((array_to_tsvector(string_to_array(pieces, ' ')) || array_to_tsvector(ARRAY['org ' || org_id])))
            WHERE pieces IS NOT NULL
    """)
    op.execute("""
        CREATE TABLE texts_without_pieces (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            month date NOT NULL DEFAULT '0001-01-01',
            message_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
            since timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("""
        COMMENT ON TABLE texts_without_pieces IS
            'the last message that was looked at, of those written before there were pieces; empty once all were'
    """)
    op.execute("INSERT INTO texts_without_pieces DEFAULT VALUES")


def downgrade() -> None:
    op.execute("DROP TABLE texts_without_pieces")
    op.execute("DROP INDEX messages_pieces")
    op.execute("ALTER TABLE messages DROP COLUMN pieces")
