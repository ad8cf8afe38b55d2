"""How many sends of an organisation may wait. What is more is refused, so that nobody's queue grows without end.

The last tenth is for answers and one-time passwords: nobody who has written waits because a campaign does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from wabus_events.models.sends import Lane
from wabus_runtime.http.answers import Problem

COUNTED_FOR = 1.0  # seconds
COUNTED_TIMES = 10  # of what a count took passes at least until the next: it takes a second where a million wait
KNOWN_FOR = 600.0  # seconds
RETRY_AFTER = 10  # seconds
KEPT_FOR: frozenset[Lane] = frozenset(("authentication", "service"))

log = structlog.get_logger()


@dataclass
class _Count:
    number: int
    at: float
    is_old_at: float


@dataclass
class QueueBound:
    """The counts of one process, each some moments old, and what it has taken since.

    An organisation is counted by one query at a time, for which nobody waits who is let in by the count before.
    `count` says how many sends of an organisation wait, or as many as it is to count.
    """

    count: Callable[[str, int], Awaitable[int]]
    limit: int
    clock: Callable[[], float] = time.monotonic
    _counts: dict[str, _Count] = field(default_factory=dict[str, _Count])
    _counting: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])

    async def admit(self, org_id: str, lane: Lane) -> None:
        """Let one more wait. Raises a 429 problem where too many do."""
        limit = self.limit if lane in KEPT_FOR else self.limit - self.limit // 10
        known = self._counts.get(org_id)
        if known is None or self.clock() >= known.is_old_at:
            counting = self._begin_counting(org_id)
            if known is None or known.number >= limit:  # nobody is refused for what was so some time ago
                await asyncio.shield(counting)
        known = self._counts[org_id]
        if known.number >= limit:
            raise Problem(
                429,
                "queue_full",
                "Too many sends wait",
                f"Your organisation has {limit:,} sends waiting. Please send more once some of them are sent.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        known.number += 1

    def _begin_counting(self, org_id: str) -> asyncio.Task[None]:
        counting = self._counting.get(org_id)
        if counting is None:
            known = self._counts.get(org_id)
            counting = asyncio.create_task(self._count(org_id, known, known.number if known else 0))
            self._counting[org_id] = counting
            counting.add_done_callback(_say_if_failed)
        return counting

    async def _count(self, org_id: str, before: _Count | None, had: int) -> None:
        began = self.clock()
        try:
            number = await self.count(org_id, self.limit)
        finally:
            del self._counting[org_id]
        if before:
            number += before.number - had  # what was taken meanwhile: of that the count may have nothing
        now = self.clock()
        self._counts = {each: known for each, known in self._counts.items() if now - known.at < KNOWN_FOR}
        self._counts[org_id] = _Count(number, now, now + max(COUNTED_FOR, COUNTED_TIMES * (now - began)))


def _say_if_failed(counting: asyncio.Task[None]) -> None:
    """For those whom an older count has let in: nobody else is told of it."""
    if not counting.cancelled() and (error := counting.exception()):
        log.warning("waiting sends are not counted", action="not_counted", error=type(error).__name__)
