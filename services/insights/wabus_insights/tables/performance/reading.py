"""What the API asks of the counts of one template."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple

import asyncpg

from wabus_insights.performance.counting import COUNTS

Row = dict[str, Any]
By = Literal["hour", "day", "version", "number", "country"]

SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in COUNTS)
WHERE = "org_id = $1 AND ($2::text IS NULL OR phone_number_id = $2) AND ($3::text IS NULL OR country = $3)"
"""SQL: what an organisation sent, by a number and to a country where these are given."""
_DAYS = "hour >= $5 AND hour < $6 AND day BETWEEN $7 AND $8"

_HOURS = f"""
    FROM template_hours WHERE {WHERE} AND template_id = $4 AND {_DAYS}
"""
_BY: dict[By, str] = {
    "hour": "hour",
    "day": "day",
    "version": "version",
    "number": "phone_number_id",
    "country": "country",
}


class Asked(NamedTuple):
    """What every question is limited to; days are those of the account's place."""

    org_id: str
    number: str | None
    country: str | None
    first: date
    last: date

    @property
    def days(self) -> tuple[datetime, datetime, date, date]:
        """The moments between which these days are anywhere, and the first and the last of them."""
        begin, end = datetime.combine(self.first, time(), UTC), datetime.combine(self.last, time(), UTC)
        return begin - timedelta(days=1), end + timedelta(days=2), self.first, self.last


async def template(pool: asyncpg.Pool, org_id: str, template_id: str) -> Row | None:
    """What a template is called, if the organisation has ever sent it."""
    row = await pool.fetchrow(
        """
        SELECT waba_id, template_id, name, language, category, status, quality, removed_at FROM templates
        RIGHT JOIN (
            SELECT template_id, waba_id FROM template_hours WHERE org_id = $1 AND template_id = $2 LIMIT 1
        ) AS sent USING (template_id, waba_id)
        """,
        org_id,
        template_id,
    )
    return dict(row) if row else None


async def total(pool: asyncpg.Pool, asked: Asked, template_id: str) -> Row:
    """The counts of one template."""
    row = await pool.fetchrow(
        f"SELECT {SUMS} {_HOURS}",
        asked.org_id, asked.number, asked.country, template_id, *asked.days,
    )  # fmt: skip
    return dict(row or {})


async def groups(pool: asyncpg.Pool, asked: Asked, template_id: str, by: By) -> list[Row]:
    """The counts of one template, by something."""
    rows = await pool.fetch(
        f'SELECT {_BY[by]} AS "group", {SUMS} {_HOURS} GROUP BY 1 HAVING sum(accepted) <> 0 ORDER BY 1',
        asked.org_id, asked.number, asked.country, template_id, *asked.days,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def read_times(pool: asyncpg.Pool, asked: Asked, template_id: str) -> list[tuple[int, int]]:
    """How many read within which bucket of times, of all numbers and countries."""
    rows = await pool.fetch(
        """
        SELECT bucket, sum(read)::bigint FROM read_times
        WHERE org_id = $1 AND template_id = $2 AND day BETWEEN $3 AND $4 GROUP BY 1 HAVING sum(read) > 0 ORDER BY 1
        """,
        asked.org_id,
        template_id,
        asked.first,
        asked.last,
    )
    return [(row[0], row[1]) for row in rows]


async def failures(pool: asyncpg.Pool, asked: Asked, template_id: str) -> list[tuple[int, int]]:
    """Codes of failures with how many there were of each, the most first."""
    rows = await pool.fetch(
        f"""
        SELECT code, sum(failed)::bigint FROM failure_hours
        WHERE {WHERE} AND template_id = $4 AND {_DAYS}
        GROUP BY 1 HAVING sum(failed) > 0 ORDER BY 2 DESC, 1
        """,  # noqa: S608
        asked.org_id, asked.number, asked.country, template_id, *asked.days,
    )  # fmt: skip
    return [(row[0], row[1]) for row in rows]
