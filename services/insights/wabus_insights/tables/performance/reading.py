"""What the API asks of counts. A question over a long time reads months, and days at its two ends."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple

import asyncpg

from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.spans import Span, Spans
from wabus_insights.performance.summary import RATES

Sort = Literal[
    "accepted", "sent", "delivered", "read", "played", "failed", "replied", "clicked", "stopped", "delivery_rate",
    "failure_rate", "read_rate", "reply_rate", "click_rate", "stop_rate", "cost",
]  # fmt: skip
Row = dict[str, Any]
By = Literal["hour", "day", "version", "number", "country"]

_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in COUNTS)
_NAMES = ", ".join(COUNTS)
_NEGATIVE = ", ".join(f"-{name}" for name in COUNTS)
_WHERE = "org_id = $1 AND ($2::text IS NULL OR phone_number_id = $2) AND ($3::text IS NULL OR country = $3)"
_LIST = f"""
    WITH counted AS (
        SELECT template_id, waba_id, {_SUMS} FROM (
            SELECT template_id, waba_id, {_NAMES} FROM template_months
            WHERE {_WHERE} AND month BETWEEN $4 AND $5
            UNION ALL
            SELECT template_id, waba_id, {_NAMES} FROM template_days
            WHERE {_WHERE} AND (day BETWEEN $6 AND $7 OR day BETWEEN $8 AND $9)
            UNION ALL
            SELECT template_id, waba_id, {_NEGATIVE} FROM template_days
            WHERE {_WHERE} AND (day BETWEEN $10 AND $11 OR day BETWEEN $12 AND $13)
        ) AS parts GROUP BY template_id, waba_id
    ), ranked AS (
        SELECT counted.*, {{place}} AS place FROM counted {{joined}} WHERE accepted > 0 AND sent >= $14
    ), page AS (
        SELECT * FROM ranked
        WHERE $15::float8 IS NULL OR place {{than}} $15
            OR (place = $15 AND (template_id, waba_id) > ($16::text, $17::text))
        ORDER BY place {{direction}}, template_id, waba_id LIMIT $18
    )
    SELECT page.*, name, language, category, status, quality, removed_at
    FROM page LEFT JOIN templates USING (template_id, waba_id)
    ORDER BY place {{direction}}, page.template_id, page.waba_id
"""  # noqa: S608
_COSTS = """
    LEFT JOIN unnest($19::text[], $20::text[], $21::float8[]) AS costs (template_id, waba_id, cost)
    USING (template_id, waba_id)
"""
_NO_DAYS = Span(date(1970, 1, 2), date(1970, 1, 1))
_DAYS = "hour >= $5 AND hour < $6 AND day BETWEEN $7 AND $8"

_HOURS = f"""
    FROM template_hours WHERE {_WHERE} AND template_id = $4 AND {_DAYS}
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


async def templates(
    pool: asyncpg.Pool,
    asked: Asked,
    spans: Spans,
    *,
    sort: Sort,
    ascending: bool,
    min_sent: int,
    after: tuple[float, str, str] | None,
    limit: int,
    by_cost: Mapping[tuple[str, str], float] | None = None,
) -> list[Row]:
    """Templates with their counts in an order; `place` is what that is by, and where nothing is to be told of it -1.

    `by_cost` are the places by cost, of templates with their accounts.
    """
    part, whole = ("coalesce(cost, -1)", None) if sort == "cost" else RATES.get(sort, (sort, None))
    place = f"coalesce({part}::float8 / nullif({whole}, 0), -1)" if whole else f"{part}::float8"
    direction, than = ("ASC", ">") if ascending else ("DESC", "<")
    months = spans.months or _NO_DAYS
    days = [*spans.added, *[_NO_DAYS] * 2][:2] + [*spans.removed, *[_NO_DAYS] * 2][:2]
    joined, costs = "", ()
    if sort == "cost":
        joined = _COSTS
        costs = zip(*((*key, cost) for key, cost in by_cost.items()), strict=True) if by_cost else ([], [], [])
    rows = await pool.fetch(
        _LIST.format(joined=joined, place=place, than=than, direction=direction),
        asked.org_id, asked.number, asked.country, *months, *(day for span in days for day in span), min_sent,
        *(after or (None, None, None)), limit, *costs,
    )  # fmt: skip
    return [dict(row) for row in rows]


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
        f"SELECT {_SUMS} {_HOURS}",
        asked.org_id, asked.number, asked.country, template_id, *asked.days,
    )  # fmt: skip
    return dict(row or {})


async def groups(pool: asyncpg.Pool, asked: Asked, template_id: str, by: By) -> list[Row]:
    """The counts of one template, by something."""
    rows = await pool.fetch(
        f'SELECT {_BY[by]} AS "group", {_SUMS} {_HOURS} GROUP BY 1 HAVING sum(accepted) <> 0 ORDER BY 1',
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
        WHERE {_WHERE} AND template_id = $4 AND {_DAYS}
        GROUP BY 1 HAVING sum(failed) > 0 ORDER BY 2 DESC, 1
        """,  # noqa: S608
        asked.org_id, asked.number, asked.country, template_id, *asked.days,
    )  # fmt: skip
    return [(row[0], row[1]) for row in rows]
