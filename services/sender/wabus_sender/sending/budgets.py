"""How fast a number may send, and how often to one person. Times are seconds of a clock that only goes on.

Sources: Meta, "Throughput" (80 messages a second, 1,000 once raised, 20 for a number that the phone app uses too) and
"Pair rate limits" (one message in six seconds to a person; up to 45 within six seconds are borrowed, and the time that
they would have taken must pass before the next one). What comes in counts as well: "Throughput".
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import sqrt
from typing import NamedTuple

LEVELS = {"STANDARD": 80.0, "HIGH": 1000.0}
LEVEL_UNKNOWN = 80.0  # messages a second
LEVEL_COEXISTENCE = 20.0
USED = 0.95  # of a level, for a clock that is off is taken from the same
SLOWED_ONCE_IN = 1.0  # seconds
SLOWED_TO = 0.7  # of the rate before, when Meta has found it too fast
RECOVERS = 0.01  # of the level, a second
SLOWEST = 1.0  # messages a second
LATE_MOST = 0.25  # seconds that a call may be late without a later one waiting for it
CATCHING_UP = 2.0  # times the rate, for who is late
WINDOW_MARGIN = 0.03  # seconds that one of Meta's may be longer than one of ours
PROMPT_MOST = 0.5  # seconds: what takes longer than this is not taken for the ordinary time of an answer
PROMPT_FORGOTTEN = 0.01  # of how much longer an answer took than the promptest, so that this is that of lately
ROOM_AGAIN = 0.01  # seconds until it is looked again whether a call without an answer still takes up room

PAIR_EVERY = 6.0  # seconds for one message to one person
PAIR_BORROWED = 45
PAIR_BURST = 5.0  # seconds in which they are borrowed; Meta allows 6, of its own clock
PAIR_MARGIN = 1.0  # seconds that a call may be faster than the one before it
PAIR_KEPT = 20_000  # persons of a number in memory
PAIR_SPAN = PAIR_EVERY * PAIR_BORROWED + PAIR_MARGIN  # seconds in which a debt is paid whatever it was


def level_of(throughput: str | None, *, coexistence: bool) -> float:
    """Messages a second that Meta allows a number, by what Graph says of it."""
    return LEVEL_COEXISTENCE if coexistence else LEVELS.get(throughput or "", LEVEL_UNKNOWN)


def set_aside(came_in: int, seconds: float) -> float:
    """Messages a second to leave to what people write, when so many came in within so many seconds.

    The mean and twice its root: where people write independently of each other, more comes in one second of forty.
    """
    mean = came_in / seconds
    return mean + 2 * sqrt(mean)


@dataclass(slots=True)
class Window:
    """The calls that Meta may count within the second in which another one arrives.

    When Meta counts a call is not known, but that it was before its answer. Of a call whose answer came as promptly as
    any it is known better: it was as long on its way as the next one will be at least. So a call without an answer
    takes up room, and one with an answer for a second from then on when it was made, and for as much longer as its
    answer was late. However long Meta or the network or this process stand still, no second of Meta's has more calls
    in it than there is room for here.
    """

    _unanswered: int = 0
    _leaving: list[float] = field(default_factory=list[float])
    """When each of those that were answered takes up room no more; a heap."""
    _promptest: float = PROMPT_MOST

    def begun(self) -> None:
        """A call is made."""
        self._unanswered += 1

    def ended(self, began: float, now: float, *, made: bool = True) -> None:
        """Its answer is here, or none will come; or after all it was not `made`."""
        self._unanswered -= 1
        if not made:
            return
        took = now - began
        if took < self._promptest:
            self._promptest = took
        else:
            self._promptest += PROMPT_FORGOTTEN * (min(took, PROMPT_MOST) - self._promptest)
        heappush(self._leaving, began + max(0.0, took - self._promptest) + 1 + WINDOW_MARGIN)

    def room_at(self, now: float, most: int) -> float:
        """When it is worth asking again whether there is room for one more among `most`; now, if there is."""
        while self._leaving and self._leaving[0] <= now:
            heappop(self._leaving)
        if self._unanswered + len(self._leaving) < most:
            return now
        return min(self._leaving[0], now + 1) if self._leaving else now + ROOM_AGAIN


@dataclass(slots=True)
class NumberBudget:
    """The moments at which a number's calls are made: evenly, and slower for a while after Meta found it too fast."""

    level: float = LEVEL_UNKNOWN
    comes_in: float = 0.0
    """Messages a second that are taken from the level, for so many are written to the number."""
    window: Window = field(default_factory=Window)
    _share: float = 1.0
    """Of the level, since when."""
    _share_at: float = float("-inf")
    _next: float = 0.0
    _latest: float = float("-inf")
    paused_until: float = 0.0
    pause_reason: str | None = None

    def rate(self, now: float) -> float:
        """Messages a second, now."""
        share = self._share_at_moment(now)
        return max(SLOWEST, self.level * USED * share - self.comes_in)

    def _share_at_moment(self, now: float) -> float:
        return min(1.0, self._share + RECOVERS * max(0.0, now - self._share_at))

    def slot(self, now: float) -> float:
        """When the next call may be made; takes that turn. Who was late catches up, but not all at once."""
        every = 1 / self.rate(now)
        due = max(now - LATE_MOST, self._next, self.paused_until)
        self._next = due + every
        self._latest = max(due, now, self._latest + every / CATCHING_UP)
        return self._latest

    def room_at(self, now: float) -> float:
        """Now, if Meta can't count more than the level with one more call; else when it is worth asking again."""
        return self.window.room_at(now, max(1, int(self.level - self.comes_in)))

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
