"""Which account told what is kept of people beside their messages, so that it goes with the account."""

from alembic import op

revision = "conversations_0003"
down_revision = "conversations_0002"


def upgrade() -> None:
    op.execute("ALTER TABLE contact_facts ADD COLUMN waba_id text")
    op.execute("ALTER TABLE histories ADD COLUMN waba_id text")
    op.execute("ALTER TABLE identifiers ADD COLUMN book_waba_id text")
    op.execute("COMMENT ON COLUMN identifiers.book_waba_id IS 'in whose address book that name is'")
    op.execute("CREATE INDEX contact_facts_account ON contact_facts (org_id, waba_id)")
    op.execute("""
        CREATE INDEX identifiers_book_account ON identifiers (org_id, book_waba_id) WHERE book_waba_id IS NOT NULL
    """)


def downgrade() -> None:
    op.execute("DROP INDEX identifiers_book_account, contact_facts_account")
    op.execute("ALTER TABLE identifiers DROP COLUMN book_waba_id")
    op.execute("ALTER TABLE histories DROP COLUMN waba_id")
    op.execute("ALTER TABLE contact_facts DROP COLUMN waba_id")
