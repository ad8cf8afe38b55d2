"""How fast a number may send, and how often to one person. Times are seconds of a clock that only goes on.

Sources: Meta, "Throughput" (80 messages a second, 1,000 once raised, 20 for a number that the phone app uses too) and
"Pair rate limits" (one message in six seconds to a person; up to 45 within six seconds are borrowed, and the time that
they would have taken must pass before the next one).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

LEVELS = {"STANDARD": 80.0, "HIGH": 1000.0}
LEVEL_UNKNOWN = 80.0  # messages a second
LEVEL_COEXISTENCE = 20.0
USED = 0.95  # of a level: what comes in and what a clock is off is taken from the same
SLOWED_ONCE_IN = 1.0  # seconds
SLOWED_TO = 0.7  # of the rate before, when Meta has found it too fast
RECOVERS = 0.01  # of the level, a second
SLOWEST = 1.0  # messages a second
LATE_MOST = 0.02  # seconds that a call may be late without the next one waiting for it, within what `USED` leaves

PAIR_EVERY = 6.0  # seconds for one message to one person
PAIR_BORROWED = 45
PAIR_BURST = 5.0  # seconds in which they are borrowed; Meta allows 6, of its own clock
PAIR_MARGIN = 1.0  # seconds that a call may be faster than the one before it
PAIR_KEPT = 20_000  # persons of a number in memory
PAIR_SPAN = PAIR_EVERY * PAIR_BORROWED + PAIR_MARGIN  # seconds in which a debt is paid whatever it was


def level_of(throughput: str | None, *, coexistence: bool) -> float:
    """Messages a second that Meta allows a number, by what Graph says of it."""
    return LEVEL_COEXISTENCE if coexistence else LEVELS.get(throughput or "", LEVEL_UNKNOWN)


@dataclass(slots=True)
class NumberBudget:
    """The moments at which a number's calls are made: evenly, and slower for a while after Meta found it too fast."""

    level: float = LEVEL_UNKNOWN
    _share: float = 1.0
    """Of the level, since when."""
    _share_at: float = float("-inf")
    _next: float = 0.0
    paused_until: float = 0.0
    pause_reason: str | None = None

    def rate(self, now: float) -> float:
        """Messages a second, now."""
        share = self._share_at_moment(now)
        return max(SLOWEST, self.level * USED * share)

    def _share_at_moment(self, now: float) -> float:
        return min(1.0, self._share + RECOVERS * max(0.0, now - self._share_at))

    def slot(self, now: float) -> float:
        """When the next call may be made; takes that turn."""
        at = max(now - LATE_MOST, self._next, self.paused_until)
        self._next = at + 1 / self.rate(now)
        return at

    def slow_down(self, now: float) -> None:
        """Meta has found it too fast. Several calls that are told so at once slow it down once."""
        if now - self._share_at < SLOWED_ONCE_IN:
            return
        self._share, self._share_at = self._share_at_moment(now) * SLOWED_TO, now

    def pause(self, until: float, reason: str) -> None:
        """Nothing is called before."""
        if until > self.paused_until:
            self.paused_until, self.pause_reason = until, reason

    def is_paused(self, now: float) -> bool:
        return now < self.paused_until


class Debt(NamedTuple):
    """A burst to one person, and when it is paid back."""

    began: float
    messages: int

    @property
    def paid_at(self) -> float:
        return self.began + self.messages * PAIR_EVERY

    def takes(self, at: float, within: float) -> bool:
        """Whether one more may be borrowed, as one of a burst that lasts so long."""
        return at < self.began + within and self.messages < PAIR_BORROWED


@dataclass(slots=True)
class PairBudgets:
    """When the next message may go to each person: what was borrowed is paid back whole before there is more."""

    _debts: dict[str, Debt] = field(default_factory=dict[str, Debt])

    def reserve(self, person: str, now: float) -> float:
        """When a message may go to this person; that turn is taken."""
        debt = self._debts.get(person)
        if debt is None or now >= debt.paid_at + PAIR_MARGIN:
            self._keep_small(now)
            at, new = now, Debt(now, 1)
        elif debt.takes(now, PAIR_BURST):
            at, new = max(now, debt.began), debt._replace(messages=debt.messages + 1)
        else:
            at = debt.paid_at + PAIR_MARGIN
            new = Debt(at, 1)
        self._debts[person] = new
        return at

    def owed_since(self, person: str, calls: Iterable[float]) -> None:
        """Take in the moments of calls that another process has made."""
        debt = None
        for at in sorted(calls):
            lasts = debt is not None and at < debt.paid_at
            debt = debt._replace(messages=debt.messages + 1) if debt and lasts else Debt(at, 1)
        if debt:
            self._debts[person] = debt

    def _keep_small(self, now: float) -> None:
        if len(self._debts) >= PAIR_KEPT:
            self._debts = {person: debt for person, debt in self._debts.items() if debt.paid_at + PAIR_MARGIN > now}
