"""What advice counts of messages: by days of UTC, all organisations at once, each day in parts of its people.

A day is counted when it is over, and once more when what comes late has come (`settled`). A part of the people is one
transaction, so a process that dies loses one; whoever goes on begins with the next. What has no time in the parts that
there are is counted anew in twice as many.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.advice.evidence import Repetition
from wabus_insights.performance.message import GOT, Bit
from wabus_insights.tables.planning.erasing import erase_counts_again

BURST = "30 seconds"
"""SQL: messages to one person that follow each other in so much could have been one."""
AGAIN = "24 hours"
"""SQL: the same template to the same person within it is too often."""
TOLD_LATE = "1 hour"
"""SQL: by so much a status may be earlier than the acceptance that it is of, which is told later then."""
MOST_PARTS = 1_024
LONGEST_PART = 180.0  # seconds
_NOT_LOST = f"(bits & {int(Bit.FAILED)} = 0 OR bits & {int(GOT)} <> 0)"
"""Who sends again what has failed does not send it twice."""


class Day(NamedTuple):
    """A day to be counted."""

    day: date
    settled: bool


_INSERT = "INSERT INTO advice_counts AS held"
_INTO = "(org_id, day, settled, kind, waba_id, about, category, country, name, messages, people)"
_ADDED = """
    ON CONFLICT (org_id, day, settled, kind, waba_id, about, category, country) DO UPDATE SET
        messages = held.messages + excluded.messages, people = held.people + excluded.people,
        name = greatest(held.name, excluded.name)
"""
# $1 the day, $2 settled, $3 and $4 its begin and end, $5 in how many parts, $6 which of these.
_PART = "coalesce(abs(uuid_hash(person) % $5::int), 0) = $6::int"
_MESSAGES = f"""
    {_INSERT} {_INTO}
    SELECT org_id, $1::date, $2::boolean, 'messages', waba_id, '', '', '', '', count(*), 0 FROM send_facts
    WHERE at >= $3::timestamptz - interval '{TOLD_LATE}' AND at < $4 AND accepted_at >= $3 AND accepted_at < $4
        AND {_PART}
    GROUP BY org_id, waba_id {_ADDED}
"""  # noqa: S608
_BURSTS = f"""
    WITH ordered AS (
        SELECT org_id, waba_id, phone_number_id, person, country, pricing_type, accepted_at,
            accepted_at - lag(accepted_at) OVER (
                PARTITION BY phone_number_id, person ORDER BY accepted_at, message_id
            ) AS after
        FROM send_facts
        WHERE at >= $3::timestamptz - interval '{BURST}' - interval '{TOLD_LATE}' AND at < $4 AND accepted_at < $4
            AND kind NOT IN ('template', '') AND person IS NOT NULL AND {_NOT_LOST} AND {_PART}
    )
    {_INSERT} {_INTO}
    SELECT org_id, $1::date, $2::boolean, 'join_messages', waba_id, phone_number_id, 'service', country, '', count(*),
        count(DISTINCT person)
    FROM ordered WHERE accepted_at >= $3 AND after <= '{BURST}' AND pricing_type = 'regular'
    GROUP BY org_id, waba_id, phone_number_id, country {_ADDED}
"""  # noqa: S608
_REPEATS = f"""
    WITH ordered AS (
        SELECT org_id, waba_id, template_id, name, person, country, pricing_type, pricing_category, accepted_at,
            accepted_at - lag(accepted_at) OVER (
                PARTITION BY template_id, person ORDER BY accepted_at, message_id
            ) AS after
        FROM send_facts
        WHERE at >= $3::timestamptz - interval '{AGAIN}' - interval '{TOLD_LATE}' AND at < $4 AND accepted_at < $4
            AND template_id <> '' AND person IS NOT NULL AND {_NOT_LOST} AND category <> 'authentication'
            AND lower(pricing_category) NOT LIKE 'authentication%' AND {_PART}
    )
    {_INSERT} {_INTO}
    SELECT org_id, $1::date, $2::boolean, 'repeated_template', waba_id, template_id, lower(pricing_category), country,
        max(name), count(*), count(DISTINCT person)
    FROM ordered
    WHERE accepted_at >= $3 AND after <= '{AGAIN}' AND pricing_type = 'regular' AND pricing_category <> ''
    GROUP BY org_id, waba_id, template_id, lower(pricing_category), country {_ADDED}
"""  # noqa: S608


async def missing(pool: asyncpg.Pool, wanted: Sequence[Day]) -> list[Day]:
    """Those of some days that are not counted yet, in their order."""
    rows = await pool.fetch("SELECT day, settled FROM advice_days WHERE counted_at IS NOT NULL")
    counted = {Day(*row) for row in rows}
    return [day for day in wanted if day not in counted]


Progress = Literal["part", "whole", "smaller", "too_long", "taken"]
"""Whether a part of a day is counted, or all of them were and the day is whole; or the parts are smaller from now on,
or can't be although one takes too long; or another process counts the day, or has."""


