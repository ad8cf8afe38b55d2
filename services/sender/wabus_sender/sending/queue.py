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
OWING_MOST = 20_000  # sends of a number in memory
LATER_AGAIN = 1.0  # seconds until one is looked at again for which there was no room


class Waiting(NamedTuple):
    """A send that is due."""

    send_id: str
    phone_number_id: str
    lane: Lane
    person: str
    """Whom it is to, as it was asked for."""


class Turns(NamedTuple):
    """What is to be called now, and what is to be looked at again later, each with when."""

    go: Sequence[Waiting]
    later: Sequence[tuple[Waiting, float]]


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
    _holds: dict[str, float] = field(default_factory=dict[str, float])
    _owing: set[str] = field(default_factory=set[str])
    """Sends that wait for a turn with their person which is theirs already."""
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
        """Take in what is due, in its order."""
        for each in due:
            if each.send_id not in self.known:
                self.known.add(each.send_id)
                self._lanes[each.lane].append(each)

    def take(self, now: float, most: int, *, marketing: float = inf) -> Turns:
        """Up to so many whose turn it is; at most so many of them `marketing`."""
        go: list[Waiting] = []
        later: list[tuple[Waiting, float]] = []
        if self.budget.is_paused(now):
            return Turns(go, later)
        while len(go) < most and (lane := self._next_lane(marketing=marketing > 0)):
            each = self._lanes[lane].popleft()
            person = each.person
            if person in self._busy:
                self._hold(each, now, later)
                continue
            held_until = self._holds.get(person, 0.0)
            if held_until > now and each.send_id not in self._owing:
                self._put_off(each, held_until, later)
                continue
            if each.send_id not in self._owing:
                at = self.pairs.reserve(person, now)
                if at > now:
                    self._owe(each)
                    self._put_off(each, at, later)
                    continue
            self._owing.discard(each.send_id)
            self._holds.pop(person, None)
            self._busy.add(person)
            marketing -= lane == "marketing"
            go.append(each)
        return Turns(go, later)

    def ended(self, each: Waiting) -> None:
        """It was called, or after all not: whoever waited for it is next."""
        self._refusals.pop(each.person, None)
        self._free(each)

    def again(self, each: Waiting, now: float, wait: float, hold: float = HOLD) -> float:
        """It is tried again after so many seconds, and what comes after it waits for `hold` of them; when that is."""
        at = now + wait
        self._holds[each.person] = min(at, now + hold)
        if len(self._holds) > HELD_MOST * HELD_MOST:
            self._holds = {person: until for person, until in self._holds.items() if until > now}
        self._owe(each)
        self._free(each)
        return at

    def back(self, each: Waiting) -> None:
        """It is tried again before all others, once the number sends again: what came after it must not overtake it."""
        self._owe(each)
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

    def _hold(self, each: Waiting, now: float, later: list[tuple[Waiting, float]]) -> None:
        held = self._held.setdefault(each.person, deque())
        if len(held) < HELD_MOST:
            held.append(each)
        else:
            self._put_off(each, now + LATER_AGAIN, later)

    def _put_off(self, each: Waiting, until: float, later: list[tuple[Waiting, float]]) -> None:
        self.known.discard(each.send_id)
        later.append((each, until))

    def _owe(self, each: Waiting) -> None:
        if len(self._owing) >= OWING_MOST:
            # Those that have expired meanwhile never come back; the others take another turn.
            self._owing.clear()
        self._owing.add(each.send_id)

    def _free(self, each: Waiting) -> None:
        self.known.discard(each.send_id)
        self._busy.discard(each.person)
        for held in reversed(self._held.pop(each.person, ())):
            self._lanes[held.lane].appendleft(held)
