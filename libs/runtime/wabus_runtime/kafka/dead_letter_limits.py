"""How much a consumer may set aside: so much of each organisation, and it stops where many have bad records. Pure.

One organisation's bad records are its own trouble, however many they are: no reason to stop what all others wait for,
and none to fill the dead letters. The same trouble of many is a wrong release, which must not divert a topic (arroyo's
`DlqLimit` has the same reason). See docs/decisions/0021.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from wabus_events.subscriber.policy import WINDOW

FEW = 5  # organisations, those with the most bad records, that never stop a consumer
SLICES = 10  # of a window, that are counted together
NOBODY = ""  # what has no organisation counts as one more


class Admission(Enum):
    """What becomes of a record that can't be handled."""

    ASIDE = "set aside"
    SKIPPED = "skipped"  # there are enough of its organisation's
    STOP = "stop"  # it is not the records


@dataclass(slots=True)
class _Counts:
    """By organisation."""

    handled: Counter[str] = field(default_factory=Counter[str])
    bad: Counter[str] = field(default_factory=Counter[str])
    aside: Counter[str] = field(default_factory=Counter[str])


class DeadLetterLimits:
    """Counts what was read in a window, by organisation.

    Of each organisation `allowed` may be set aside, and beyond that `max_share` of what was read of it. The same holds
    for all together, but for the few with the most bad records. `window` and `now` are in seconds, of any clock that
    does not go back.
    """

    def __init__(self, allowed: int, max_share: float, window: float = WINDOW) -> None:
        self._allowed = allowed
        self._max_share = max_share
        self._window = window
        self._slices: deque[tuple[float, _Counts]] = deque()
        self._all = _Counts()
        self._read = 0

    def __len__(self) -> int:
        return len(self._all.handled | self._all.bad)

    def handled(self, organisations: Iterable[str | None], now: float) -> None:
        """These records were handled, each given by whose it is."""
        added = Counter(organisation or NOBODY for organisation in organisations)
        self._slice(now).handled.update(added)
        self._all.handled.update(added)
        self._read += added.total()

    def admit(self, organisation: str | None, now: float) -> Admission:
        """What becomes of one more record of this organisation that can't be handled; it counts."""
        whose, counts = organisation or NOBODY, self._slice(now)
        counts.bad[whose] += 1
        self._all.bad[whose] += 1
        self._read += 1
        worst = self._all.bad.most_common(FEW)
        others_bad = self._all.bad.total() - sum(count for _, count in worst)
        others_read = self._read - sum(self._all.handled[each] + count for each, count in worst)
        if self._exceeds(others_bad, others_read):
            return Admission.STOP
        aside = self._all.aside[whose] + 1
        if self._exceeds(aside, self._all.handled[whose] + aside):
            return Admission.SKIPPED
        counts.aside[whose] += 1
        self._all.aside[whose] += 1
        return Admission.ASIDE

    def _exceeds(self, bad: int, read: int) -> bool:
        return bad > self._allowed and bad > self._max_share * read

    def _slice(self, now: float) -> _Counts:
        while self._slices and self._slices[0][0] <= now - self._window:
            _, gone = self._slices.popleft()
            self._read -= gone.handled.total() + gone.bad.total()
            for name in ("handled", "bad", "aside"):
                counter: Counter[str] = getattr(self._all, name)
                counter.subtract(getattr(gone, name))
                setattr(self._all, name, +counter)
        if not self._slices or self._slices[-1][0] <= now - self._window / SLICES:
            self._slices.append((now, _Counts()))
        return self._slices[-1][1]