async def count_part(pool: asyncpg.Pool, day: Day, now: datetime, limit: float, key: bytes) -> Progress:
    """Count the next part of a day; if that takes too long, have the day counted anew in twice as many.

    `limit` is for each of the statements over messages, in seconds; `key` is that of the identities of the forgotten.
    """
    # By itself, so that it stays whatever becomes of the part, and nobody waits for it as long as that takes.
    await pool.execute(
        "INSERT INTO advice_days (day, settled) VALUES ($1, $2) ON CONFLICT (day, settled) DO NOTHING", *day
    )
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            """
            SELECT parts, done FROM advice_days WHERE day = $1 AND settled = $2 AND counted_at IS NULL
            FOR UPDATE SKIP LOCKED
            """,
            *day,
        )
        if row is None:
            return "taken"
        if row["done"] >= row["parts"]:
            # An erasure beside a part has removed messages that the part had read, and did not see its counts.
            await erase_counts_again(connection, key)
            await connection.execute(
                "UPDATE advice_days SET counted_at = $3 WHERE day = $1 AND settled = $2", *day, now
            )
            return "whole"
        try:
            async with connection.transaction():
                await _count_people(connection, day, row["parts"], row["done"], limit)
        except TimeoutError:
            return await _split(connection, day, row["parts"])
        await connection.execute("UPDATE advice_days SET done = done + 1 WHERE day = $1 AND settled = $2", *day)
        return "part"


async def _count_people(connection: Connection, day: Day, parts: int, part: int, limit: float) -> None:
    begin = datetime.combine(day.day, time(), UTC)
    for statement in (_MESSAGES, _BURSTS, _REPEATS):
        await connection.execute(statement, *day, begin, begin + timedelta(days=1), parts, part, timeout=limit)


async def _split(connection: Connection, day: Day, parts: int) -> Progress:
    if parts >= MOST_PARTS:
        return "too_long"
    await connection.execute(
        "UPDATE advice_days SET parts = $3, done = 0 WHERE day = $1 AND settled = $2", *day, parts * 2
    )
    await connection.execute("DELETE FROM advice_counts WHERE day = $1 AND settled = $2", *day)
    return "smaller"


async def count_anew(pool: asyncpg.Pool) -> None:
    """Forget what is counted: messages have come that were missing. Waits for a part that is being counted."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("DELETE FROM advice_days", timeout=LONGEST_PART)
        await connection.execute("DELETE FROM advice_counts", timeout=LONGEST_PART)


async def ask_anew(pool: asyncpg.Pool) -> None:
    """Let advice be worked out for everybody, for more is counted."""
    await pool.execute("UPDATE advice_checks SET due_at = now() WHERE due_at > now()")


async def delete_old(pool: asyncpg.Pool, before: date) -> None:
    """Forget days that no advice rests on any more."""
    await pool.execute("DELETE FROM advice_counts WHERE day < $1", before)
    await pool.execute("DELETE FROM advice_days WHERE day < $1", before)


class Observed(NamedTuple):
    """What is counted of an organisation's messages."""

    days: int
    """On so many days, from the first on that had a message."""
    counted: frozenset[date]
    """All days that are counted, of anybody."""


_READ = """
    SELECT counts.* FROM advice_counts AS counts JOIN (
        SELECT day, bool_or(settled) AS settled FROM advice_days WHERE counted_at IS NOT NULL AND day >= $2 GROUP BY 1
    ) AS counted USING (day, settled)
    WHERE org_id = $1
"""


async def observed(pool: asyncpg.Pool | Connection, org_id: str, since: date) -> Observed:
    """On how many days from one on an organisation's messages are counted."""
    rows = await pool.fetch("SELECT DISTINCT day FROM advice_days WHERE counted_at IS NOT NULL AND day >= $1", since)
    counted = frozenset[date](row["day"] for row in rows)
    first = await pool.fetchval(f"SELECT min(day) FROM ({_READ} AND kind = 'messages') AS read", org_id, since)  # noqa: S608
    return Observed(sum(day >= first for day in counted) if first else 0, counted)


async def repetitions(
    pool: asyncpg.Pool | Connection, org_id: str, kind: str, since: date, days: int
) -> list[Repetition]:
    """Messages that need not have been sent, one for each template, or number, and category."""
    rows = await pool.fetch(
        f"""
        WITH of_days AS (
            SELECT waba_id, about, category, day, max(name) AS name, sum(people)::bigint AS people
            FROM ({_READ} AND kind = $3) AS read GROUP BY 1, 2, 3, 4
        ),
        of_countries AS (
            SELECT waba_id, about, category, country, sum(messages)::bigint AS messages
            FROM ({_READ} AND kind = $3) AS read GROUP BY 1, 2, 3, 4
        )
        SELECT waba_id, about, category, max(name) AS name, max(people) AS people,
            (SELECT jsonb_object_agg(country, messages) FROM of_countries AS c
             WHERE (c.waba_id, c.about, c.category) = (d.waba_id, d.about, d.category)) AS extra
        FROM of_days AS d GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,  # noqa: S608
        org_id,
        since,
        kind,
    )
    return [
        Repetition(
            row["waba_id"],
            row["about"],
            row["name"] or row["about"],
            row["category"],
            row["extra"],
            row["people"],
            days,
        )
        for row in rows
    ]
