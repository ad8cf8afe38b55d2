"""Counts by template, kept for 400 days: by the hour, and in days and months for what is asked over a long time.

Hours are those of UTC, days and months those of each account's place.
"""

from typing import Any

from wabus_runtime.postgres.database import Connection

from wabus_insights.performance.counting import COUNTS, Tally

_ADDED = ", ".join(f"{name} = held.{name} + excluded.{name}" for name in COUNTS)
_NAMES = ", ".join(COUNTS)
_SUMS = ", ".join(f"sum({name})::integer" for name in COUNTS)
_INTEGERS = ", ".join(f"${place}::integer[]" for place in range(9, 9 + len(COUNTS)))
_NEW = f"""
    unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::date[],
        {_INTEGERS})
        AS new(org_id, waba_id, template_id, version, phone_number_id, country, hour, day, {_NAMES})
"""
_HOURS = f"""
    INSERT INTO template_hours AS held
        (org_id, waba_id, template_id, version, phone_number_id, country, hour, day, {_NAMES})
    SELECT * FROM {_NEW}
    ON CONFLICT (org_id, template_id, hour, version, phone_number_id, country, waba_id, day) DO UPDATE SET {_ADDED}
"""  # noqa: S608


def _rolled_up(table: str, column: str, value: str) -> str:
    return f"""
        INSERT INTO {table} AS held
            (org_id, {column}, template_id, phone_number_id, country, waba_id, {_NAMES})
        SELECT org_id, {value}, template_id, phone_number_id, country, waba_id, {_SUMS} FROM {_NEW}
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (org_id, {column}, template_id, phone_number_id, country, waba_id) DO UPDATE SET {_ADDED}
    """  # noqa: S608


_DAYS = _rolled_up("template_days", "day", "day")
_MONTHS = _rolled_up("template_months", "month", "date_trunc('month', day)::date")

_PLACE = "template_id, phone_number_id, country, waba_id"
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
        columns: list[Any] = list(zip(*((*cohort, *counts) for cohort, counts in cohorts), strict=True))
        for statement in (_HOURS, _DAYS, _MONTHS):
            await connection.execute(statement, *columns)
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
