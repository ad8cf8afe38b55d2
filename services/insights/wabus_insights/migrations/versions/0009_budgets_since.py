"""Since when each budget is one, so that nobody is told of a month that was over when they set it."""

from alembic import op

revision = "insights_0009"
down_revision = "insights_0008"


def upgrade() -> None:
    op.execute("ALTER TABLE budgets ADD COLUMN set_at timestamptz")
    op.execute("COMMENT ON COLUMN budgets.set_at IS 'since when it is of this amount; NULL for before that was kept'")
