"""Days of performance are those of each account's place; what was counted before keeps its days of UTC."""

from alembic import op

revision = "insights_0007"
down_revision = "insights_0006"


def upgrade() -> None:
    op.execute("ALTER TABLE send_facts ADD COLUMN day date")
    op.execute(
        "COMMENT ON COLUMN send_facts.day IS 'for which it counts, of the account''s place; NULL for that of UTC'"
    )
    for table, key in (
        ("template_hours", "org_id, template_id, hour, version, phone_number_id, country, waba_id, day"),
        ("failure_hours", "org_id, template_id, hour, code, version, phone_number_id, country, waba_id, day"),
    ):
        op.execute(f"ALTER TABLE {table} ADD COLUMN day date")
        op.execute(f"UPDATE {table} SET day = (hour AT TIME ZONE 'UTC')::date")  # noqa: S608
        _replace_key(table, "day", key)
    op.execute("ALTER TABLE read_times ADD COLUMN utc_day date")
    op.execute("UPDATE read_times SET utc_day = day")
    _replace_key("read_times", "utc_day", "org_id, template_id, day, version, bucket, waba_id, utc_day")
    op.execute("DROP INDEX template_hours_hour")
    op.execute("CREATE INDEX template_hours_day ON template_hours (day)")


def _replace_key(table: str, added: str, key: str) -> None:
    op.execute(f"ALTER TABLE {table} ALTER COLUMN {added} SET NOT NULL")
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    op.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
