"""How fast a number may send, and how often to one person. Times are seconds of a clock that only goes on.

Sources: Meta, "Throughput" (80 messages a second, 1,000 once raised, 20 for a number that the phone app uses too) and
"Pair rate limits" (one message in six seconds to a person; up to 45 within six seconds are borrowed, and the time that
they would have taken must pass before the next one). What comes in counts as well: "Throughput".
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
LATE_MOST = 0.2  # seconds that a call may be late without a later one waiting for it
CATCHING_UP = 2.0  # times the rate, for who is late
EARLY_MOST = 1.0  # seconds that what waits to be tried again may go earlier, with its number
WINDOW_MARGIN = 0.02  # seconds that one of Meta's may be longer than one of ours
PROMPT_MOST = 0.5  # seconds: what takes longer than this is not taken for the ordinary time of an answer
PROMPT_SPAN = 30.0  # seconds; for twice as long at most it is not noticed that all answers take longer
PROMPT_LEARNT = 1.0  # seconds of answers until it is known how long the promptest takes
ROOM_AGAIN = 0.01  # seconds until it is looked again whether a call without an answer still takes up room

PAIR_EVERY = 6.0  # seconds for one message to one person
PAIR_BORROWED = 45
PAIR_BURST = 5.0  # seconds in which they are borrowed; Meta allows 6, of its own clock
PAIR_LATEST = 5.5  # seconds after its first one in which one of a burst is called
PAIR_MARGIN = 1.0  # seconds that a call may be faster than the one before it
PAIR_KEPT = 20_000  # persons of a number in memory
WALL_GRAIN = 0.02  # seconds that one clock may gain on the other
PAIR_SPAN = PAIR_EVERY * PAIR_BORROWED + PAIR_MARGIN  # seconds in which a debt is paid whatever it was


@dataclass(slots=True)
class WallClock:
    """What moments of the clock that only goes on are for the tables: two that are the same are the same there too.

    Otherwise what is put off until one moment would be in another order then.
    """

    _ahead: float = 0.0

    def set(self, now: float, moment: datetime) -> None:
        """It is so much now; a little less or more is only how long it took to look."""
        ahead = moment.timestamp() - now
        if abs(ahead - self._ahead) > WALL_GRAIN:
            self._ahead = ahead

    def at(self, when: float) -> datetime:
        """Not before that moment."""
        return datetime.fromtimestamp(round(when + self._ahead, 3) + 2 * WALL_GRAIN, UTC)


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
class Promptest:
    """How long the promptest answer of lately took: so long is each call on its way, there and back, at least.

    What a moment of slow answers looks like is no news: who believed it would let calls go too early after it.
    """

    _since: float = float("-inf")
    _until: float = float("-inf")
    """Answers are of lately that came in a span of `PROMPT_SPAN` which ends here, or in the one before it."""
    _of_span: float = PROMPT_MOST
    _of_span_before: float = PROMPT_MOST

    def answered(self, took: float, now: float) -> None:
        """An answer has come that took so many seconds."""
        if now >= self._until:
            goes_on = now < self._until + PROMPT_SPAN
            self._of_span_before = self._of_span if goes_on else PROMPT_MOST
            self._since = self._since if goes_on else now
            self._of_span, self._until = PROMPT_MOST, now + PROMPT_SPAN
        self._of_span = min(self._of_span, took)

    def seconds(self, now: float) -> float:
        """0 while that is not known."""
        is_known = now >= self._since + PROMPT_LEARNT and now < self._until + PROMPT_SPAN
        return min(self._of_span, self._of_span_before) if is_known else 0.0


@dataclass(slots=True)
class Window:
    """The calls that Meta may count within the second in which another one arrives.

    When Meta counts a call is not known, but that it was before its answer, and by as much as an answer takes at least
    less what the next call takes at least: both together are what the promptest of lately took. So a call without an
    answer takes up room, and one with an answer for a second from its answer on, less that. However long Meta or the
    network or this process stand still, no second of Meta's has more calls in it than there is room for here.
    """

    unanswered: int = 0
    """Calls that are made and have no answer yet."""
    _answered: deque[float] = field(default_factory=deque[float])
    """When each answer came that may take up room still."""
    _promptest: Promptest = field(default_factory=Promptest)

    def begun(self) -> None:
        """A call is made."""
        self.unanswered += 1

    def ended(self, began: float, now: float, *, made: bool = True) -> None:
        """Its answer is here, or none will come; or after all it was not `made`."""
        self.unanswered -= 1
        if made:
            self._promptest.answered(now - began, now)
            self._answered.append(now)

    def room_at(self, now: float, most: int) -> float:
        """When it is worth asking again whether there is room for one more among `most`; now, if there is."""
        takes_up = 1 + WINDOW_MARGIN - self._promptest.seconds(now)
        while self._answered and self._answered[0] + takes_up <= now:
            self._answered.popleft()
        if self.unanswered + len(self._answered) < most:
            return now
        return min(self._answered[0] + takes_up, now + 1) if self._answered else now + ROOM_AGAIN


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
    _is_tried: bool = False
    """Whether it is not known yet that what it paused for is over: then one call at a time finds out."""

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
        if self._is_tried and self.window.unanswered:
            return now + ROOM_AGAIN
        return self.window.room_at(now, max(1, int(self.level - self.comes_in)))

    def ahead(self, now: float, seconds: float) -> int:
        """How many sends are worth claiming now for the next so many seconds."""
        return 1 if self._is_tried else max(1, int(self.rate(now) * seconds))

    def wait_for_others(self, until: float) -> None:
        """Another process may have called until a second before: nothing is called earlier."""
        self._next = max(self._next, until)

    def slow_down(self, now: float) -> None:
        """Meta has found it too fast. Several calls that are told so at once slow it down once."""
        if now - self._share_at < SLOWED_ONCE_IN:
            return
        self._share, self._share_at = self._share_at_moment(now) * SLOWED_TO, now

    def pause(self, until: float, reason: str) -> None:
        """Nothing is called before, and then one call first."""
        self._is_tried = True
        if until > self.paused_until:
            self.paused_until, self.pause_reason = until, reason

    def goes_on(self) -> None:
        """Meta has taken a message, or has refused one for what is the matter with that alone."""
        self._is_tried = False

    def is_paused(self, now: float) -> bool:
        return now < self.paused_until

    def pauses_for(self, wait: float, now: float) -> bool:
        """Whether it pauses now, and for about so many seconds more at least."""
        return self.is_paused(now) and now + wait <= self.paused_until + EARLY_MOST


class Debt(NamedTuple):
    """A burst to one person, and when it is paid back at the latest."""

    began: float
    messages: int
    paid_at: float

    def takes(self, at: float, within: float) -> bool:
        """Whether one more may be borrowed, as one of a burst that lasts so long."""
        return at < self.began + within and self.messages < PAIR_BORROWED

    def less_one(self) -> "Debt | None":
        """Without the call that was not made after all."""
        left = self.messages - 1
        return self._replace(messages=left, paid_at=self.paid_at - PAIR_EVERY) if left else None


@dataclass(slots=True)
class PairBudgets:
    """When the next call may go to each person: what was borrowed is paid back whole before there is more.

    One call at a time: of each turn that is taken it is said whether it is called or not, before the next is taken.
    Each call that Meta has answered counts, whatever it answered: Meta does not say that it counts only what it takes.
    """

    _debts: dict[str, Debt] = field(default_factory=dict[str, Debt])

    def reserve(self, person: str, now: float) -> float:
        """When a call may go to this person: where that is now, the turn is taken; else it is to be asked again."""
        debt = self._debts.get(person)
        if debt is None or now >= debt.paid_at + PAIR_MARGIN:
            self._keep_small(now)
            self._debts[person] = Debt(now, 1, now + PAIR_EVERY)
        elif debt.takes(now, PAIR_BURST):
            self._debts[person] = debt._replace(messages=debt.messages + 1, paid_at=debt.paid_at + PAIR_EVERY)
        else:
            return debt.paid_at + PAIR_MARGIN
        return now

    def called(self, person: str, now: float) -> float:
        """The call is made now whose turn was taken before; or seconds to wait, if the burst is over meanwhile."""
        debt = self._debts.get(person)
        if debt is None:
            return 0.0
        if debt.messages == 1:  # Meta counts from the first one on
            self._debts[person] = debt._replace(began=now, paid_at=now + PAIR_EVERY)
        elif now >= debt.began + PAIR_LATEST:
            return debt.paid_at - PAIR_EVERY + PAIR_MARGIN - now
        return 0.0

    def answered(self, person: str, now: float) -> None:
        """The call has an answer: Meta has counted it by now."""
        if debt := self._debts.get(person):
            self._debts[person] = debt._replace(paid_at=max(debt.paid_at, now + PAIR_EVERY))

    def not_called(self, person: str) -> None:
        """The turn that was taken last was not used."""
        debt = self._debts.pop(person, None)
        if debt and (left := debt.less_one()):
            self._debts[person] = left

    def owed_since(self, person: str, calls: Iterable[float]) -> None:
        """Take in the moments at which another process has claimed what it called."""
        debt = None
        for at in sorted(calls):
            lasts = debt is not None and at < debt.paid_at
            paid_at = (debt.paid_at if debt and lasts else at) + PAIR_EVERY
            debt = Debt(debt.began, debt.messages + 1, paid_at) if debt and lasts else Debt(at, 1, paid_at)
        if debt:
            # One of them may have been called some seconds after it was claimed, or more than once.
            self._debts[person] = debt._replace(messages=debt.messages + 1, paid_at=debt.paid_at + PAIR_EVERY)

    def _keep_small(self, now: float) -> None:
        if len(self._debts) >= PAIR_KEPT:
            self._debts = {person: debt for person, debt in self._debts.items() if debt.paid_at + PAIR_MARGIN > now}
