"""What a subscriber does about failures and duplicates: retry, set aside within a limit, drop what it has seen."""

import random
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from wabus_events.subscriber.source import Reader, Received


class TooManyDeadLetters(Exception):
    """More records than plausible could not be handled: look at the subscriber, not at the records."""


@dataclass(frozen=True)
class Retry:
    """How often a handler is given an event, and how long between: exponential back-off with full jitter."""

    attempts: int = 5
    first: float = 0.2  # seconds, at most, before the second attempt
    longest: float = 20.0  # seconds, at most, before any
    timeout: float = 30.0  # seconds for one attempt; that, too, is a failure
    never: tuple[type[Exception], ...] = ()
    """Errors that trying again can't mend: the event is set aside at once."""

    def delays(self, random: random.Random) -> Iterator[float]:
        """Seconds to wait after each failed attempt but the last."""
        for attempt in range(self.attempts - 1):
            yield random.uniform(0, min(self.longest, self.first * 2**attempt))


@dataclass
class DeadLetters:
    """A topic of the subscriber's own for what it can't handle. It must exist; nothing of wabus reads it.

    The limit stops the subscriber when too much would end there: a bad deploy must not drain the topics into it.
    """

    topic: str
    most: int = 100
    window: float = 600.0  # seconds in which there may be `most`
    _times: deque[float] = field(default_factory=deque[float], init=False, repr=False)

    async def put(self, reader: Reader, received: Received, consumer: str, error: Exception) -> None:
        """Keep a record as it was, with its origin and the error's class. Raises `TooManyDeadLetters`."""
        now = time.monotonic()
        self._times.append(now)
        while self._times[0] < now - self.window:
            self._times.popleft()
        if len(self._times) > self.most:
            raise TooManyDeadLetters(
                f"{consumer}: more than {self.most} dead letters in {self.window:.0f} s, the last at {received.place}"
            ) from error
        about = {
            "wabus_dead_consumer": consumer,
            "wabus_dead_topic": received.topic,
            "wabus_dead_partition": str(received.partition),
            "wabus_dead_offset": str(received.offset),
            "wabus_dead_reason": type(error).__name__,
        }
        headers = [*received.headers, *((name, text.encode()) for name, text in about.items())]
        await reader.put(self.topic, received.key, received.value, headers)


class Seen(Protocol):
    """Which events were handled already. Write your own over the store that your handler writes to.

    Where both are one database transaction, each event counts exactly once.
    """

    async def has(self, event_id: str) -> bool:
        """Whether this event was handled."""
        ...

    async def add(self, event_id: str) -> None:
        """Note that it was; called when the loop asks for the next event."""
        ...


class RecentIds:
    """The newest `limit` ids, in memory: drops what Meta delivers twice, forgets at a restart."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    async def has(self, event_id: str) -> bool:
        if event_id not in self._ids:
            return False
        self._ids.move_to_end(event_id)
        return True

    async def add(self, event_id: str) -> None:
        self._ids[event_id] = None
        self._ids.move_to_end(event_id)
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)
