"""How sure a share is, and the difference between two. Pure.

Sources: Edwin B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927); Robert G.
Newcombe, "Interval Estimation for the Difference Between Independent Proportions: Comparison of Eleven Methods" (1998),
method 10. Both hold for small counts and for none, where the usual interval is empty.
"""

from math import sqrt
from typing import Literal, NamedTuple

_Z = 1.959963984540054  # 95 % of a normal distribution are within so many standard deviations


class Interval(NamedTuple):
    """A share, or a difference of two, with what it may be at 95 %."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["more", "less", "no difference shown"]:
        """What a difference shows: nothing where it may be none."""
        return "more" if self.low > 0 else "less" if self.high < 0 else "no difference shown"


def wilson(part: int, whole: int) -> Interval | None:
    """A share of `part` in `whole`, from 0 to 1; None of nothing.

    >>> [round(bound, 3) for bound in wilson(0, 10)]
    [0.0, 0.0, 0.278]
    """
    if whole <= 0:
        return None
    share, square = part / whole, _Z * _Z
    middle = (part + square / 2) / (whole + square)
    half = _Z * sqrt(share * (1 - share) / whole + square / (4 * whole * whole)) / (1 + square / whole)
    return Interval(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def difference(part: int, whole: int, part_before: int, whole_before: int) -> Interval | None:
    """By how much one share is greater than another, from -1 to 1; None where one of them is of nothing.

    >>> [round(bound, 4) for bound in difference(56, 70, 48, 80)]
    [0.2, 0.0524, 0.3339]
    """
    one, other = wilson(part, whole), wilson(part_before, whole_before)
    if one is None or other is None:
        return None
    value = one.value - other.value
    low = value - sqrt((one.value - one.low) ** 2 + (other.high - other.value) ** 2)
    high = value + sqrt((one.high - one.value) ** 2 + (other.value - other.low) ** 2)
    return Interval(value, max(-1.0, low), min(1.0, high))
