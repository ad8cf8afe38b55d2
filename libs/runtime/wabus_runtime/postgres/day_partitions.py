"""A table partitioned by a column `day`: a day's partition is made before it is needed, and dropped with what is in it.

Until a day has its partition its rows are in the default one. The partitions are called `name_20260131`; migrations
make the table and the default partition. How others go on writing meanwhile: `partitions`.
"""

from datetime import date, timedelta

import asyncpg
import structlog

from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.partitions import attach, change_alone, dates, drop

log = structlog.get_logger()


async def make_days(pool: asyncpg.Pool, table: str, first: date, last: date) -> bool:
    """Make the partitions that are missing in these days; whether all are there."""
    done = True
    async with pool.acquire() as connection:
        existing = await days(connection, table)
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if day not in existing:
                done = await _make(connection, table, day) and done
    return done


async def drop_days(pool: asyncpg.Pool, table: str, before: date) -> bool:
    """Drop what there is of earlier days; whether nothing of that is left.

    Rows in the default partition go when all of them are of earlier days.
    """
    done = True
    async with pool.acquire() as connection:
        for day in await days(connection, table):
            if day < before:
                done = await drop(connection, table, _partition(table, day)) and done
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table}_default)"):  # noqa: S608
            done = await _empty_default(connection, table, before) and done
    return done


async def days(connection: Connection, table: str) -> list[date]:
    """The days that have a partition, in their order."""
    return await dates(connection, table, "%Y%m%d")


def _partition(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


async def _make(connection: Connection, table: str, day: date) -> bool:
    values = f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
    try:
        return await attach(connection, table, _partition(table, day), values)
    except asyncpg.CheckViolationError:
        # Rows of that day are in the default partition already, and stay there until all of it can be dropped.
        log.warning("a day has no partition of its own", action="partition_left_out", table=table, day=str(day))
        return True


async def _empty_default(connection: Connection, table: str, before: date) -> bool:
    """Whatever came without a partition of its own goes at once, when nothing of it is needed any more."""
    return await change_alone(
        connection,
        table,
        f"""
        LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE;
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM {table}_default WHERE day >= '{before}') THEN
                TRUNCATE {table}_default;
            END IF;
        END $$
        """,
    )
