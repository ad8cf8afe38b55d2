"""What days cost, summed up: by day without templates, and by template and campaign for parts of months and longer.

Triggers note which days have changed (migration 10). Such a day is read from its cells until it is summed up anew, and
no sum stands for it meanwhile: nobody is told what was.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.sums import PART, Piece, Span, pieces, sums_with

_LOCK = 0x73756D73  # "sums": whoever holds it alone writes sums
OVER_AFTER = timedelta(days=2)
"""A day is over everywhere when UTC has come so far; sums of what is not over would be made again and again."""
# Each day once: one that changes all the time is noted with each batch, and PostgreSQL compares with each note.
_CHANGED = "SELECT DISTINCT day FROM cost_changes WHERE org_id = {org} AND day BETWEEN {since} AND {to}"
_OF_DAYS = "org_id, day, waba_id, phone_number_id, country, market, category, pricing_type, currency, known"
_OF_TEMPLATES = "template_id, campaign, waba_id, currency, known"

DAYS = f"""(
    SELECT {_OF_DAYS}, volume, amount FROM cost_day_sums
    WHERE org_id = {{org}} AND day BETWEEN {{since}} AND {{to}} AND day <> ALL(ARRAY({_CHANGED}))
    UNION ALL
    SELECT {_OF_DAYS}, volume, amount FROM cost_days WHERE org_id = {{org}} AND day = ANY(ARRAY({_CHANGED}))
) AS days"""  # noqa: S608
"""SQL: what an organisation's days cost, without templates; whose, and the first and the last day, are filled in."""
TEMPLATES = f"""(
    SELECT {_OF_TEMPLATES}, CASE WHEN sign < 0 THEN -volume ELSE volume END AS volume,
        CASE WHEN sign < 0 THEN -amount ELSE amount END AS amount
    FROM unnest({{firsts}}::date[], {{lasts}}::date[], {{signs}}::integer[]) AS piece (first, last, sign)
    JOIN cost_template_sums USING (first, last)
    WHERE org_id = {{org}} AND phone_number_id = coalesce({{number}}::text, '*')
        AND country = coalesce({{country}}::text, '*')
    UNION ALL
    SELECT {_OF_TEMPLATES}, CASE WHEN sign < 0 THEN -volume ELSE volume END AS volume,
        CASE WHEN sign < 0 THEN -amount ELSE amount END AS amount
    FROM unnest({{firsts}}::date[], {{lasts}}::date[], {{signs}}::integer[]) AS piece (day, last, sign)
    JOIN cost_days USING (day)
    WHERE org_id = {{org}} AND day = last AND ({{number}}::text IS NULL OR phone_number_id = {{number}})
        AND ({{country}}::text IS NULL OR country = {{country}})
) AS templates"""  # noqa: S608
"""SQL: the same by template and campaign, of pieces as `columns_of` has them. Whose volume adds up to 0 is no row."""


class Place(NamedTuple):
    """How far days are summed up."""

    org_id: str
    day: date


async def pieces_of(connection: Connection, org_id: str, since: date, to: date) -> list[Piece]:
    """The sums of templates that make some days now; they are to be read in the same snapshot."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT day, day FROM cost_changes WHERE org_id = $1 AND day BETWEEN $2 AND $3
        UNION ALL SELECT first, last FROM cost_sums_due WHERE org_id = $1 AND last >= $2 AND first <= $3
        """,
        org_id,
        sums_with(since)[0].first,
        sums_with(to)[0].last,
    )
    return pieces(Span(since, to), [Span(*row) for row in rows])


def columns_of(found: Sequence[Piece]) -> tuple[list[date], list[date], list[int]]:
    """Pieces as `TEMPLATES` takes them: the first days, the last ones, the signs."""
    return [each.span.first for each in found], [each.span.last for each in found], [each.sign for each in found]


