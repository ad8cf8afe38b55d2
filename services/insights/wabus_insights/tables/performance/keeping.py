"""What is past its time goes, some rows at a time; and what is counted anew is emptied first."""

from datetime import date, datetime, timedelta

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.performance.counting import Tally
from wabus_insights.tables.older import delete_older
from wabus_insights.tables.performance import counts, messages, since

FARTHEST_BEHIND = timedelta(days=1)
"""At a midnight of UTC it is the day before in the west, at most."""

# The column by which the rows of a table are past their time, and what names a row.
_MESSAGES = (("send_facts", "at"), ("send_requests", "expires_at"), ("acts", "at"), ("people", "seen_at"))
_COUNTS = (
    ("template_hours", "day"),
    ("failure_hours", "day"),
    ("read_times", "day"),
    ("template_days", "day"),
    ("meta_template_days", "day"),
)


async def count_from(pool: asyncpg.Pool, at: datetime) -> None:
    """Let nothing be counted that was accepted before a moment; what was counted so far stays counted."""
    async with pool.acquire() as connection, connection.transaction():
        await since.lock(connection)
        if await since.held(connection) < at:
            await since.move(connection, at)


async def delete_messages(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Some messages, and what people did, from before a moment. Only what is counted no more may go."""
    return sum([await delete_older(pool, table, column, before, most) for table, column in _MESSAGES])


async def delete_counts(pool: asyncpg.Pool, before: date, most: int) -> int:
    """Some counts of days before this one."""
    gone = sum([await delete_older(pool, table, column, before, most) for table, column in _COUNTS])
    # A month whose days are partly gone has what is left of them, so that sums over days and over months agree.
    month = before.replace(day=1)
    gone += await delete_older(pool, "template_months", "month", month, most)
    if gone == 0 and before != month and await _months_are_more(pool, month):
        async with pool.acquire() as connection, connection.transaction():
            await since.lock(connection)
            await _sum_up_month(connection, month)
    return gone


async def empty_from(connection: Connection, at: datetime) -> None:
    """Take away all counts from this midnight of UTC on, and count anew those messages that are there.

    Whoever folds the log again from before then, or anew, counts the others again. The lock is held.
    """
    day = at.date() - FARTHEST_BEHIND
    month = day.replace(day=1)
    for statement, value in (
        ("DELETE FROM template_hours WHERE hour >= $1", at),
        ("DELETE FROM failure_hours WHERE hour >= $1", at),
        ("DELETE FROM read_times WHERE utc_day >= $1", at.date()),
        ("DELETE FROM template_days WHERE day >= $1", day),
        (counts.SUM_UP_DAYS.format("day >= $1"), day),
        ("DELETE FROM template_months WHERE month >= $1", month),
        (counts.SUM_UP_MONTHS.format("day >= $1"), month),
    ):
        await connection.execute(statement, value)
    tally = Tally()
    async for message in messages.all_from(connection, at):
        tally.change(None, message)
    await counts.add(connection, tally)
    await since.move(connection, at)


async def _months_are_more(pool: asyncpg.Pool, month: date) -> bool:
    return await pool.fetchval(
        """
        SELECT (SELECT coalesce(sum(accepted), 0) FROM template_months WHERE month = $1)
            > (SELECT coalesce(sum(accepted), 0) FROM template_days WHERE day >= $1 AND day < ($1 + interval '1 month'))
        """,
        month,
    )


async def _sum_up_month(connection: Connection, month: date) -> None:
    await connection.execute("DELETE FROM template_months WHERE month = $1", month)
    of_it = "day >= $1 AND day < ($1 + interval '1 month')"
    await connection.execute(counts.SUM_UP_MONTHS.format(of_it), month)
