"""Who was forgotten, and when, as projections know it: what is older is not folded any more."""

from alembic import op

revision = "runtime_0003"
down_revision = "runtime_0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE erasures (
            identity text PRIMARY KEY,
            at timestamptz NOT NULL,
            revision bigserial NOT NULL
        )
    """)
    op.execute("CREATE INDEX erasures_revision ON erasures (revision)")
    op.execute("COMMENT ON COLUMN erasures.identity IS 'an HMAC: see wabus_events.identity_of'")
    op.execute("COMMENT ON COLUMN erasures.revision IS 'greater than all before at each change, to see what is new'")


def downgrade() -> None:
    op.execute("DROP TABLE erasures")