async def lock(connection: Connection) -> None:
    """Keep others from writing sums until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1::int, 0)", _LOCK)


async def sum_up_days(pool: asyncpg.Pool, after: Place | None, most: int) -> Place | None:
    """Sum up to so many days that have changed, beyond those before; returns the last one, and None where none is left.

    Nobody waits for another: where somebody sums up already there is nothing to do.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await _is_alone(connection):
            return None
        # What changes after this is noted anew, and read from the cells once more.
        rows = await connection.fetch(
            """
            WITH next AS (
                SELECT DISTINCT org_id, day FROM cost_changes
                WHERE $1::text IS NULL OR (org_id, day) > ($1, $2::date) ORDER BY 1, 2 LIMIT $3
            ), noted AS (
                DELETE FROM cost_changes USING next
                WHERE cost_changes.org_id = next.org_id AND cost_changes.day = next.day
            )
            SELECT org_id, day FROM next ORDER BY 1, 2
            """,
            *(after or (None, None)),
            most,
        )
        found = [Place(*row) for row in rows]
        if not found:
            return None
        days = [each.org_id for each in found], [each.day for each in found]
        await connection.execute(
            """
            DELETE FROM cost_day_sums AS sums USING unnest($1::text[], $2::date[]) AS changed (org_id, day)
            WHERE sums.org_id = changed.org_id AND sums.day = changed.day
            """,
            *days,
        )
        await connection.execute(
            f"""
            INSERT INTO cost_day_sums ({_OF_DAYS}, volume, amount)
            SELECT {_OF_DAYS}, sum(volume)::bigint, sum(amount)
            FROM unnest($1::text[], $2::date[]) AS changed (org_id, day) JOIN cost_days USING (org_id, day)
            GROUP BY {_OF_DAYS}
            """,  # noqa: S608
            *days,
        )
        due = sorted({(each.org_id, *span) for each in found for span in sums_with(each.day)})
        await connection.executemany(
            "INSERT INTO cost_sums_due (org_id, first, last) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", due
        )
        return found[-1]


async def sum_up_templates(pool: asyncpg.Pool, size: int, made_of: int, today: date, most: int) -> int:
    """Sum up to so many of what is due and over, has up to `size` days and more than `made_of`; returns how many.

    It is made of sums of as many days as `made_of` has, or of cells where these are days. What has no cell left needs
    no sum, over or not.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await _is_alone(connection):
            return 0
        rows = await connection.fetch(
            """
            DELETE FROM cost_sums_due WHERE (org_id, first, last) IN (
                SELECT org_id, first, last FROM cost_sums_due AS due
                WHERE last - first < $1 AND last - first >= $2 AND (last <= $3 OR NOT EXISTS (
                    SELECT FROM cost_days WHERE org_id = due.org_id AND day BETWEEN due.first AND due.last
                )) AND NOT EXISTS (
                    SELECT FROM cost_sums_due AS part
                    WHERE part.org_id = due.org_id AND part.first >= due.first AND part.last <= due.last
                        AND part.last - part.first < due.last - due.first
                )
                ORDER BY org_id, first LIMIT $4
            ) RETURNING org_id, first, last
            """,
            size,
            made_of,
            today - OVER_AFTER,
            most,
        )
        if not rows:
            return 0
        due = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(
            """
            DELETE FROM cost_template_sums AS sums USING unnest($1::text[], $2::date[], $3::date[])
                AS due (org_id, a, z)
            WHERE sums.org_id = due.org_id AND sums.first = due.a AND sums.last = due.z
            """,
            *due,
        )
        await connection.execute(_OF_CELLS if made_of == 1 else _OF_SUMS.format(made_of), *due)
        return len(rows)


async def forget(connection: Connection, column: str, value: str, until: date) -> None:
    """Remove the sums of an organisation or an account, as far as all of their days are no later.

    The others are made anew, for days of theirs have changed.
    """
    await lock(connection)
    await connection.execute(f"DELETE FROM cost_day_sums WHERE {column} = $1 AND day <= $2", value, until)  # noqa: S608
    await connection.execute(f"DELETE FROM cost_template_sums WHERE {column} = $1 AND last <= $2", value, until)  # noqa: S608


_OF_CELLS = f"""
    INSERT INTO cost_template_sums (org_id, first, last, phone_number_id, country, {_OF_TEMPLATES}, volume, amount)
    SELECT org_id, due.first, due.last, coalesce(phone_number_id, '*'), coalesce(country, '*'), {_OF_TEMPLATES},
        sum(volume)::bigint, sum(amount)
    FROM unnest($1::text[], $2::date[], $3::date[]) AS due (org_id, first, last) JOIN cost_days USING (org_id)
    WHERE day BETWEEN due.first AND due.last
    GROUP BY org_id, due.first, due.last, {_OF_TEMPLATES}, CUBE (phone_number_id, country)
"""  # noqa: S608
_OF_SUMS = f"""
    INSERT INTO cost_template_sums (org_id, first, last, phone_number_id, country, {_OF_TEMPLATES}, volume, amount)
    SELECT org_id, due.first, due.last, phone_number_id, country, {_OF_TEMPLATES}, sum(volume)::bigint, sum(amount)
    FROM unnest($1::text[], $2::date[], $3::date[]) AS due (org_id, first, last)
    JOIN cost_template_sums AS sums USING (org_id)
    WHERE sums.first BETWEEN due.first AND due.last AND sums.last - sums.first < {{0}}
        AND ({{0}} = {PART} OR sums.last - sums.first >= {PART})
    GROUP BY org_id, due.first, due.last, phone_number_id, country, {_OF_TEMPLATES}
"""  # noqa: S608


async def _is_alone(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock($1::int, 0)", _LOCK))
