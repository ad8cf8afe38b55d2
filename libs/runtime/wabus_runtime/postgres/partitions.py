"""Partitions of a table by time, made and dropped while others write.

Never in the way of those who write: every lock is waited for briefly and otherwise taken at a later look. The table is
called `name`, the default partition `name_default`, the others `name_` and the date in which theirs begins.
"""

from datetime import UTC, date, datetime

import asyncpg
import structlog

from wabus_runtime.postgres.database import Connection

LOCK_TIMEOUT = "500ms"  # those who write wait behind us meanwhile
DROP_TIMEOUT = 300.0  # seconds

WAITING = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.WrongObjectTypeError,  # another worker has attached the partition already
)

log = structlog.get_logger()


async def dates(connection: Connection, table: str, written: str) -> list[date]:
    """The dates in which partitions begin, in their order; `written` is how names have them, as strftime."""
    rows = await connection.fetch(
        """
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = $1::text::regclass AND relname <> $1 || '_default' ORDER BY relname
        """,
        table,
    )
    return [datetime.strptime(row["relname"], f"{table}_{written}").replace(tzinfo=UTC).date() for row in rows]


async def attach(connection: Connection, table: str, name: str, values: str, storage: str = "") -> bool:
    """Make a partition apart and attach it, which lets others write meanwhile; `PARTITION OF` would not.

    `values` and `storage` are SQL: which rows are in it, and how it is stored. Returns whether it was possible now.
    Raises `asyncpg.CheckViolationError` where such rows are in the default partition already.
    """
    return await change_alone(
        connection,
        table,
        f"""
        CREATE TABLE IF NOT EXISTS {name} (LIKE {table} INCLUDING ALL) {storage};
        ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES {values}
        """,
    )


async def drop(connection: Connection, table: str, name: str) -> bool:
    """Drop a partition with what is in it; whether it was possible now."""
    return await change_alone(connection, table, f"DROP TABLE IF EXISTS {name}")


async def change_alone(connection: Connection, table: str, statements: str) -> bool:
    """Run statements about a table in a transaction, unless another worker changes it or a lock is not to be had soon.

    Returns whether they ran.
    """
    try:
        async with connection.transaction():
            free = "SELECT pg_try_advisory_xact_lock(hashtextextended('days of ' || $1 || current_schema(), 0))"
            if not await connection.fetchval(free, table):
                return False
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute(statements, timeout=DROP_TIMEOUT)
    except WAITING as error:
        log.info("a partition has to wait", action="partition_waits", table=table, error=type(error).__name__)
        return False
    return True
