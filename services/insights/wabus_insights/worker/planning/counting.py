"""Counts what advice rests on, day by day, as soon as a day is over and folded, and once more when it has settled."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import asyncpg
import structlog
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.observe.liveness import watched
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.settings import IdentitySettings

from wabus_insights.tables.planning import advice_days
from wabus_insights.tables.planning.advice_days import Day
from wabus_insights.worker.performance import log as kafka_log

NAME = "insights advice counting"
OBSERVED_DAYS = 8
"""Messages are kept one by one for nine days: so many of them are whole."""
OVER_AFTER = timedelta(minutes=15)
"""A day's end is counted after so much: by then most statuses that tell a price have come."""
SETTLED_AFTER = timedelta(days=2)
"""So long after its end a day is counted once more, for the last time."""
LIMIT = 40.0  # seconds for a statement over a part of a day: its three end before the loop is taken for stuck
LOOK_EVERY = 5.0  # seconds

logger = structlog.get_logger()


def days_of(now: datetime) -> list[date]:
    """The days of UTC that advice rests on now, the last one first. Pure."""
    last = (now - OVER_AFTER).astimezone(UTC).date() - timedelta(days=1)
    return [last - timedelta(days=n) for n in range(OBSERVED_DAYS)]


def wanted(now: datetime) -> list[Day]:
    """What is to be counted until now, the last days first. Pure."""
    return [Day(day, settled=now >= _end(day) + SETTLED_AFTER) for day in days_of(now)]


@dataclass(frozen=True, slots=True)
class Counting:
    """Counts days as one of any number of workers. `live` folds messages, `again` folds the log once more."""

    settings: IdentitySettings
    pool: asyncpg.Pool
    live: str
    again: str
    limit: float = LIMIT

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever."""
        with watched(NAME) as beat:
            ready()
            while True:
                await self.look(datetime.now(UTC), beat)
                await asyncio.sleep(LOOK_EVERY)

    async def look(self, now: datetime, beat: Callable[[], None]) -> None:
        """Count all that is to be counted until now, a part at a time."""
        beat()
        counted = False
        for day in await self._folded(await advice_days.missing(self.pool, wanted(now))):
            if await offsets(self.pool, self.again):
                break  # messages of any day may be missing until the log is folded again
            counted = await self._count(day, now, beat) or counted
        if counted:
            await advice_days.ask_anew(self.pool)
            await advice_days.delete_old(self.pool, days_of(now)[-1])

    async def _count(self, day: Day, now: datetime, beat: Callable[[], None]) -> bool:
        """Count a day to its end; whether we have."""
        while True:
            beat()
            match await advice_days.count_part(self.pool, day, now, self.limit, self.settings.identity_bytes):
                case "part":
                    continue
                case "smaller":
                    logger.warning("a day is counted in smaller parts", action="advice_day_split", day=str(day.day))
                case "too_long":
                    logger.error("a day is too large to be counted", action="advice_day_too_long", day=str(day.day))
                    return False
                case "whole":
                    return True
                case "taken":
                    return False

    async def _folded(self, days: Sequence[Day]) -> Sequence[Day]:
        """Those of some days, the last one first, of which all that was logged is in the tables."""
        ends = [_end(day.day) + OVER_AFTER for day in days]
        try:
            return days[await kafka_log.unfolded(self.settings, self.pool, self.live, ends) :]
        except KafkaUnavailable as error:
            logger.warning("advice is counted later", action="advice_put_off", error=type(error).__name__)
            return ()


def _end(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=1)
