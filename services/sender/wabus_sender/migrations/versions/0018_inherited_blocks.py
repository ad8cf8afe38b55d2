"""Who was blocked by a number or user id that they have no more is blocked by the next one."""

from alembic import op

revision = "sender_0018"
down_revision = "sender_0017"


def upgrade() -> None:
    op.execute("ALTER TABLE blocks ADD COLUMN inherited boolean NOT NULL DEFAULT false")
    op.execute(
        "COMMENT ON COLUMN blocks.inherited IS 'whether it is of a number or user id before, and Meta has not said so'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE blocks DROP COLUMN inherited")
