"""Where each projection has got to, and which process may write it."""

from alembic import op

revision = "runtime_0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE projection_offsets (
            projection text NOT NULL,
            topic text NOT NULL,
            partition int NOT NULL,
            next_offset bigint NOT NULL DEFAULT 0,
            owner uuid NOT NULL,
            PRIMARY KEY (projection, topic, partition)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE projection_offsets")
