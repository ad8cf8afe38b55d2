"""To how many people a business writes first in 24 hours: Meta limits it for a whole portfolio."""

from alembic import op

revision = "sender_0009"
down_revision = "sender_0008"


def upgrade() -> None:
    op.execute("ALTER TABLE known_accounts ADD COLUMN portfolio_id text")
    op.execute("ALTER TABLE known_numbers ADD COLUMN people_a_day int")
    op.execute(
        "COMMENT ON COLUMN known_numbers.people_a_day IS 'whom the portfolio may write to first; -1 without limit'"
    )
    op.execute("ALTER TABLE sends ADD COLUMN writes_first boolean NOT NULL DEFAULT false")
    op.execute("COMMENT ON COLUMN sends.writes_first IS 'whether the window was closed when it was claimed'")
    op.execute("CREATE INDEX sends_written_first ON sends (phone_number_id, called_at) WHERE writes_first")
