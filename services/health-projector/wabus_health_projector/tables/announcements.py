"""What projectors announce, in any process: one connection listens (PostgreSQL LISTEN/NOTIFY) and wakes who waits.

It listens on the primary. Who is woken may read from a replica, so they are once that has what was announced.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress

from wabus_runtime.postgres.read_replica import Reads

from wabus_health_projector.tables.store import CHANNEL

LOOK_AGAIN = 1.0  # seconds; a wait outlives a lost connection by looking without being woken
LOOK_PAUSE = 0.1  # seconds between two looks of one that waits


class Announcements:
    """Who waits for a change of which organisation."""

    def __init__(self, reads: Callable[[], Reads]) -> None:
        self._reads = reads
        self._hearing: dict[str, list[Callable[[], None]]] = {}
        self._announced: set[str] = set()
        self._news = asyncio.Event()
        self.listening = False
        self.closing = False
        """Whether the process is about to end, so that nobody should wait any longer."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Listen for ever, as `Reads.listen` does. Everybody is woken when that ends, and when it is back."""

        def listening(now: bool) -> None:
            self.listening = now
            self._wake_all()
            if now:
                ready()

        await self._reads().listen(CHANNEL, self._take, self._tell, listening)

    @contextmanager
    def heard(self, org_id: str, changed: Callable[[], None]) -> Generator[None]:
        """Call `changed` whenever the organisation's health may be another."""
        self._hearing.setdefault(org_id, []).append(changed)
        try:
            yield
        finally:
            self._hearing[org_id].remove(changed)
            if not self._hearing[org_id]:
                del self._hearing[org_id]

    async def until(self, org_id: str, check: Callable[[], Awaitable[bool]], timeout: float) -> bool:
        """Whether `check`, asked after each change of the organisation, comes true within `timeout` seconds."""
        woken = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                with self.heard(org_id, woken.set):
                    while not self.closing:
                        woken.clear()
                        if await check():
                            return True
                        await asyncio.sleep(LOOK_PAUSE)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_AGAIN):
                                await woken.wait()
        except TimeoutError:
            pass
        return False

    def close(self) -> None:
        """Let nobody wait any longer."""
        self.closing = True
        self._wake_all()

    def _take(self, _connection: object, _process: int, _channel: str, org_id: object) -> None:
        if str(org_id) in self._hearing:
            self._announced.add(str(org_id))
            self._news.set()

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            announced, self._announced = self._announced, set()
            await self._reads().follow()
            for org_id in announced:
                for changed in self._hearing.get(org_id, []):
                    changed()

    def _wake_all(self) -> None:
        for waiting in self._hearing.values():
            for changed in waiting:
                changed()
