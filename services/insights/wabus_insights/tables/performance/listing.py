"""What the API asks of the counts of all templates. A question over a long time reads months, and days at its ends."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import Literal, NamedTuple

import asyncpg

from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.spans import Span, Spans
from wabus_insights.performance.summary import RATES
from wabus_insights.tables.json_rows import as_json
from wabus_insights.tables.performance.reading import SUMS, WHERE, Asked, Row

Sort = Literal[
    "name", "accepted", "sent", "delivered", "read", "played", "failed", "replied", "clicked", "stopped",
    "delivery_rate", "failure_rate", "read_rate", "reply_rate", "click_rate", "stop_rate", "cost",
]  # fmt: skip
Key = tuple[str, str]
"""Of a template: its id and its account's."""
Place = tuple[float, str, str] | tuple[str, str, str]
"""Of a template in the list: what it is ordered by, and its key."""

_NAMES = ", ".join(COUNTS)
_NEGATIVE = ", ".join(f"-{name}" for name in COUNTS)
_COUNTED = f"""
    SELECT template_id, waba_id, {SUMS} FROM (
        SELECT template_id, waba_id, {_NAMES} FROM template_months
        WHERE {WHERE} AND month BETWEEN $4 AND $5
        UNION ALL
        SELECT template_id, waba_id, {_NAMES} FROM template_days
        WHERE {WHERE} AND (day BETWEEN $6 AND $7 OR day BETWEEN $8 AND $9)
        UNION ALL
        SELECT template_id, waba_id, {_NEGATIVE} FROM template_days
        WHERE {WHERE} AND (day BETWEEN $10 AND $11 OR day BETWEEN $12 AND $13)
    ) AS parts GROUP BY template_id, waba_id HAVING sum(accepted) > 0
"""  # noqa: S608
_LIST = f"""
    WITH counted AS ({_COUNTED}), ranked AS (
        SELECT counted.*, {{place}} AS place FROM counted
        LEFT JOIN json_to_recordset($19::text::json) AS costs (template_id text, waba_id text, cost float8)
        USING (template_id, waba_id)
        {{found}}
    ), page AS (
        SELECT * FROM ranked
        WHERE $15::{{kind}} IS NULL OR place {{than}} $15
            OR (place = $15 AND (template_id, waba_id) > ($16::text, $17::text))
        ORDER BY place {{direction}}, template_id, waba_id LIMIT $18
    )
    (
        SELECT page.*, name, language, category, status, quality, removed_at, 1::bigint AS templates
        FROM page LEFT JOIN templates USING (template_id, waba_id)
        ORDER BY place {{direction}}, page.template_id, page.waba_id
    ) UNION ALL
    SELECT NULL, NULL, {SUMS}, NULL, NULL, NULL, NULL, NULL, NULL, NULL, count(*) FROM counted
"""  # noqa: S608
_EARLIER = f"""
    WITH counted AS ({_COUNTED})
    SELECT counted.*, 1::bigint AS templates FROM counted
    WHERE (template_id, waba_id) IN (SELECT * FROM unnest($14::text[], $15::text[]))
    UNION ALL SELECT NULL, NULL, {SUMS}, count(*) FROM counted
"""  # noqa: S608
_NAME = "coalesce(nullif(name, ''), template_id)"
_FOUND = f"""
    LEFT JOIN templates USING (template_id, waba_id)
    WHERE sent >= $14 AND ($20::text IS NULL
        OR position($20 IN lower({_NAME} || ' ' || replace({_NAME}, '_', ' ') || ' ' || template_id)) > 0)
    AND (NOT $21::boolean OR removed_at IS NULL
        AND (status NOT IN ('', 'APPROVED', 'ARCHIVED') OR quality NOT IN ('GREEN', 'UNKNOWN')))
"""
_NO_DAYS = Span(date(1970, 1, 2), date(1970, 1, 1))
_LAST: float = 1e300  # beyond every place, and JSON has it


