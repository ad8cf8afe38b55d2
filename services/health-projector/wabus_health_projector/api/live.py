"""The newest answer of every organisation that somebody is watching, kept in step with the tables of any process.

Each organisation that is followed has one feed, however many follow it: it looks again when its rows have changed, and
when enough time has passed that the same rows may mean something else. Followers see the newest answer only, never a
backlog.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
from wabus_runtime.feed.looking import Looking
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.postgres.read_replica import Reads

from wabus_health_projector.api import models as answers
from wabus_health_projector.tables import reading
from wabus_health_projector.worker import projector
from wabus_health_projector.worker.lag import Lag

JUDGE_AGAIN = 30.0  # seconds until the same rows are judged anew
LOOK_AGAIN = 2.0  # seconds between two looks while nothing can be announced to us
LOOK_PAUSE = 0.25  # seconds between two looks for a busy organisation
LOOK_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An answer at a moment. `id` grows with the offsets that the rows have reached, then with time, in all processes.

    It ends with a digest of the answer: whoever names an id again has the same answer exactly if that is the same.
    """

    id: str
    body: bytes

    @property
    def digest(self) -> str:
        return digest_of(self.id)


def digest_of(snapshot_id: str) -> str:
    """The part of a snapshot's id that stands for its content; of anything else a text that no snapshot has."""
    return snapshot_id.rpartition("-")[2]


def snapshot(answer: answers.DetailedHealth, reached: int, now: datetime) -> Snapshot:
    """The answer's JSON and its id. When it was judged and how fresh it is are no news by themselves. Pure."""
    content = orjson.dumps(answer.model_dump(exclude={"checked_at", "lag"}), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(content, digest_size=8).hexdigest()
    body = orjson.dumps(answer.model_dump(), option=orjson.OPT_UTC_Z)
    return Snapshot(f"{reached:015d}-{int(now.timestamp() * 1000):013d}-{digest}", body)


async def detailed_answer(
    pool: asyncpg.Pool, lag: Lag, org_id: str, now: datetime, reconcile_every: timedelta
) -> tuple[answers.DetailedHealth, int]:
    """The detailed answer, and how many records its rows hold at least: the sum of the projection's offsets."""
    reached = await offsets(pool, projector.NAME)
    stored = await reading.organisation_with_counts(pool, org_id, now)
    answer = answers.detailed(org_id, stored, now, lag.of(reached, now), reconcile_every=reconcile_every)
    return answer, sum(reached.values())


class Feed:
    """One organisation's newest answer, and whoever waits for the next one."""

    def __init__(self) -> None:
        self.newest: Snapshot | None = None
        self.followers = 0
        self.task: asyncio.Task[None] | None = None
        self._looking = Looking("health")
        self._news = asyncio.Event()
        self._begun = 0
        self._done = 0

    def look(self) -> None:
        """The rows have changed, or may have."""
        self._looking.look()

    def wake(self) -> None:
        """Let everybody who waits look at `newest`."""
        self._news.set()
        self._news = asyncio.Event()

    async def newer(self, known: str, timeout: float) -> Snapshot | None:
        """The newest answer if its digest is not the `known` one; else None after `timeout` seconds, or sooner."""
        if self.newest is None or self.newest.digest == known:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._news.wait()
        return self.newest if self.newest is not None and self.newest.digest != known else None

    async def fresh(self, timeout: float) -> Snapshot | None:
        """An answer from rows read after now, or None if there is none within `timeout` seconds."""
        wanted = self._begun + 1
        self.look()
        try:
            async with asyncio.timeout(timeout):
                while self._done < wanted:
                    await self._news.wait()
        except TimeoutError:
            return None
        return self.newest

    async def run(self, read: Callable[[], Awaitable[Snapshot]], every: Callable[[], float]) -> None:
        """Look for ever."""

        async def look() -> None:
            self._begun += 1
            begun = self._begun
            async with asyncio.timeout(LOOK_TIMEOUT):
                found = await read()
            self._done = begun
            if self.newest is None or found.digest != self.newest.digest:
                self.newest = found
            self.wake()

        await self._looking.run(look, lambda: every() * random.uniform(0.9, 1), pause=LOOK_PAUSE)  # noqa: S311


class Live:
    """All feeds of a process."""

    def __init__(
        self,
        reads: Callable[[], Reads],
        lag: Lag,
        announcements: Announcements,
        reconcile_every: timedelta,
        *,
        judge_again: float = JUDGE_AGAIN,
    ) -> None:
        self._judge_again = judge_again
        self._reads = reads
        self._reconcile_every = reconcile_every
        self._lag = lag
        self._announcements = announcements
        self._feeds: dict[str, Feed] = {}

    @property
    def closing(self) -> bool:
        """Whether the process is about to end."""
        return self._announcements.closing

    @asynccontextmanager
    async def follow(self, org_id: str) -> AsyncGenerator[Feed]:
        """The organisation's feed, which lives as long as somebody follows it."""
        feed = self._feeds.get(org_id)
        if feed is None:
            feed = self._feeds[org_id] = Feed()
            feed.task = asyncio.create_task(self._run(feed, org_id), name=f"feed {org_id}")
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if feed.followers == 0 and feed.task:
                feed.task.cancel()
                del self._feeds[org_id]

    async def _run(self, feed: Feed, org_id: str) -> None:
        def changed() -> None:
            feed.look()
            if self.closing:
                feed.wake()

        shown = 0

        async def read() -> Snapshot:
            nonlocal shown
            now = datetime.now(UTC)

            def question(pool: asyncpg.Pool) -> Awaitable[tuple[answers.DetailedHealth, int]]:
                return detailed_answer(pool, self._lag, org_id, now, self._reconcile_every)

            answer, reached = await self._reads().ask(question)
            if reached < shown:  # a replica that does not have yet what the primary has said: nobody shall go back
                answer, reached = await question(self._reads().primary)
            shown = reached
            return snapshot(answer, reached, now)

        with self._announcements.heard(org_id, changed):
            await feed.run(read, lambda: self._judge_again if self._announcements.listening else LOOK_AGAIN)
