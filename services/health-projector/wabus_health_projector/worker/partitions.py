"""The partitions of `counted_messages`, one a day: made before they are needed, dropped when no id of theirs can come.

Never in the way of those who count: every lock is waited for briefly and otherwise taken at a later look, and until a
day has its partition its ids are in the default one.
"""

import asyncio
import random
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import asyncpg
import structlog
from wabus_events import MESSAGES
from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.offsets import offsets

from wabus_health_projector.health.traffic import COUNTS_KEPT, EARLY_MOST, LATE_MOST, remembered_from
from wabus_health_projector.worker import projector
from wabus_health_projector.worker.lag import Lag

AHEAD = timedelta(days=3)  # partitions that are there before their day
REPLAYING = 1_000_000  # records behind, from which days of long ago get partitions too
LOOK_EVERY = 600.0  # seconds
LOOK_AGAIN = 15.0  # seconds, where something could not be done yet
LOCK_TIMEOUT = "500ms"  # those who count wait behind us meanwhile
FORGET_TIMEOUT = 300.0  # seconds

log = structlog.get_logger()

WAITING = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.WrongObjectTypeError,  # another worker has attached the partition already
)

_NAME = re.compile(r"counted_messages_(\d{8})")


async def run(pool: asyncpg.Pool, lag: Lag, ready: Callable[[], None]) -> None:
    """Look after the partitions for ever, as one of any number of workers."""
    ready()
    while True:
        now = datetime.now(UTC)
        reached = await offsets(pool, projector.NAME)
        complete, fresh = lag.complete_until(reached), lag.of(reached, now)
        replaying = complete is None and fresh is not None and fresh.records > REPLAYING
        since = COUNTS_KEPT if replaying else LATE_MOST + EARLY_MOST
        done = await make(pool, now.date() - since, now.date() + AHEAD)
        if complete is not None:
            done = await forget(pool, remembered_from(complete)) and done
        await asyncio.sleep((LOOK_EVERY if done and complete else LOOK_AGAIN) * random.uniform(0.8, 1))  # noqa: S311


async def make(pool: asyncpg.Pool, first: date, last: date) -> bool:
    """Make the partitions that are missing in these days; whether all are there."""
    done = True
    async with pool.acquire() as connection:
        existing = await days(connection)
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            if day not in existing:
                done = await _make(connection, day) and done
    return done


async def forget(pool: asyncpg.Pool, before: date) -> bool:
    """Drop what was remembered of earlier days; whether nothing of that is left."""
    done = True
    async with pool.acquire() as connection:
        for day in await days(connection):
            if day < before:
                done = await _alone(connection, f"DROP TABLE IF EXISTS {_name(day)}") and done
        if await connection.fetchval("SELECT EXISTS (SELECT FROM counted_messages_default)"):
            done = await _empty_default(connection, before) and done
        if await connection.fetchval("SELECT EXISTS (SELECT FROM counted_events)"):
            done = await _empty_earlier(connection, before) and done
    return done


async def days(connection: Connection) -> list[date]:
    """The days that have a partition, in their order."""
    rows = await connection.fetch(
        """
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'counted_messages'::regclass ORDER BY relname
        """
    )
    found = [_NAME.fullmatch(row["relname"]) for row in rows]
    return [datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date() for match in found if match]


def _name(day: date) -> str:
    return f"counted_messages_{day:%Y%m%d}"


async def _make(connection: Connection, day: date) -> bool:
    """Make it apart and attach it, which lets others count meanwhile; `PARTITION OF` would not."""
    try:
        return await _alone(
            connection,
            f"""
            CREATE TABLE IF NOT EXISTS {_name(day)} (LIKE counted_messages INCLUDING ALL);
            ALTER TABLE counted_messages ATTACH PARTITION {_name(day)}
                FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')
            """,
        )
    except asyncpg.CheckViolationError:
        # Ids of that day are in the default partition already, and stay there until all of it can be forgotten.
        log.warning("a day has no partition of its own", action="partition_left_out", day=str(day))
        return True


async def _empty_default(connection: Connection, before: date) -> bool:
    """Whatever came without a partition of its own goes at once, when nothing of it is needed any more."""
    return await _alone(
        connection,
        f"""
        LOCK TABLE counted_messages_default IN ACCESS EXCLUSIVE MODE;
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM counted_messages_default WHERE day >= '{before}') THEN
                TRUNCATE counted_messages_default;
            END IF;
        END $$
        """,
    )


async def _empty_earlier(connection: Connection, before: date) -> bool:
    """The same for what a release before this one has counted, of which the day is known on which it was logged."""
    needed = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM counted_events WHERE partition = ANY($1) AND day >= $2)",
        list(range(MESSAGES.partitions)),
        before - EARLY_MOST,
    )
    return needed or await _alone(connection, "TRUNCATE counted_events")


async def _alone(connection: Connection, statements: str) -> bool:
    """Run statements in a transaction, unless another worker is at it or a lock is not to be had soon."""
    try:
        async with connection.transaction():
            free = "SELECT pg_try_advisory_xact_lock(hashtextextended('partitions of ' || current_schema(), 0))"
            if not await connection.fetchval(free):
                return False
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            await connection.execute(statements, timeout=FORGET_TIMEOUT)
    except WAITING as error:
        log.info("a partition has to wait", action="partition_waits", error=type(error).__name__)
        return False
    return True
