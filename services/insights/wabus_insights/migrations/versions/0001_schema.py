"""The schema: its tables come with what fills them."""

revision = "insights_0001"
down_revision = None


def upgrade() -> None:
    """Nothing yet."""
