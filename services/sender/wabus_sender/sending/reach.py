"""To how many people a business writes first in 24 hours, and when marketing has to leave the rest to other messages.

Source: Meta, "Messaging limits": unique people outside windows in a moving 24 hours, over all numbers of a portfolio.
"""

from datetime import timedelta
from math import ceil, inf
from typing import NamedTuple

from wabus_events.models.messaging_limit import UNLIMITED

SPAN = timedelta(hours=24)
FOR_MARKETING = 0.95  # of the limit; the rest is for what people wait for
NEAR = 0.8  # of the limit


class Reach(NamedTuple):
    """How much of its limit a portfolio has used."""

    people: int
    limit: int | None
    """None where Meta has not told any; `UNLIMITED` for none."""
    portfolio: str = ""
    processes: int = 1
    """How many send marketing for its numbers, each of which looks for itself how many people are left."""

    @property
    def for_marketing(self) -> float:
        """How many more people marketing may be sent to; at 0 it waits until people fall out of the 24 hours."""
        if self.limit is None or self.limit == UNLIMITED:
            return inf
        return max(0, ceil(self.limit * FOR_MARKETING - self.people))

    @property
    def share(self) -> float:
        """How many of them one of the processes may send it to until it looks again.

        Each other one may have a share from before and take another one meanwhile: all together are what is left.
        """
        left = self.for_marketing
        return left if left == inf else left // (2 * self.processes - 1)

    @property
    def is_near(self) -> bool:
        """Whether somebody should know."""
        return self.limit is not None and self.limit != UNLIMITED and self.people >= self.limit * NEAR
