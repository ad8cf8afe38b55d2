"""Which templates cost the most, where currencies are never added up. Pure."""

from collections.abc import Iterable
from typing import NamedTuple


class Spent(NamedTuple):
    """What was charged of a template in one currency."""

    template_id: str
    waba_id: str
    currency: str
    volume: int
    amount: float | None
    """None where it is not known."""


def places_by_cost(spent: Iterable[Spent]) -> dict[tuple[str, str], float]:
    """By template and account a number that is larger the more it costs; of what costs an unknown amount there is none.

    What is in the currency of the most messages comes above all others, whatever the amounts.

    >>> spring = Spent("1", "9", "EUR", 5, 1_000_000)
    >>> places_by_cost([spring, Spent("2", "9", "EUR", 5, 0), Spent("3", "9", "INR", 1, 9_000_000)])
    {('1', '9'): 2.5, ('2', '9'): 2.0, ('3', '9'): 1.9}
    """
    all_of_them = list(spent)
    volumes: dict[str, int] = {}
    for each in all_of_them:
        volumes[each.currency] = volumes.get(each.currency, 0) + each.volume
    order = {currency: n for n, (currency, _) in enumerate(sorted(volumes.items(), key=lambda one: one[::-1]), 1)}
    found: dict[tuple[str, str], float] = {}
    for each in all_of_them:
        if each.amount is not None:
            # An amount becomes less than one, so that one number has both, by which the next page begins.
            amount = max(0.0, each.amount)
            place = order[each.currency] + amount / (amount + 1e6)
            key = each.template_id, each.waba_id
            found[key] = max(found.get(key, 0.0), place)
    return found
