"""How many sends of an organisation may wait. What is more is refused, so that nobody's queue grows without end.

The last tenth is for answers and one-time passwords: nobody who has written waits because a campaign does.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from math import inf

import structlog
from wabus_events.models.sends import Lane
from wabus_runtime.http.answers import Problem

COUNTED_FOR = 1.0  # seconds
COUNTED_TIMES = 10  # of what a count took passes at least until the next: it takes a second where a million wait
FOLDED_WITHIN = 3600.0  # seconds
KNOWN_FOR = 7200.0  # seconds
RETRY_AFTER = 10  # seconds
KEPT_FOR: frozenset[Lane] = frozenset(("authentication", "service"))

log = structlog.get_logger()


@dataclass
class _Organisation:
    waiting: int = 0
    """As many as were in the tables when it was counted."""
    taken: dict[str, float] = field(default_factory=dict[str, float])
    """Sends that were not in the tables then, with when they were taken."""
    counted_at: float = -inf
    is_old_at: float = -inf

    @property
    def number(self) -> int:
        return self.waiting + len(self.taken)


Count = Callable[[str, int, Collection[str]], Awaitable[tuple[int, Collection[str]]]]
"""How many sends of an organisation wait in the tables, or so many; and which of some sends are there."""


@dataclass
class QueueBound:
    """What waits as one process knows it: a count that is some moments old, and what it has taken since.

    An organisation is counted by one query at a time, for which nobody waits who is let in by the count before.
    """

    count: Count
    limit: int
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, _Organisation] = field(default_factory=dict[str, _Organisation])
    _counting: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])

    async def admit(self, org_id: str, lane: Lane, send_id: str) -> None:
        """Let one more wait. Raises a 429 problem where too many do."""
        limit = self.limit if lane in KEPT_FOR else self.limit - self.limit // 10
        known = self._known.setdefault(org_id, _Organisation())
        now, is_full = self.clock(), known.number >= limit
        # Nobody is refused for what was so some time ago.
        if now >= known.is_old_at or (is_full and now >= known.counted_at + COUNTED_FOR):
            counting = self._begin_counting(org_id, known)
            if is_full or known.counted_at == -inf:
                await asyncio.shield(counting)
        if known.number >= limit:
            raise Problem(
                429,
                "queue_full",
                "Too many sends wait",
                f"Your organisation has {limit:,} sends waiting. Please send more once some of them are sent.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        known.taken[send_id] = self.clock()

    def give_back(self, org_id: str, send_id: str) -> None:
        """Of one that was let in: nothing comes of it."""
        self._known[org_id].taken.pop(send_id, None)

    def _begin_counting(self, org_id: str, known: _Organisation) -> asyncio.Task[None]:
        counting = self._counting.get(org_id)
        if counting is None:
            counting = self._counting[org_id] = asyncio.create_task(self._count(org_id, known))
            counting.add_done_callback(_say_if_failed)
        return counting

    async def _count(self, org_id: str, known: _Organisation) -> None:
        began = self.clock()
        try:
            known.waiting, there = await self.count(org_id, self.limit, list(known.taken))
        finally:
            del self._counting[org_id]
        now = self.clock()
        for send_id in there:
            known.taken.pop(send_id, None)
        # What is not in the tables by now was not published, for Kafka was away.
        known.taken = {send_id: at for send_id, at in known.taken.items() if now - at < FOLDED_WITHIN}
        known.counted_at, known.is_old_at = now, now + max(COUNTED_FOR, COUNTED_TIMES * (now - began))
        for each in [each for each, of in self._known.items() if now - of.counted_at > KNOWN_FOR]:
            if each not in self._counting:
                del self._known[each]


def _say_if_failed(counting: asyncio.Task[None]) -> None:
    """For those whom an older count has let in: nobody else is told of it."""
    if not counting.cancelled() and (error := counting.exception()):
        log.warning("waiting sends are not counted", action="not_counted", error=type(error).__name__)
