"""What a subscriber does about failures and duplicates: retry, set aside within a limit, drop what it has seen."""

import random
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from wabus_events.subscriber.source import Reader, Received

WINDOW = 600.0  # seconds


class TooManyDeadLetters(Exception):
    """More records than plausible could not be handled: look at the consumer, not at the records."""


class DeadLetterLimit:
    """How much may end in the dead letters: `allowed` in a window, and beyond that `max_share` of what was read.

    The first keeps a quiet topic going whatever the share, the second a busy one that has a few bad records. Pure:
    `window` and `now` are in seconds, of any clock that does not go back.
    """

    def __init__(self, allowed: int, max_share: float, window: float = WINDOW) -> None:
        self._allowed = allowed
        self._max_share = max_share
        self._window = window
        self._slice = window / 60  # seconds counted together
        self._slices: deque[tuple[float, list[int]]] = deque()

    def handled(self, count: int, now: float) -> None:
        """So many records were handled."""
        self._counts(now)[0] += count

    def admits(self, now: float) -> bool:
        """Whether one more may be set aside; then it counts."""
        counts = self._counts(now)
        dead = sum(one[1] for _, one in self._slices) + 1
        read = sum(one[0] for _, one in self._slices) + dead
        if dead > self._allowed and dead > self._max_share * read:
            return False
        counts[1] += 1
        return True

    def _counts(self, now: float) -> list[int]:
        while self._slices and self._slices[0][0] <= now - self._window:
            self._slices.popleft()
        if not self._slices or self._slices[-1][0] <= now - self._slice:
            self._slices.append((now, [0, 0]))
        return self._slices[-1][1]


def dead_letter_notes(consumer: str, topic: str, reason: str, **more: object) -> list[tuple[str, bytes]]:
    """The headers that a dead letter has beside its record's own: who set it aside, where it was, and why. Pure."""
    notes = {"consumer": consumer, "topic": topic, **more, "reason": reason}
    return [(f"wabus_dead_{name}", str(text).encode()) for name, text in notes.items()]


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
    window: float = WINDOW  # seconds in which there may be `most`
    _limit: DeadLetterLimit = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._limit = DeadLetterLimit(self.most, 0, self.window)

    async def put(self, reader: Reader, received: Received, consumer: str, error: Exception) -> None:
        """Keep a record as it was, with its origin and the error's class. Raises `TooManyDeadLetters`."""
        if not self._limit.admits(time.monotonic()):
            raise TooManyDeadLetters(
                f"{consumer}: more than {self.most} dead letters in {self.window:.0f} s, the last at {received.place}"
            ) from error
        place = {"partition": received.partition, "offset": received.offset}
        notes = dead_letter_notes(consumer, received.topic, type(error).__name__, **place)
        await reader.put(self.topic, received.key, received.value, [*received.headers, *notes])


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
