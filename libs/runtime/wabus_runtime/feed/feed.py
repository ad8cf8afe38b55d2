"""The feed of a process: a channel for each organisation that somebody here follows, and the end of all of them."""

import asyncio
import random
from collections.abc import Generator
from contextlib import contextmanager

import structlog
from prometheus_client import Gauge

from wabus_runtime.feed.changes import EVERYBODY
from wabus_runtime.feed.channel import Channel, Subscriber
from wabus_runtime.feed.frames import Frame
from wabus_runtime.feed.reader import Reader, Source
from wabus_runtime.postgres.announcements import Announcements

DRAIN_SPREAD = 2.0  # seconds over which connections are ended before the process does, where they are many
DRAIN_EACH = 0.002  # seconds for each of them, where they are few
DRAINED_WITHIN = 1.0  # seconds until those who do not leave are left to the server
RETRY_SPREAD_MS = 15_000  # over which as many as a process can have come back
RETRY_EACH_MS = 5

CONNECTIONS = Gauge("wabus_feed_connections", "Connections that follow a feed.", ["kind"])

log = structlog.get_logger()


class Feed:
    """All channels of a process."""

    def __init__(self, source: Source, announcements: Announcements) -> None:
        self._reader = Reader(source)
        self._announcements = announcements
        self._channels: dict[str, Channel] = {}
        self._number = 0
        self._left = asyncio.Event()
        self.closing = False
        """Whether the process is about to end."""

    @contextmanager
    def following(self, org_id: str, subscriber: Subscriber) -> Generator[Channel]:
        """Let somebody follow an organisation: what they have missed comes first."""
        channel = self._channels.get(org_id)
        if channel is None:
            channel = self._channels[org_id] = Channel(org_id, self._reader)
            channel.task = asyncio.create_task(self._run(org_id, channel), name=f"feed {org_id}")
        channel.add(subscriber)
        self._number += 1
        if self.closing:
            subscriber.end("draining")
        try:
            with CONNECTIONS.labels(subscriber.sink.door).track_inprogress():
                yield channel
        finally:
            self._number -= 1
            self._left.set()
            channel.remove(subscriber)
            if not len(channel) and self._channels.get(org_id) is channel:
                del self._channels[org_id]
                if channel.task:
                    channel.task.cancel()

    def pass_on(self, org_id: str, frame: Frame) -> None:
        """Send those of an organisation who follow here what is only so at this moment: nobody is told it again."""
        if channel := self._channels.get(org_id):
            channel.pass_on(frame)

    @property
    def retry_ms(self) -> int:
        """When somebody who is sent away shall come back: the later, the more there are."""
        most = min(RETRY_SPREAD_MS, 1_000 + self._number * RETRY_EACH_MS)
        return random.randint(200, most)  # noqa: S311

    async def drain(self) -> None:
        """Send all away, a few at a time, before the process ends."""
        self.closing = True
        subscribers = [each for channel in self._channels.values() for each in channel]
        random.shuffle(subscribers)
        pause = min(DRAIN_EACH, DRAIN_SPREAD / max(1, len(subscribers)))
        begun = asyncio.get_running_loop().time()
        for number, each in enumerate(subscribers):
            each.end("draining")
            ahead = number * pause - (asyncio.get_running_loop().time() - begun)
            if ahead > 0.02:
                await asyncio.sleep(ahead)
        try:
            async with asyncio.timeout(DRAINED_WITHIN):
                while self._number:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            log.info("connections are left", action="feed_left", count=self._number)

    def close(self) -> None:
        """Send all away at once."""
        self.closing = True
        for channel in self._channels.values():
            for each in channel:
                each.end("draining")

    async def _run(self, org_id: str, channel: Channel) -> None:
        heard = self._announcements.heard
        with heard(org_id, channel.look), heard(EVERYBODY, channel.look):
            await channel.run()
