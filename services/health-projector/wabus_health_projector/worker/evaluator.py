"""Tells when an organisation's health changes: judges who has news at once, and everybody every minute.

Time alone can turn health red, so somebody has to look at the clock. One process at a time does, by an advisory lock in
PostgreSQL; a Kafka transaction's id fences one that does not know yet that it has lost the lock. It compares with
what the history projection has made of its own earlier words, and waits for that after each of them.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from wabus_events import HEALTH, OrganisationForgotten
from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.kafka.transactions import TransactionalPublisher
from wabus_runtime.postgres.offsets import NotCaughtUp, offsets, wait_for
from wabus_runtime.projection.erasing import lines_of
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, ReconcileSettings

from wabus_health_projector.health.judgement import Verdict, judge_organisation
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.health.traffic import Traffic
from wabus_health_projector.health.transitions import is_known, transition
from wabus_health_projector.tables import history, reading
from wabus_health_projector.tables.store import CHANNEL
from wabus_health_projector.worker import projector
from wabus_health_projector.worker.lag import Lag

SOURCE = "/wabus/health-projector"
LOCK = 0x6865616C7468  # "health"
LOCK_AGAIN = 3.0  # seconds between attempts to become the one who judges
JUDGE_EVERY = 60.0  # seconds between judgements of all organisations
JUDGE_PAUSE = 1.0  # seconds between judgements of those that have news
STALE = timedelta(seconds=15)  # rows further behind the log say nothing about now
PAGE = 200  # organisations judged at once
CATCH_UP_TIMEOUT = 30.0  # seconds

log = structlog.get_logger()


class EvaluatorSettings(ReconcileSettings, IdentitySettings, DatabaseSettings):
    pass


class Evaluator:
    """One run, from waiting for the lock until something fails or it is cancelled."""

    def __init__(
        self, settings: EvaluatorSettings, pool: asyncpg.Pool, lag: Lag, *, judge_every: float = JUDGE_EVERY
    ) -> None:
        self._settings = settings
        self._judge_every = judge_every
        self._pool = pool
        self._lag = lag
        self._publisher = TransactionalPublisher(settings, SOURCE, "health-evaluator")
        self._reconcile_every = timedelta(seconds=settings.reconcile_interval)
        self._identity = settings.identity_bytes
        self._news: set[str] = set()
        self._has_news = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Judge for ever."""
        ready()
        connection = await asyncpg.connect(
            self._settings.database_url.get_secret_value(), timeout=10, command_timeout=30
        )
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110
                await asyncio.sleep(LOCK_AGAIN * random.uniform(0.7, 1))  # noqa: S311
            log.info("judging health", action="evaluator_elected")
            await connection.add_listener(CHANNEL, self._note_news)
            await self._publisher.start()
            ends = await end_positions(self._settings, HEALTH)
            await self._caught_up(ends)
            await self._judge_for_ever(connection)
        finally:
            await self._publisher.stop()
            with suppress(Exception):
                await connection.close(timeout=2)

    async def _judge_for_ever(self, connection: asyncpg.Connection) -> None:
        clock = asyncio.get_running_loop().time
        all_at = clock()
        while True:
            # Also shows whether the connection, and with it the lock, is still there.
            await connection.execute("SELECT 1")
            if clock() >= all_at:
                if await self._judge_all():
                    all_at = clock() + self._judge_every * random.uniform(0.9, 1)  # noqa: S311
            elif self._news:
                news, self._news = sorted(self._news), set()
                for start in range(0, len(news), PAGE):
                    page = news[start : start + PAGE]
                    if not await self._judge(page):
                        self._news.update(page)
            self._has_news.clear()
            await asyncio.sleep(JUDGE_PAUSE)
            if not self._news:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(5.0, max(0.0, all_at - clock()))):
                        await self._has_news.wait()

    async def _judge_all(self) -> bool:
        after = ""
        while page := await history.organisations(self._pool, after, PAGE):
            if not await self._judge(page):
                return False
            after = page[-1]
        return True

    def _verdict(self, wabas: Sequence[tuple[WabaHealth, Traffic]], now: datetime) -> Verdict:
        return judge_organisation(wabas, now, reconcile_every=self._reconcile_every)

    async def _judge(self, org_ids: Sequence[str]) -> bool:
        """Tell the changes of these organisations; False if the rows are too far behind the log to judge by them."""
        now = datetime.now(UTC)
        freshness = self._lag.of(await offsets(self._pool, projector.NAME), now)
        if freshness is None or freshness.ms > STALE / timedelta(milliseconds=1):
            return False
        known = await history.newest(self._pool, org_ids)
        stored = await reading.organisations(self._pool, org_ids, now)
        forgotten = await lines_of(self._pool, self._identity, OrganisationForgotten, org_ids)
        changes = [
            change
            for org_id in org_ids
            if is_known(org_id, known.get(org_id), stored.get(org_id, []), forgotten.get(org_id))
            and (change := transition(org_id, known.get(org_id), self._verdict(stored.get(org_id, []), now), now))
        ]
        if changes:
            positions = await self._publisher.publish(changes)
            for change in changes:
                log.info("health changed", action="health_changed", org_id=change.org_id, status=change.to_status)
            ends: dict[tuple[str, int], int] = {}
            for each in positions:
                ends[each.topic, each.partition] = max(ends.get((each.topic, each.partition), 0), each.offset + 1)
            await self._caught_up(ends)
        return True

    async def _caught_up(self, positions: dict[tuple[str, int], int]) -> None:
        if not await wait_for(self._pool, history.NAME, positions, CATCH_UP_TIMEOUT):
            raise NotCaughtUp

    def _note_news(self, _connection: object, _process: int, _channel: str, org_id: object) -> None:
        self._news.add(str(org_id))
        self._has_news.set()
