"""Waiting for a row to change: one LISTEN connection a process wakes everybody who waits.

It listens on the primary. Who is woken may read from a replica, so they are once that has what was announced.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from wabus_runtime.postgres.offsets import channel
from wabus_runtime.postgres.read_replica import Reads

LOOK_AGAIN = 1.0  # seconds; a wait outlives a lost connection by looking without being woken
SHARE = 0.01  # seconds between two looks of all who wait, so that many of them don't drown the database


class Announcements:
    """What a projection announces with NOTIFY after every transaction."""

    def __init__(self, reads: Reads, projection: str) -> None:
        self._reads = reads
        self._channel = channel(projection)
        self._woken = asyncio.Event()
        self._news = asyncio.Event()
        self._waiting = 0
        self.closing = False
        """Whether the process is about to end: whoever waits for long should look at it."""

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.closing = True
        self._wake()

    async def run(self, ready: Callable[[], None]) -> None:
        """Listen for ever, as `Reads.listen` does."""

        def listening(now: bool) -> None:
            if now:
                ready()

        await self._reads.listen(self._channel, self._take, self._tell, listening)

    async def until(self, check: Callable[[], Awaitable[bool]], timeout: float) -> bool:
        """Whether `check` comes true within `timeout` seconds."""
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                while True:
                    woken = self._woken
                    if await check():
                        return True
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_AGAIN):
                            await woken.wait()
                    await asyncio.sleep(SHARE * self._waiting)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    def _take(self, *_: object) -> None:
        if self._waiting:
            self._news.set()

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._reads.follow()
            self._wake()

    def _wake(self) -> None:
        self._woken.set()
        self._woken = asyncio.Event()
