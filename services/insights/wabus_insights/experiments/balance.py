"""Whether people were drawn as planned: if not, something between the draw and the count loses some of an arm.

Source: Lindon, Malek, "Anytime-valid inference for multinomial count data" (2022): a mixture over Dirichlet
distributions around the planned weights, against these weights; it may be looked at any time.
"""

import math
from collections.abc import Iterable, Mapping

from wabus_insights.experiments.evidence import Stratum

ALARM = math.log(1000)
"""Log E from which on the counts are not those of the coin: false in at most one of a thousand experiments."""

CONCENTRATIONS = (2.0, 50.0, 1_000.0, 20_000.0)
"""How near to the planned weights the others are that are bet on: from anywhere to a few parts of a thousand."""


def log_imbalance(strata: Iterable[Stratum]) -> float:
    """The logarithm of the evidence that arms were not drawn by their weights."""
    return math.fsum(_of_one(each.odds, {arm: count.people for arm, count in each.counts.items()}) for each in strata)


def _of_one(odds: Mapping[str, int], people: Mapping[str, int]) -> float:
    total, drawn = sum(odds.values()), sum(people.values())
    if not drawn:
        return 0.0
    if any(count and not odds.get(arm) for arm, count in people.items()):
        return math.inf  # into an arm that could not be drawn
    shares = {arm: weight / total for arm, weight in odds.items() if weight}
    planned = math.fsum(people.get(arm, 0) * math.log(share) for arm, share in shares.items())
    mixed = [_dirichlet(shares, people, drawn, each * len(shares)) - planned for each in CONCENTRATIONS]
    most = max(mixed)
    return most + math.log(math.fsum(math.exp(each - most) for each in mixed) / len(mixed))


def _dirichlet(shares: Mapping[str, float], people: Mapping[str, int], drawn: int, concentration: float) -> float:
    """The logarithm of the chance of these draws, in their order, if weights are Dirichlet around the planned ones."""
    return math.fsum(
        [
            math.lgamma(concentration) - math.lgamma(concentration + drawn),
            *(
                math.lgamma(concentration * share + people.get(arm, 0)) - math.lgamma(concentration * share)
                for arm, share in shares.items()
            ),
        ]
    )
