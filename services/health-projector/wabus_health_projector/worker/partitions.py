"""Looks after the days of `counted_messages`: made before they are needed, dropped when no id of theirs can come."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, date, datetime

import asyncpg
from wabus_events import MESSAGES
from wabus_runtime.postgres.day_partitions import drop_days, make_days
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.postgres.partitions import change_alone

from wabus_health_projector.health.traffic import COUNTS_KEPT, EARLY_MOST, LATE_MOST, remembered_from
from wabus_health_projector.worker import projector
from wabus_health_projector.worker.lag import Lag

REPLAYING = 1_000_000  # records behind, from which days of long ago get partitions too
LOOK_EVERY = 600.0  # seconds
LOOK_AGAIN = 15.0  # seconds, where something could not be done yet


async def run(
    pool: asyncpg.Pool,
    lag: Lag,
    ready: Callable[[], None],
    *,
    replaying: int = REPLAYING,
    look_every: float = LOOK_EVERY,
    look_again: float = LOOK_AGAIN,
) -> None:
    """Look after the partitions for ever, as one of any number of workers."""
    ready()
    while True:
        now = datetime.now(UTC)
        reached = await offsets(pool, projector.NAME)
        complete, fresh = lag.complete_until(reached), lag.of(reached, now)
        of_long_ago = complete is None and fresh is not None and fresh.records > replaying
        since = COUNTS_KEPT if of_long_ago else LATE_MOST + EARLY_MOST
        done = await make_days(pool, projector.COUNTED, now.date() - since, now.date() + projector.DAYS_AHEAD)
        if complete is not None:
            done = await forget(pool, remembered_from(complete)) and done
        await asyncio.sleep((look_every if done and complete else look_again) * random.uniform(0.8, 1))  # noqa: S311


async def forget(pool: asyncpg.Pool, before: date) -> bool:
    """Drop what was remembered of earlier days; whether nothing of that is left.

    `counted_events` has what a release before this one has counted, of which the day is known on which it was logged.
    """
    done = await drop_days(pool, projector.COUNTED, before)
    async with pool.acquire() as connection:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM counted_events)"):
            return done
        needed = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM counted_events WHERE partition = ANY($1) AND day >= $2)",
            list(range(MESSAGES.partitions)),
            before - EARLY_MOST,
        )
        return (needed or await change_alone(connection, "counted_events", "TRUNCATE counted_events")) and done
