"""Whether a delivered message of an arm costs more than one of the control, by an interval that holds at every look.

What is compared is what is spent over what is delivered with a known price. An arm that is merely delivered more often
costs no more by that. Each person counts by the chance with which they were drawn, as in `confidence`, and the variance
is that of the ratio's linear part: of each person what they cost less the ratio times their messages (Cochran,
"Sampling Techniques", 1977, 6.4). The interval is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha,
Kennedy, Ramdas (2024).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wabus_insights.experiments.confidence import ENOUGH_PEOPLE, width

MATERIAL = 0.02
"""Part of the control's price by which an arm has to be dearer at least: volume tiers make chance differences below it,
and where all messages of a day cost the same there is no variance that would account for them."""


class Spent(NamedTuple):
    """What was spent on people of an arm, each once; sums over people."""

    people: int = 0
    messages: int = 0
    """Delivered, at a price that is known."""
    cost: float = 0.0
    messages_squared: float = 0.0
    cost_squared: float = 0.0
    cost_by_messages: float = 0.0
    """Of each person the one times the other."""

    def plus(self, other: "Spent") -> "Spent":
        """The sums over the people of both."""
        return Spent(
            self.people + other.people,
            self.messages + other.messages,
            self.cost + other.cost,
            self.messages_squared + other.messages_squared,
            self.cost_squared + other.cost_squared,
            self.cost_by_messages + other.cost_by_messages,
        )


@dataclass(frozen=True, slots=True)
class SpentStratum:
    """People for whom one coin was thrown, and what was spent on them."""

    odds: Mapping[str, int]
    spent: Mapping[str, Spent]


class Price(NamedTuple):
    """What a delivered message of an arm costs on average, and how far off that may be."""

    messages: int
    mean: float
    variance: float
    """Of the mean."""


class PriceDifference(NamedTuple):
    """What a message of an arm costs more than one of the control: at least, and at most."""

    low: float
    high: float
    of_control: float
    """What one of the control costs."""

    @property
    def is_dearer(self) -> bool:
        """Whether the arm is shown to be dearer, by so much that it matters."""
        return self.low > 0 and self.low >= MATERIAL * self.of_control


def price(strata: Iterable[SpentStratum], arm: str, other: str | None = None) -> Price | None:
    """What a delivered message of an arm costs; None while none is known to have been delivered.

    With `other` only people count who could have been drawn into either.
    """
    weighted: list[tuple[float, Spent]] = []
    for each in strata:
        odds, rest = each.odds.get(arm, 0), each.odds.get(other or arm, 0)
        spent = each.spent.get(arm)
        if odds > 0 and rest > 0 and spent:
            weighted.append(((odds + rest) / odds if other else 1.0, spent))
    messages = math.fsum(weight * spent.messages for weight, spent in weighted)
    if not messages:
        return None
    mean = math.fsum(weight * spent.cost for weight, spent in weighted) / messages
    squares = math.fsum(
        weight**2 * (spent.cost_squared - 2 * mean * spent.cost_by_messages + mean**2 * spent.messages_squared)
        for weight, spent in weighted
    )
    return Price(sum(spent.messages for _, spent in weighted), mean, max(0.0, squares) / messages**2)


def price_difference(
    strata: Sequence[SpentStratum], control: str, arm: str, alpha: float
) -> PriceDifference | None:  # fmt: skip
    """The interval in which the difference of prices is at every look, with a chance of at least 1 − α.

    None while fewer than `ENOUGH_PEOPLE` messages of either are known to have been delivered at a known price.
    """
    one, other = price(strata, control, arm), price(strata, arm, control)
    if one is None or other is None or min(one.messages, other.messages) < ENOUGH_PEOPLE:
        return None
    people = sum(
        each.spent[name].people
        for each in strata
        for name in (control, arm)
        if name in each.spent and each.odds.get(control) and each.odds.get(arm)
    )
    half = math.sqrt(one.variance + other.variance) * width(people, alpha)
    estimate = other.mean - one.mean
    return PriceDifference(estimate - half, estimate + half, one.mean)