class Order(NamedTuple):
    """In which order templates come, and which of them."""

    sort: Sort
    ascending: bool
    min_sent: int
    after: Place | None
    """The place of the last one before."""
    limit: int
    by_cost: Mapping[Key, float] | None = None
    """The places by cost, where they are ordered by it."""
    search: str | None = None
    """Only those whose name or id has this."""
    troubled: bool = False
    """Only those that Meta has stopped, or people think badly of."""


class Listed(NamedTuple):
    """What was found."""

    rows: list[Row]
    total: Row
    """The counts of all templates of these days together, and how many there are: `templates`."""


async def templates(pool: asyncpg.Pool, asked: Asked, spans: Spans, order: Order) -> Listed:
    """Templates with their counts in an order; `place` is what that is by. Of what nothing is to be told comes last."""
    is_named = order.sort == "name"
    is_found = is_named or order.search is not None or order.troubled
    part, whole = RATES.get(order.sort, (order.sort, None))
    value = f"{part}::float8 / nullif({whole}, 0)" if whole else f"{part}::float8"
    direction, than, last = ("ASC", ">", _LAST) if order.ascending else ("DESC", "<", -1)
    rows = await pool.fetch(
        _LIST.format(
            place=f'lower({_NAME}) COLLATE "C"' if is_named else f"coalesce({value}, {last})",
            kind="text" if is_named else "float8",
            found=_FOUND if is_found else "WHERE sent >= $14",
            than=than,
            direction=direction,
        ),
        *_days_of(asked, spans),
        order.min_sent,
        *(order.after or (None, None, None)),
        order.limit,
        as_json(("template_id", "waba_id", "cost"), ((*key, cost) for key, cost in (order.by_cost or {}).items())),
        *((order.search and order.search.lower(), order.troubled) if is_found else ()),
    )
    found = [dict(row) for row in rows]
    return Listed(found[:-1], found[-1])


async def earlier(pool: asyncpg.Pool, asked: Asked, spans: Spans, keys: Collection[Key]) -> tuple[dict[Key, Row], Row]:
    """The counts of some templates, and of all of them together."""
    rows = await pool.fetch(_EARLIER, *_days_of(asked, spans), *_columns(keys))
    found = [dict(row) for row in rows]
    return {(row["template_id"], row["waba_id"]): row for row in found[:-1]}, found[-1]


async def counted_from(pool: asyncpg.Pool, org_id: str) -> date | None:
    """The first day of which anything of an organisation is counted."""
    return await pool.fetchval("SELECT min(day) FROM template_days WHERE org_id = $1", org_id)


async def clicks(pool: asyncpg.Pool, asked: Asked, keys: Collection[Key]) -> dict[Key, int]:
    """How often the links and buttons of some templates were pressed, as far as Meta has told that."""
    rows = await pool.fetch(
        """
        SELECT template_id, waba_id, sum(clicked)::bigint FROM meta_template_days
        JOIN unnest($4::text[], $5::text[]) AS listed (template_id, waba_id) USING (template_id, waba_id)
        WHERE org_id = $1 AND day BETWEEN $2 AND $3 GROUP BY 1, 2 HAVING sum(clicked) > 0
        """,
        asked.org_id, asked.first, asked.last, *_columns(keys),
    )  # fmt: skip
    return {(row[0], row[1]): row[2] for row in rows}


def _days_of(asked: Asked, spans: Spans) -> list[object]:
    """The first parameters of each question: whose, and the months and days that are added and taken away."""
    days = [*spans.added, *[_NO_DAYS] * 2][:2] + [*spans.removed, *[_NO_DAYS] * 2][:2]
    months = spans.months or _NO_DAYS
    return [asked.org_id, asked.number, asked.country, *months, *(day for span in days for day in span)]


def _columns(keys: Collection[Key]) -> tuple[list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys]
