"""What describes an experiment and decides nothing: how probable it is that an arm is better."""

import math
from collections.abc import Sequence

from wabus_insights.experiments.evidence import Count, Pair

_STEPS = 400
_REACH = 8.0  # standard deviations to both sides


def chance_to_be_better(pairs: Sequence[Pair]) -> float | None:
    """The posterior probability that the arm's rate is above the control's, each with an even prior; None of nobody.

    It describes what is seen. Who stops when it is high errs far more often than it says.

    >>> round(chance_to_be_better([Pair(1, 1, Count(100, 10), Count(100, 10))]), 3)
    0.5
    """
    people = sum(pair.people for pair in pairs)
    if not people:
        return None
    control = _Beta.of([(pair.control, 1 - pair.share) for pair in pairs])
    arm = _Beta.of([(pair.arm, pair.share) for pair in pairs])
    low = max(0.0, min(control.mean - _REACH * control.deviation, arm.mean - _REACH * arm.deviation))
    high = min(1.0, max(control.mean + _REACH * control.deviation, arm.mean + _REACH * arm.deviation))
    places = [low + (high - low) * (step + 0.5) / _STEPS for step in range(_STEPS)]
    of_control, of_arm = control.masses(places), arm.masses(places)
    below = better = 0.0
    for mass, other in zip(of_control, of_arm, strict=True):
        better += other * (below + mass / 2)
        below += mass
    return min(1.0, max(0.0, better))


class _Beta:
    """A posterior on an even grid."""

    def __init__(self, successes: float, failures: float) -> None:
        self._a, self._b = successes + 1, failures + 1
        total = self._a + self._b
        self.mean = self._a / total
        self.deviation = math.sqrt(self._a * self._b / (total + 1)) / total

    @classmethod
    def of(cls, counts: Sequence[tuple[Count, float]]) -> "_Beta":
        """Of strata, each person by the chance of being drawn, as many as they are worth."""
        weight = math.fsum(count.people / share for count, share in counts)
        squares = math.fsum(count.people / share**2 for count, share in counts)
        if not weight:
            return cls(0, 0)
        rate = math.fsum(count.successes / share for count, share in counts) / weight
        people = weight**2 / squares
        return cls(rate * people, (1 - rate) * people)

    def masses(self, places: Sequence[float]) -> list[float]:
        logs = [(self._a - 1) * math.log(place) + (self._b - 1) * math.log1p(-place) for place in places]
        most = max(logs)
        masses = [math.exp(each - most) for each in logs]
        total = math.fsum(masses)
        return [mass / total for mass in masses]
