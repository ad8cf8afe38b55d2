"""Whose turn it is among the sends of one number: lanes by weight, one call at a time to a person, in their order.

Times are seconds of a clock that only goes on.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Generic, NamedTuple, TypeVar

from wabus_events.models.sends import Lane

from wabus_sender.sending.budgets import NumberBudget, PairBudgets

WEIGHTS: dict[Lane, int] = {"authentication": 8, "service": 8, "utility": 4, "marketing": 1}
LANES: tuple[Lane, ...] = tuple(WEIGHTS)
HOLD = 10.0  # seconds that a send which waits to be tried again holds those to the same person that came after it
HELD_MOST = 50  # sends to one person that wait in memory for one that is being called
PAIR_WAIT_MOST = 64.0  # seconds
LATER_AGAIN = 1.0  # seconds until one is looked at again for which there was no room
AGAIN_LOOK = 0.2  # seconds until it is looked again whether one is back that is tried again
PUT_OFF_KEPT = 2_500  # persons of a number in memory


class Waiting(NamedTuple):
    """A send that is due."""

    send_id: str
    phone_number_id: str
    lane: Lane
    person: str
    """Whom it is to, by one of what they are known by."""
    sequence: int = 0
    """Its place among all that was asked for."""


class Turns(NamedTuple):
    """What is to be called now, and what is to be looked at again later, each with when."""

    go: Sequence[Waiting]
    later: Sequence[tuple[Waiting, float]]


@dataclass(slots=True)
class PutOff:
    """What was put off of what goes to one person, so that nothing that was asked for after it goes before."""

    until: float
    sequence: int
    """Of the first of it."""
    tried_again: str | None = None
    """The send that is tried again; the others wait for it."""
    held_until: float = 0.0
    """They do until then."""

    def is_over(self, now: float) -> bool:
        """Whether nothing waits for it any more."""
        return now >= self.until and (self.tried_again is None or now >= self.held_until)


T = TypeVar("T")


@dataclass(slots=True)
class MostUrgentFirst(Generic[T]):
    """What waits for a turn of one number: the most urgent lane first, each in its order."""

    _waiting: list[tuple[int, int, T]] = field(default_factory=list[tuple[int, int, T]])
    """A heap, by the lane and by how many were added before."""
    _added: int = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, lane: Lane, each: T) -> None:
        """It waits from now on."""
        self._added += 1
        heappush(self._waiting, (LANES.index(lane), self._added, each))

    def first(self) -> T:
        """Whose turn it would be now."""
        return self._waiting[0][2]

    def take(self) -> T:
        """The same, which waits no more."""
        return heappop(self._waiting)[2]


def in_order(waiting: Sequence[Waiting]) -> deque[Waiting]:
    """The same, but that what goes to one person is in the order in which it was asked for."""
    latest: dict[str, int] = {}
    mixed: set[str] = set()
    for each in waiting:
        if each.sequence < latest.get(each.person, 0):
            mixed.add(each.person)
        latest[each.person] = each.sequence
    if not mixed:
        return deque(waiting)
    of_person = {person: deque[Waiting]() for person in mixed}
    for each in sorted(waiting, key=lambda each: each.sequence):
        if each.person in mixed:
            of_person[each.person].append(each)
    return deque(of_person[each.person].popleft() if each.person in mixed else each for each in waiting)


@dataclass(slots=True)
class NumberQueue:
    """The sends of one number that are in memory: those that are due first, and those that are being called."""

    budget: NumberBudget = field(default_factory=NumberBudget)
    pairs: PairBudgets = field(default_factory=PairBudgets)
    known: set[str] = field(default_factory=set[str])
    """All that are in memory, so that none is taken in twice."""
    level_known: bool = False
    """Whether it is known what Graph says of the number's throughput."""
    _lanes: dict[Lane, deque[Waiting]] = field(default_factory=lambda: {lane: deque[Waiting]() for lane in LANES})
    _credits: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    _busy: set[str] = field(default_factory=set[str])
    """Persons to whom something is being called."""
    _held: dict[str, deque[Waiting]] = field(default_factory=dict[str, deque[Waiting]])
    _later: dict[str, PutOff] = field(default_factory=dict[str, PutOff])
    _refusals: dict[str, int] = field(default_factory=dict[str, int])
    """How often in a row Meta has found that too much goes to a person."""

    def size(self, lane: Lane) -> int:
        """How many of a lane wait in memory."""
        return len(self._lanes[lane])

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in memory."""
        return not self.known

    def add(self, due: Iterable[Waiting]) -> None:
        """Take in what is due: what goes to one person in the order in which it was asked for, whenever it is due."""
        fresh: dict[Lane, list[Waiting]] = {}
        for each in due:
            if each.send_id not in self.known:
                self.known.add(each.send_id)
                fresh.setdefault(each.lane, []).append(each)
        for lane, new in fresh.items():
            self._lanes[lane] = in_order([*self._lanes[lane], *new])

    def take(self, now: float, most: int, *, marketing: float = inf) -> Turns:
        """Up to so many whose turn it is; at most so many of them `marketing`."""
        go: list[Waiting] = []
        later: list[tuple[Waiting, float]] = []
        if self.budget.is_paused(now):
            return Turns(go, later)
        while len(go) < most and (lane := self._next_lane(marketing=marketing > 0)):
            each = self._lanes[lane].popleft()
            if (until := self._waits_until(each, now)) > now:
                self._put_off(each, now, until, later)
            elif each.person in self._busy:
                self._hold(each, now, later)
            elif (at := self.pairs.reserve(each.person, now)) > now:
                self._put_off(each, now, at, later)
            else:
                if (put_off := self._later.get(each.person)) and put_off.tried_again == each.send_id:
                    put_off.tried_again = None
                self._busy.add(each.person)
                marketing -= lane == "marketing"
                go.append(each)
        return Turns(go, later)

    def ended(self, each: Waiting) -> None:
        """It was called: whoever waited for it is next."""
        self._refusals.pop(each.person, None)
        self._free(each)

    def not_called(self, each: Waiting) -> None:
        """After all it was not called, and won't be now."""
        self.pairs.not_called(each.person)
        self._free(each)

    def again(self, each: Waiting, at: float, held_until: float) -> None:
        """It is tried again at a moment. What comes after it waits for it, until `held_until` at most."""
        self.hold(each, at, held_until)
        self._free(each)

    def hold(self, each: Waiting, at: float, held_until: float) -> None:
        """Let what goes to this person after it wait for one that is tried again."""
        before = self._later.get(each.person)
        until = max(min(at, held_until), before.until if before else 0.0)
        self._later[each.person] = PutOff(until, each.sequence, each.send_id, held_until)

    def back(self, each: Waiting) -> None:
        """It is tried again before all others, once the number sends again: what came after it must not overtake it."""
        self._free(each)
        self.known.add(each.send_id)
        self._lanes[each.lane].appendleft(each)

    def pair_wait(self, person: str) -> float:
        """Seconds until a person to whom too much went may be written to again: 4, 16, 64.

        Source: Meta, "Rate limits", pair rate limits.
        """
        times = self._refusals.get(person, 0) + 1
        self._refusals[person] = min(times, 3)
        return min(4.0**times, PAIR_WAIT_MOST)

    def _next_lane(self, *, marketing: bool) -> Lane | None:
        """Smooth weighted round robin over the lanes that have something."""
        waiting: list[Lane] = [lane for lane in LANES if self._lanes[lane] and (marketing or lane != "marketing")]
        if not waiting:
            return None
        for lane in waiting:
            self._credits[lane] += WEIGHTS[lane]
        chosen = max(waiting, key=lambda lane: self._credits[lane])
        self._credits[chosen] -= sum(WEIGHTS[lane] for lane in waiting)
        return chosen

    def _waits_until(self, each: Waiting, now: float) -> float:
        """Until when it waits for what was put off that goes before it, or for what is tried again."""
        put_off = self._later.get(each.person)
        if put_off is None or each.sequence <= put_off.sequence:
            return now
        if put_off.tried_again and put_off.until <= now < put_off.held_until:
            put_off.until = min(put_off.held_until, now + AGAIN_LOOK)
        return put_off.until

    def _hold(self, each: Waiting, now: float, later: list[tuple[Waiting, float]]) -> None:
        held = self._held.setdefault(each.person, deque())
        if len(held) < HELD_MOST:
            held.append(each)
        else:
            self._put_off(each, now, now + LATER_AGAIN, later)

    def _put_off(self, each: Waiting, now: float, until: float, later: list[tuple[Waiting, float]]) -> None:
        self.known.discard(each.send_id)
        later.append((each, until))
        put_off = self._later.get(each.person)
        if put_off is None or put_off.is_over(now):
            if len(self._later) >= PUT_OFF_KEPT:
                self._later = {person: kept for person, kept in self._later.items() if not kept.is_over(now)}
            self._later[each.person] = PutOff(until, each.sequence)
        else:
            put_off.until = max(put_off.until, until)
            put_off.sequence = min(put_off.sequence, each.sequence)

    def _free(self, each: Waiting) -> None:
        self.known.discard(each.send_id)
        self._busy.discard(each.person)
        for held in reversed(self._held.pop(each.person, ())):
            self._lanes[held.lane].appendleft(held)
