"""When Meta last refused a message to a person because the window was closed."""

from alembic import op

revision = "sender_0016"
down_revision = "sender_0015"


def upgrade() -> None:
    op.execute("ALTER TABLE windows ADD COLUMN refused_at timestamptz")
    op.execute("COMMENT ON COLUMN windows.refused_at IS 'when Meta last refused a message for the window, 131047'")
