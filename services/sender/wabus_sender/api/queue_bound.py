"""How many sends of an organisation may wait. What is more is refused, so that nobody's queue grows without end.

The last tenth is for answers and one-time passwords: nobody who has written waits because a campaign does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg
from wabus_events.models.sends import Lane
from wabus_runtime.http.answers import Problem

from wabus_sender.tables import reading

COUNTED_FOR = 1.0  # seconds
RETRY_AFTER = 10  # seconds
KEPT_FOR: frozenset[Lane] = frozenset(("authentication", "service"))


@dataclass
class _Count:
    at: float
    number: int


@dataclass
class QueueBound:
    """The counts of one process, each some moments old, and what it has taken since."""

    pool: Callable[[], asyncpg.Pool]
    limit: int
    _counts: dict[str, _Count] = field(default_factory=dict[str, _Count])

    async def admit(self, org_id: str, lane: Lane) -> None:
        """Let one more wait. Raises a 429 problem where too many do."""
        now = time.monotonic()
        count = self._counts.get(org_id)
        if count is None or now - count.at > COUNTED_FOR:
            number = await reading.waiting(self.pool(), org_id, self.limit)
            count = self._counts[org_id] = _Count(now, number)
            self._counts = {each: known for each, known in self._counts.items() if now - known.at <= COUNTED_FOR}
        limit = self.limit if lane in KEPT_FOR else self.limit - self.limit // 10
        if count.number >= limit:
            raise Problem(
                429,
                "queue_full",
                "Too many sends wait",
                f"Your organisation has {limit:,} sends waiting. Please send more once some of them are sent.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        count.number += 1
