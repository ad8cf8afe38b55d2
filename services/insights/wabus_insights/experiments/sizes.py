"""How many people an effect needs, what may be looked at any time costs, and what peeking at an ordinary test would.

All are approximations by the normal distribution, for a plan; nothing is decided by them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

from wabus_insights.experiments.evidence import LOG_ODDS_SD, threshold

NORMAL = NormalDist()
MOST_PEOPLE = 1 << 33
PEEKS = (1, 5, 10, 20)
_GRID = 120  # steps of the z-statistic from one bound to the other


@dataclass(frozen=True, slots=True)
class Sizes:
    """People in the control and the arm together."""

    any_time: int
    """So many that the test that may be looked at any time shows the effect, with the power asked for, until then."""
    median: int
    """After so many it has shown the effect in half of the cases: there one may stop."""
    once: int
    """So many would a test need that is looked at once, at its end."""


def sizes(
    baseline: float, effect: float, alpha: float, power: float, share: float = 0.5, comparisons: int = 1
) -> Sizes | None:
    """What an effect needs: a rate of `baseline` in the control, and of `baseline + effect` in the arm.

    `share` is the arm's of the two weights, `comparisons` how many arms there are beside the control. None if nobody
    has so many people. Raises `ValueError` if a rate is not between 0 and 1, or the effect is 0.
    """
    other = baseline + effect
    if not (0 < baseline < 1 and 0 < other < 1) or effect == 0:
        raise ValueError("both rates are between 0 and 1, and differ")
    if not (0 < alpha < 1 and 0 < power < 1 and 0 < share < 1):
        raise ValueError("alpha, power and share are between 0 and 1")
    mean = baseline * (1 - share) + other * share
    log_odds = math.log(other / (1 - other)) - math.log(baseline / (1 - baseline))
    information = share * (1 - share) * mean * (1 - mean)

    def enough(people: float, wanted: float) -> bool:
        expected = abs(log_odds) * math.sqrt(people * information)
        return NORMAL.cdf(expected - _needed(people * information, alpha, comparisons)) >= wanted

    def enough_once(people: float) -> bool:
        deviation = math.sqrt(baseline * (1 - baseline) / (1 - share) + other * (1 - other) / share)
        needed = NORMAL.inv_cdf(1 - alpha / (2 * comparisons))
        return NORMAL.cdf(abs(effect) * math.sqrt(people) / deviation - needed) >= power

    any_time = _least(lambda people: enough(people, power))
    once = _least(enough_once)
    median = _least(lambda people: enough(people, 0.5))
    if any_time is None or once is None or median is None:
        return None
    return Sizes(any_time, min(median, any_time), once)


@lru_cache(maxsize=256)
def peeking(looks: int, alpha: float) -> float:
    """How often a test that is made for one look shows a difference where there is none, if one looks so often.

    Looks are evenly spaced, and one stops when it says "significant". By the recursion of Armitage, McPherson, Rowe,
    "Repeated significance tests on accumulating data" (1969).

    >>> round(peeking(1, 0.05), 3), round(peeking(5, 0.05), 2)
    (0.05, 0.14)
    """
    bound = NORMAL.inv_cdf(1 - alpha / 2)
    density: list[float] | None = None
    places: list[float] = []
    for look in range(1, looks + 1):
        # The sum after so many steps of variance 1 lies between ±bound·√look, or one has stopped.
        most = bound * math.sqrt(look)
        step = 2 * most / _GRID
        now = [-most + (place + 0.5) * step for place in range(_GRID)]
        if density is None:
            density = [NORMAL.pdf(place) * step for place in now]
        else:
            before = list(zip(places, density, strict=True))
            density = [step * sum(mass * _pdf(place - was) for was, mass in before) for place in now]
        places = now
    return 1 - math.fsum(density or [1.0])


def _pdf(distance: float) -> float:
    return 0.3989422804014327 * math.exp(-distance * distance / 2)


def _needed(information: float, alpha: float, comparisons: int) -> float:
    """The z-statistic at which a mixture over normal log-odds ratios reaches the threshold."""
    scaled = information * LOG_ODDS_SD**2
    return math.sqrt(2 * (threshold(alpha, comparisons) + math.log1p(scaled) / 2) * (1 + scaled) / scaled)


def _least(enough: Callable[[float], bool]) -> int | None:
    """The least number of people, to about a hundredth, that is enough; None if there is none."""
    high = 16
    while not enough(high):
        high *= 2
        if high > MOST_PEOPLE:
            return None
    low = high // 2
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle
    return high
