"""Fetches the media that are due, writes down what came of each, and tells of it."""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import structlog
from prometheus_client import Counter, Histogram
from wabus_runtime.scheduler.due import DueWork, run_due

from wabus_conversations.media.fetching import Ended, Later, Reason, State, after_failure, is_too_late
from wabus_conversations.store.places import place_for
from wabus_conversations.tables.media import objects, wanted
from wabus_conversations.tables.media.wanted import Wanted
from wabus_conversations.worker.media.fetching import Fetcher, NotFetched

NAME = "conversations media"
ATTEMPT_TIMEOUT = 600.0  # seconds for all of one attempt
LEASE = timedelta(seconds=ATTEMPT_TIMEOUT + 120)
SHARE_OF_ONE = 2  # of what is fetched at once, one organisation has at most the half

ATTEMPTS = Counter("wabus_media_attempts_total", "Attempts to fetch a medium from Meta.", ["outcome"])
SECONDS = Histogram(
    "wabus_media_seconds",
    "From a message to its medium in the store, by Meta's time.",
    buckets=(1, 2, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86_400, 3 * 86_400, 7 * 86_400),
)
BYTES = Counter("wabus_media_bytes_total", "Bytes of media fetched from Meta.")
ENDED = Counter("wabus_media_given_up_total", "Media that will never be stored.", ["outcome", "reason"])

for _outcome in ("stored", "known", *Reason):
    ATTEMPTS.labels(_outcome)

log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Fetching:
    """Fetches what is due, as one of any number of workers. The clock is an argument."""

    pool: asyncpg.Pool
    fetcher: Fetcher
    most: int
    """At once in one process."""
    decided: asyncio.Event
    """Set when something was decided that has to be told."""
    now: Callable[[], datetime] = _now

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever."""
        await run_due(DueWork(NAME, self.take, _organisation, self.attempt, self.most), ready)

    async def take(self, room: int, busy: Multiset[str]) -> list[Wanted]:
        """Take what is due, as far as there is room."""
        of_one = max(self.most // SHARE_OF_ONE, 1)
        return await wanted.take(self.pool, most=room, most_of_one=of_one, busy=busy, lease=LEASE, now=self.now())

    async def attempt(self, taken: Wanted) -> None:
        """Fetch one, or write down why not and when again."""
        now = self.now()
        if is_too_late(taken.attempts - 1, now, taken.deadline):
            await self._give_up_medium(taken, Ended(State.LOST, Reason.ID_ENDED))
            return
        try:
            outcome = await self._fetch(taken, now)
        except NotFetched as failed:
            outcome = failed.reason
            await self._failed(taken, failed)
        except Exception:  # whatever it is, it is about this medium, and shall not stop the others
            log.exception("a medium can't be fetched", action="media_broke", media_id=taken.media_id)
            outcome = Reason.META_UNAVAILABLE
            await self._failed(taken, NotFetched(outcome))
        ATTEMPTS.labels(outcome).inc()

    async def _fetch(self, taken: Wanted, now: datetime) -> str:
        told = taken.sha256_told
        if told and await objects.known(self.pool, taken.media_id, taken.org_id, told, now):
            self.decided.set()
            return "known"
        keys: list[str] = []

        async def write_down(key: str, until: datetime) -> None:
            await objects.begin(self.pool, key, taken.org_id, taken.waba_id, taken.people, until)

        async def place() -> str:
            keys.append(place_for(taken.org_id, uuid4().hex))
            await write_down(keys[-1], now + LEASE)
            return keys[-1]

        try:
            async with asyncio.timeout(ATTEMPT_TIMEOUT):
                content = await self.fetcher.fetch(taken, place, now)
            await objects.store(self.pool, taken.media_id, taken.org_id, keys[-1], content, self.now())
            keys.pop()
        except TimeoutError:
            raise NotFetched(Reason.META_UNAVAILABLE) from None
        except objects.TooLate:
            raise NotFetched(Reason.STORE_UNAVAILABLE) from None
        finally:
            for key in keys:
                # Whoever deletes what is left over shall look there at once, for perhaps there is something.
                await write_down(key, self.now())
        BYTES.inc(content.bytes)
        SECONDS.observe(max((self.now() - taken.at).total_seconds(), 0))
        self.decided.set()
        return "stored"

    async def _failed(self, taken: Wanted, failed: NotFetched) -> None:
        differed = taken.differed + (failed.reason is Reason.HASH_DIFFERS)
        decided = after_failure(
            failed.reason,
            attempts=taken.attempts,
            differed=differed,
            now=self.now(),
            deadline=taken.deadline,
            share=random.random(),  # noqa: S311
            wait=failed.wait,
        )
        log.info(
            "a medium was not fetched",
            action="media_failed",
            org_id=taken.org_id,
            media_id=taken.media_id,
            reason=failed.reason.value,
            attempts=taken.attempts,
        )
        if isinstance(decided, Later):
            await wanted.put_off(self.pool, taken, decided, differed)
        else:
            await self._give_up_medium(taken, decided)

    async def _give_up_medium(self, taken: Wanted, ended: Ended) -> None:
        await wanted.give_up(self.pool, taken, ended, self.now())
        ENDED.labels(ended.state, ended.reason).inc()
        log.warning(
            "a medium is given up",
            action="media_given_up",
            org_id=taken.org_id,
            media_id=taken.media_id,
            state=ended.state.value,
            reason=ended.reason.value,
        )
        self.decided.set()


def _organisation(taken: Wanted) -> str:
    return taken.org_id
