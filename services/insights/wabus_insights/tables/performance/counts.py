"""Counts by template, kept for 400 days: by the hour, and in days and months for what is asked over a long time.

Hours are those of UTC, days and months those of each account's place.
"""

from wabus_runtime.postgres.database import Connection

from wabus_insights.performance.counting import COUNTS, Tally
from wabus_insights.tables.json_rows import as_json, json_rows

_ADDED = ", ".join(f"{name} = held.{name} + excluded.{name}" for name in COUNTS)
_NAMES = ", ".join(COUNTS)
_SUMS = ", ".join(f"sum({name})::integer" for name in COUNTS)
_COLUMNS = {
    "org_id": "text", "waba_id": "text", "template_id": "text", "version": "integer", "phone_number_id": "text",
    "country": "text", "hour": "timestamptz", "day": "date", **dict.fromkeys(COUNTS, "integer"),
}  # fmt: skip
_PLACE = "template_id, phone_number_id, country, waba_id"


def _rolled_up(table: str, column: str, value: str) -> str:
    return f"""
        INSERT INTO {table} AS held (org_id, {column}, {_PLACE}, {_NAMES})
        SELECT org_id, {value}, {_PLACE}, {_SUMS} FROM new GROUP BY org_id, 2, {_PLACE} ORDER BY org_id, 2, {_PLACE}
        ON CONFLICT (org_id, {column}, {_PLACE}) DO UPDATE SET {_ADDED}
    """  # noqa: S608


# All three in one statement: to send the rows takes longer than to write them.
_ADD = f"""
    WITH new AS MATERIALIZED (
        SELECT * FROM {json_rows(_COLUMNS)}
    ),
    days AS ({_rolled_up("template_days", "day", "day")}),
    months AS ({_rolled_up("template_months", "month", "date_trunc('month', day)::date")})
    INSERT INTO template_hours AS held ({", ".join(_COLUMNS)}) SELECT * FROM new
    ON CONFLICT (org_id, template_id, hour, version, phone_number_id, country, waba_id, day) DO UPDATE SET {_ADDED}
"""  # noqa: S608

SUM_UP_DAYS = f"""
    INSERT INTO template_days (org_id, day, {_PLACE}, {_NAMES})
    SELECT org_id, day, {_PLACE}, {_SUMS} FROM template_hours WHERE {{}} GROUP BY org_id, day, {_PLACE}
"""  # noqa: S608
"""Days that were emptied, out of their hours; which of them is a condition that is filled in."""
SUM_UP_MONTHS = f"""
    INSERT INTO template_months (org_id, month, {_PLACE}, {_NAMES})
    SELECT org_id, date_trunc('month', day)::date, {_PLACE}, {_SUMS} FROM template_days
    WHERE {{}} GROUP BY org_id, 2, {_PLACE}
"""  # noqa: S608
"""The same of months, out of their days."""


async def add(connection: Connection, tally: Tally) -> None:
    """Add to the counts by how much they have changed; everybody in one order."""
    if cohorts := tally.cohorts():
        await connection.execute(_ADD, as_json(_COLUMNS, ((*cohort, *counts) for cohort, counts in cohorts)))
    if failures := tally.failures():
        await connection.execute(
            """
            INSERT INTO failure_hours AS held
                (org_id, waba_id, template_id, version, phone_number_id, country, hour, day,
                code, failed)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[],
                $7::timestamptz[], $8::date[], $9::integer[], $10::integer[])
            ON CONFLICT (org_id, template_id, hour, code, version, phone_number_id, country, waba_id, day)
                DO UPDATE SET failed = held.failed + excluded.failed
            """,
            *zip(*((*failure.cohort, failure.code, count) for failure, count in failures), strict=True),
        )
    if times := tally.read_times():
        await connection.execute(
            """
            INSERT INTO read_times AS held (org_id, waba_id, template_id, version, day, utc_day, bucket, read)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::date[], $6::date[],
                $7::smallint[], $8::integer[])
            ON CONFLICT (org_id, template_id, day, version, bucket, waba_id, utc_day)
                DO UPDATE SET read = held.read + excluded.read
            """,
            *zip(*((*time, count) for time, count in times), strict=True),
        )
