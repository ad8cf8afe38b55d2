"""The partitions of messages and statuses, one a month: made before they are needed, dropped when they are empty.

Never in the way of those who write: see `wabus_runtime.postgres.partitions`.
"""

from datetime import date

import asyncpg
import structlog
from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.partitions import attach, dates, drop

TABLES = ("message_statuses", "messages")
_FILL = {"messages": 75, "message_statuses": 100}  # per cent: a message is written again when its state changes

log = structlog.get_logger()


def month_of(day: date) -> date:
    """The month in which a day is, by its first day."""
    return day.replace(day=1)


def next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


async def make(pool: asyncpg.Pool, first: date, last: date) -> bool:
    """Make the partitions that are missing of these months; whether all are there."""
    done = True
    async with pool.acquire() as connection:
        for table in TABLES:
            existing = await months(connection, table)
            month = month_of(first)
            while month <= last:
                if month not in existing:
                    done = await _make(connection, table, month) and done
                month = next_month(month)
    return done


async def drop_empty(pool: asyncpg.Pool, before: date) -> bool:
    """Drop partitions of earlier months in which nothing is left; whether none of those remains."""
    done = True
    async with pool.acquire() as connection:
        for table in TABLES:
            for month in await months(connection, table):
                name = _name(table, month)
                if month < before and not await connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):  # noqa: S608
                    done = await drop(connection, table, name) and done
    return done


async def months(connection: Connection, table: str) -> list[date]:
    """The months that have a partition, in their order."""
    return await dates(connection, table, "%Y%m")


def _name(table: str, month: date) -> str:
    return f"{table}_{month:%Y%m}"


async def _make(connection: Connection, table: str, month: date) -> bool:
    storage = f"WITH (fillfactor = {_FILL[table]})"
    try:
        return await attach(connection, table, _name(table, month), f"IN ('{month}')", storage)
    except asyncpg.CheckViolationError:
        # Rows of that month are in the default partition already, and stay there until they are deleted.
        log.warning("a month has no partition of its own", action="partition_left_out", table=table, month=str(month))
        return True
