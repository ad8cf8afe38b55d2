"""What messages of experiments have cost, which were held back, and which came to nothing late."""

from alembic import op

revision = "insights_0006"
down_revision = "insights_0005"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE experiment_people
            ADD COLUMN lost boolean NOT NULL DEFAULT false,
            ADD COLUMN held boolean NOT NULL DEFAULT false,
            ADD COLUMN delivered smallint NOT NULL DEFAULT 0,
            ADD COLUMN priced smallint NOT NULL DEFAULT 0,
            ADD COLUMN cost numeric(18, 6) NOT NULL DEFAULT 0,
            ADD COLUMN currency text
    """)
    op.execute("COMMENT ON COLUMN experiment_people.failed IS 'a message came to nothing within an hour'")
    op.execute("COMMENT ON COLUMN experiment_people.lost IS 'one came to nothing until the outcome window had closed'")
    op.execute("COMMENT ON COLUMN experiment_people.held IS 'Meta has held one back for quality assessment'")
    op.execute("COMMENT ON COLUMN experiment_people.priced IS 'of the delivered messages those whose price is known'")
    op.execute("COMMENT ON COLUMN experiment_people.currency IS 'of the cost; NULL where there are several'")
