"""Sums up what days cost, a minute after they have changed: until then they are read cell by cell."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import asyncpg
from wabus_runtime.scheduler.deleting import look_after

from wabus_insights.costs.sums import MONTH, PART, QUARTER
from wabus_insights.tables.costs import sums

LOOK_EVERY = 60.0  # seconds
DAYS_AT_ONCE = 100
SUMS_AT_ONCE = 20

T = TypeVar("T")


async def run(pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Look for days that have changed for ever, as one of any number of workers."""
    await look_after("insights costs sums", LOOK_EVERY, partial(look, pool), ready)


async def look(pool: asyncpg.Pool, now: datetime, beat: Callable[[], None]) -> None:
    """Sum up what has changed until now: days, then what has them, each out of what is smaller."""
    today, last = now.astimezone(UTC).date(), None
    # A day that changes all the time has its turn once: those of others come first.
    while last := await _as_many_as_go(partial(sums.sum_up_days, pool, last), DAYS_AT_ONCE):
        beat()
    for size, made_of in ((PART, 1), (MONTH, PART), (QUARTER, MONTH)):
        while await _as_many_as_go(partial(sums.sum_up_templates, pool, size, made_of, today), SUMS_AT_ONCE):
            beat()


async def _as_many_as_go(sum_up: Callable[[int], Awaitable[T]], most: int) -> T:
    """Sum up so many, or as many fewer as PostgreSQL does in the time of a statement. Raises TimeoutError for one."""
    while True:
        try:
            return await sum_up(most)
        except TimeoutError:
            if most == 1:
                raise
            most = most // 4 or 1
