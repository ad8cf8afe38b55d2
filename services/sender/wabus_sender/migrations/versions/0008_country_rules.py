"""Whether what WhatsApp does not deliver in a country is refused before WhatsApp is asked."""

from alembic import op

revision = "sender_0008"
down_revision = "sender_0007"


def upgrade() -> None:
    op.execute("ALTER TABLE policies ADD COLUMN country_rules text NOT NULL DEFAULT 'refuse'")
    op.execute("COMMENT ON COLUMN policies.country_rules IS 'refuse, or ask_meta'")
