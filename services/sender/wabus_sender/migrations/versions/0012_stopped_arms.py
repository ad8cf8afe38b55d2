"""Which arms of an experiment are stopped: their people get what the control gets."""

from alembic import op

revision = "sender_0012"
down_revision = "sender_0011"


def upgrade() -> None:
    op.execute("ALTER TABLE known_experiments ADD COLUMN stopped_arms text[] NOT NULL DEFAULT '{}'")
