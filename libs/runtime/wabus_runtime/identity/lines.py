"""Who was forgotten, in memory: for processes without tables, and for the length of a command."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import ConsumerRecord
from wabus_events import ERASURES, Forgotten
from wabus_whatsapp.forgetting import Lines

from wabus_runtime.kafka.replica import Replica, event_of, following
from wabus_runtime.settings import IdentitySettings


class KnownLines:
    """The topic of erasures; `lines` grows as it is read."""

    def __init__(self, settings: IdentitySettings) -> None:
        self.lines = Lines(settings.identity_bytes)
        self._replica = Replica(settings, ERASURES, self._take)

    async def whole(self, within: float) -> None:
        """Return once everything that was there at the start is in. Raises `KafkaUnavailable` after so many seconds."""
        await self._replica.whole(within)

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        await self._replica.run(ready)

    def _take(self, record: ConsumerRecord[Any, Any]) -> None:
        if record.value is None:
            return
        event = event_of(record, "an erasure", "erasure_unreadable", offset=record.offset)
        if isinstance(event, Forgotten):
            self.lines.learn(event)


@asynccontextmanager
async def following_lines(settings: IdentitySettings) -> AsyncGenerator[Lines]:
    """Who was forgotten, for the length of a command, whole from the start. Raises `KafkaUnavailable`."""
    known = KnownLines(settings)
    async with following(known.run):
        yield known.lines


async def read_lines(settings: IdentitySettings) -> Lines:
    """Who was forgotten until now. Raises `KafkaUnavailable`."""
    async with following_lines(settings) as lines:
        return lines
