"""Where an API reads: from a read replica while that keeps up with the primary, and from the primary otherwise.

A replica shows what the primary has a little later. It is used while it has what the primary's projection had
`LAG_MOST` ago, so no answer is older than that; and whoever is woken by a notification of the primary finds what that
told of, on the replica or else on the primary. A replica that is away costs nobody an answer: what APIs read are some
rows by key, which the primary has room for, and a refusal would help nobody.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from wabus_runtime.postgres.database import REPLICA_TIMEOUT, close_pool, open_replica
from wabus_runtime.postgres.offsets import beside, has_reached, offsets
from wabus_runtime.settings import DatabaseSettings

ANSWERED_WITHIN = 10.0  # seconds for an answer of the primary
LAG_MOST = 2.0  # seconds
LOOK_EVERY = 1.0  # seconds between two comparisons
LOOK_PAUSES = (0.01, 0.2)  # seconds between two looks at a replica that has to catch up, shorter first

READS = Counter("wabus_reads_total", "Questions of the APIs by the database that answered.", ["projection", "database"])
REPLICA_USED = Gauge(
    "wabus_read_replica_used", "1 while the APIs read from the replica, 0 while it is not fit.", ["projection"]
)

AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What can go wrong on a replica: it is away, lacks the newest tables, cancels what holds up its replay."""

T = TypeVar("T")

log = structlog.get_logger()


class Reads:
    """The databases that an API of one projection can ask. Without a replica, the primary alone."""

    def __init__(
        self,
        primary: asyncpg.Pool,
        replica: asyncpg.Pool | None,
        projection: str,
        *,
        answered_within: float = ANSWERED_WITHIN,
    ) -> None:
        self._answered_within = answered_within
        self.primary = primary
        self._replica = replica
        self._projection = projection
        self._used: bool | None = None
        """None before the first comparison."""
        self._wanted = asyncio.Event()
        self._compared = asyncio.Event()
        self._begun = 0
        self._done = 0

    @property
    def replica_used(self) -> bool:
        return bool(self._used)

    async def ask(self, question: Callable[[asyncpg.Pool], Awaitable[T]]) -> T:
        """The answer to a question that only reads; all of it from one database.

        Raises what asyncpg does, and `TimeoutError` where the primary says nothing.
        """
        if self._replica is not None and self._used:
            try:
                answer = await _within(REPLICA_TIMEOUT, question(self._replica))
            except AWAY as error:
                self._use(False, type(error).__name__)
            else:
                READS.labels(self._projection, "replica").inc()
                return answer
        answer = await _within(self._answered_within, question(self.primary))
        READS.labels(self._projection, "primary").inc()
        return answer

    async def follow(self) -> None:
        """Return when `ask` gives what the primary has now: from the replica if it soon has that, else from there."""
        if self._replica is None or not self._used:
            return
        comparison = self._begun + 1  # the one under way may have begun before what our caller was told of
        while self._done < comparison:
            self._wanted.set()
            await self._compared.wait()

    async def run(self, ready: Callable[[], None]) -> None:
        """Compare the two for ever. A primary that is away says nothing against the replica."""
        ready()
        if self._replica is None:
            await asyncio.Event().wait()
            return
        while True:
            self._wanted.clear()
            self._begun += 1
            await self._compare(self._replica)
            self._done = self._begun
            compared, self._compared = self._compared, asyncio.Event()
            compared.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY * random.uniform(0.8, 1)):  # noqa: S311
                    await self._wanted.wait()

    async def _compare(self, replica: asyncpg.Pool) -> None:
        names = self._projection, beside(self._projection)
        try:
            async with asyncio.timeout(REPLICA_TIMEOUT):
                wanted = await offsets(self.primary, *names)
        except AWAY:
            return
        pause, longest = LOOK_PAUSES
        try:
            async with asyncio.timeout(LAG_MOST):
                while not has_reached(await offsets(replica, *names), wanted):
                    await asyncio.sleep(pause)
                    pause = min(1.5 * pause, longest)
        except AWAY as error:
            self._use(False, "lagging" if isinstance(error, TimeoutError) else type(error).__name__)
        else:
            self._use(True, "caught up")

    def _use(self, used: bool, reason: str) -> None:
        REPLICA_USED.labels(self._projection).set(used)
        if used != self._used:
            self._used = used
            log.warning("reads change places", action="replica_used" if used else "replica_unfit", reason=reason)


async def _within(seconds: float, answer: Awaitable[T]) -> T:
    """The answer. Raises `TimeoutError`, and does not wait until asyncpg has given up the question.

    asyncpg asks the server to cancel it, which one that says nothing does not answer either.
    """
    asking = asyncio.ensure_future(answer)
    try:
        done, _ = await asyncio.wait([asking], timeout=seconds)
    finally:
        asking.cancel()
    if not done:
        asking.add_done_callback(lambda given_up: given_up.cancelled() or given_up.exception())
        raise TimeoutError
    return asking.result()


@asynccontextmanager
async def reads(settings: DatabaseSettings, primary: asyncpg.Pool, projection: str) -> AsyncGenerator[Reads]:
    """The reads over a primary that is open, and the replica if one is configured; that may be away."""
    replica = await open_replica(settings)
    try:
        yield Reads(primary, replica, projection)
    finally:
        if replica is not None:
            await close_pool(replica)
