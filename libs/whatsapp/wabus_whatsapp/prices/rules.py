"""What is charged at all, from a day on: dated data, each with where it comes from. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from wabus_whatsapp.prices.card import Category


@dataclass(frozen=True, slots=True)
class PriceRules:
    """What holds from midnight of a day on, in each account's own zone."""

    effective: date
    source: str
    """The titles of the pages that say so."""
    service_charged: bool
    """Whether messages that are no templates cost anything."""
    service_rate_of: Category = "utility"
    """At whose list rate, where the rate card has no column for them."""
    service_free_monthly: int = 0
    """How many of them each business number has free in a month."""
    utility_in_window_charged: bool = True
    """Whether a utility template costs anything while the customer service window is open."""
    free_entry_point_hours: int = 72
    """For how long everything is free to somebody who came by an ad or a page's button and was answered in a day."""


BUILT_IN: Sequence[PriceRules] = (
    PriceRules(
        date(2025, 7, 1),
        "Meta: Pricing on the WhatsApp Business Platform, updated 1 July 2026",
        service_charged=False,
        utility_in_window_charged=False,
    ),
    PriceRules(
        date(2026, 10, 1),
        "Meta: Pricing on the WhatsApp Business Platform, as excerpted on 2 October 2026; YCloud: Changes to WhatsApp "
        "service messages and utility messages in the 24-hour window, 2 July 2026; ChakraHQ: WhatsApp API pricing "
        "update, service messages, October 2026",
        service_charged=True,
        service_free_monthly=1000,
    ),
)
"""What was known when this was written; rules that are published later take the place of those of the same day."""


def rules_on(day: date, rules: Iterable[PriceRules]) -> PriceRules:
    """The rules that hold on a day; before all of them, the first."""
    ordered = sorted(rules, key=lambda each: each.effective)
    return next((each for each in reversed(ordered) if each.effective <= day), ordered[0])
