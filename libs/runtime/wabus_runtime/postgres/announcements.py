"""Waiting for rows to change: one connection of a process listens (PostgreSQL LISTEN/NOTIFY) and wakes who waits.

It listens on the primary. Who is woken may read from a replica, so they are once that has what was announced.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

from wabus_runtime.postgres.database import DATABASE_AWAY, listening
from wabus_runtime.postgres.read_replica import Reads

ALIVE_CHECK = 5.0  # seconds without news until a question shows whether the connection is still there
LOOK_AGAIN = 1.0  # seconds; a wait outlives a lost connection by looking without being woken
LOOK_PAUSE = 0.01  # seconds between two looks of all who wait, so that many of them don't drown the database


async def listen_for_ever(
    reads: Callable[[], Reads],
    channel: str,
    take: Callable[..., None],
    serve: Callable[[Reads, Callable[[], Awaitable[object]]], Awaitable[None]],
) -> None:
    """Listen on a NOTIFY channel; `take` gets each notification, and `serve` runs as long as the connection is there.

    `serve` gets what it may read from, and what it calls now and then to see whether the connection is still there.
    Raises when that is lost, unless a replica goes on answering: then it connects again.
    """
    while True:
        now = reads()
        try:
            async with listening(now.primary, channel, take) as connection:
                await serve(now, partial(connection.execute, "SELECT 1"))
        except DATABASE_AWAY:
            if not now.replica_used:
                raise
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311


class Announcements:
    """Those who wait for news, by the subject of the news: what a notification carries, which is mostly nothing."""

    def __init__(self, reads: Callable[[], Reads], channel: str) -> None:
        self._reads = reads
        self._channel = channel
        self._heard: dict[str, list[Callable[[], None]]] = {}
        self._announced: set[str] = set()
        self._news = asyncio.Event()
        self._waiting = 0
        self.listening = False
        self.closing = False
        """Whether the process is about to end, so that nobody should wait any longer."""

    async def run(self, ready: Callable[[], None]) -> None:
        """Listen for ever. Raises when the connection is lost, unless a replica goes on answering.

        Everybody is woken when listening begins, and when it ends.
        """

        async def wake(reads: Reads, alive: Callable[[], Awaitable[object]]) -> None:
            self._set_listening(True)
            ready()
            try:
                while True:
                    try:
                        async with asyncio.timeout(ALIVE_CHECK):
                            await self._news.wait()
                    except TimeoutError:
                        await alive()
                    else:
                        await self._wake_for_news(reads)
            finally:
                self._set_listening(False)

        await listen_for_ever(self._reads, self._channel, self._note_news, wake)

    @contextmanager
    def heard(self, subject: str, changed: Callable[[], None]) -> Generator[None]:
        """Call `changed` whenever the rows of the subject may have changed."""
        self._heard.setdefault(subject, []).append(changed)
        try:
            yield
        finally:
            self._heard[subject].remove(changed)
            if not self._heard[subject]:
                del self._heard[subject]

    async def until(self, check: Callable[[], Awaitable[bool]], timeout: float, *, subject: str = "") -> bool:
        """Whether `check`, asked after each change of the subject, comes true within `timeout` seconds."""
        woken = asyncio.Event()
        self._waiting += 1
        try:
            with self.heard(subject, woken.set):
                async with asyncio.timeout(timeout):
                    while not self.closing:
                        woken.clear()
                        if await check():
                            return True
                        with suppress(TimeoutError):
                            async with asyncio.timeout(LOOK_AGAIN):
                                await woken.wait()
                        await asyncio.sleep(LOOK_PAUSE * self._waiting)
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
        return False

    def close(self) -> None:
        """Let nobody wait any longer."""
        self.closing = True
        self._wake(*self._heard)

    def _note_news(self, _connection: object, _process: int, _channel: str, subject: object) -> None:
        if str(subject) in self._heard:
            self._announced.add(str(subject))
            self._news.set()

    async def _wake_for_news(self, reads: Reads) -> None:
        self._news.clear()
        announced, self._announced = self._announced, set()
        await reads.follow()
        self._wake(*announced)

    def _set_listening(self, now: bool) -> None:
        self.listening = now
        self._wake(*self._heard)

    def _wake(self, *subjects: str) -> None:
        for subject in subjects:
            for changed in self._heard.get(subject, []):
                changed()
