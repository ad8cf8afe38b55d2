"""By how much an arm is better or worse than the control: an interval that holds at every look, not only at one.

What is estimated is the mean over all people of both arms of what the arm changes for them, whatever their rates are
and however these drift: each counts by the chance with which they were drawn, so that a change of weights does not
mix up times in which people did more with times in which they did less.

With enough people it is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas ("Time-
uniform central limit theory and asymptotic confidence sequences", 2024). With few it is exact: an arm's successes are,
of all people, those who were drawn into it and did it, so that the drift of rates does no harm (the logarithm of a
Bernoulli's moment-generating function is concave in its rate; Howard, Ramdas, "Sequential estimation of quantiles",
2022, and others use the same). A beta-binomial mixture would take the rate for the same all the time.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from wabus_insights.experiments.evidence import Pair

ENOUGH_PEOPLE = 100
"""Of an arm, from which on the interval is asymptotic."""
ENOUGH_OF_EACH = 10
"""Of an arm who did it, and who did not, from which on the normal distribution is near enough."""
TUNED_FOR = 5_000
"""The number of people at which the asymptotic interval is narrowest."""

TILTS = tuple(sign * 0.02 * 1.3**step for step in range(20) for sign in (1, -1))
"""What the exact interval mixes over, evenly: fixed before anybody is seen."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The arm's rate less the control's, as shares: 0.02 is two points more."""

    low: float
    high: float
    estimate: float | None
    """None while an arm has nobody."""
    how: Literal["exact", "asymptotic"]

    @property
    def is_clear(self) -> bool:
        """Whether it is on one side of no difference."""
        return self.low > 0 or self.high < 0


NOTHING_KNOWN = Interval(-1.0, 1.0, None, "exact")


def difference(pairs: Sequence[Pair], alpha: float) -> Interval:
    """The interval in which the difference is at every look, with a chance of at least 1 − α.

    >>> difference([], 0.05) == NOTHING_KNOWN
    True
    """
    people = sum(pair.people for pair in pairs)
    if not people:
        return NOTHING_KNOWN
    control, arm = _Arm.of(pairs, of_arm=False), _Arm.of(pairs, of_arm=True)
    estimate = None if control.rate is None or arm.rate is None else arm.rate - control.rate
    if estimate is None or not (control.is_enough and arm.is_enough):
        low, high = _exact(pairs, people, alpha)
        return Interval(low, high, estimate, "exact")
    half = math.sqrt(control.variance + arm.variance) * width(people, alpha)
    return Interval(max(-1.0, estimate - half), min(1.0, estimate + half), estimate, "asymptotic")


def rate_interval(trials: int, successes: int, alpha: float) -> tuple[float, float]:
    """Between what the mean of the rates of so many trials is at every look, with a chance of at least 1 − α."""
    if not trials:
        return 0.0, 1.0
    centre = successes / trials
    bound = math.log(1 / alpha)

    def is_out(rate: float) -> bool:
        return _log_mixture(trials, successes, rate) >= bound

    low = 0.0 if not successes else _edge(is_out, 0.0, centre)
    high = 1.0 if successes == trials else _edge(is_out, 1.0, centre)
    return low, high


def width(people: int, alpha: float) -> float:
    """How many standard errors the asymptotic interval reaches to each side."""
    tuned = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / TUNED_FOR
    scaled = people * tuned
    return math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def _log_mixture(trials: int, successes: int, rate: float) -> float:
    """The logarithm of what a bettor has made against "the mean rate is this"."""
    won = [tilt * successes - trials * math.log1p(rate * math.expm1(tilt)) for tilt in TILTS]
    most = max(won)
    return most + math.log(math.fsum(math.exp(each - most) for each in won) / len(won))


def _edge(is_out: Callable[[float], bool], outside: float, inside: float) -> float:
    """Where it begins to be out, between two places, to the side of those that are out."""
    if not is_out(outside):
        return outside
    for _ in range(60):
        middle = (outside + inside) / 2
        if is_out(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _exact(pairs: Sequence[Pair], people: int, alpha: float) -> tuple[float, float]:
    """Of each stratum and arm an interval of its own, added up by how many people there are."""
    each_alpha = alpha / (2 * len(pairs))
    low = high = 0.0
    for pair in pairs:
        weight = pair.people / people
        arm_low, arm_high = _drawn_rate(pair.people, pair.arm.successes, pair.share, each_alpha)
        control_low, control_high = _drawn_rate(pair.people, pair.control.successes, 1 - pair.share, each_alpha)
        low += weight * (arm_low - control_high)
        high += weight * (arm_high - control_low)
    return max(-1.0, low), min(1.0, high)


def _drawn_rate(people: int, successes: int, share: float, alpha: float) -> tuple[float, float]:
    """The rate of all people if they had been drawn into an arm, of those who were and did it."""
    low, high = rate_interval(people, successes, alpha)
    return low / share, min(1.0, high / share)


@dataclass(frozen=True, slots=True)
class _Arm:
    """What is known of one arm, each person counted by the chance with which they were drawn (Hájek's estimator)."""

    rate: float | None
    variance: float
    is_enough: bool

    @classmethod
    def of(cls, pairs: Sequence[Pair], *, of_arm: bool) -> "_Arm":
        counts = [(pair.arm if of_arm else pair.control, pair.share if of_arm else 1 - pair.share) for pair in pairs]
        weight = math.fsum(count.people / share for count, share in counts)
        if not weight:
            return cls(None, 0.0, is_enough=False)
        rate = math.fsum(count.successes / share for count, share in counts) / weight
        squares = math.fsum(
            (count.successes * (1 - rate) ** 2 + (count.people - count.successes) * rate**2) / share**2
            for count, share in counts
        )
        people = sum(count.people for count, _ in counts)
        successes = sum(count.successes for count, _ in counts)
        enough = people >= ENOUGH_PEOPLE and min(successes, people - successes) >= ENOUGH_OF_EACH
        return cls(rate, squares / weight**2, is_enough=enough)
