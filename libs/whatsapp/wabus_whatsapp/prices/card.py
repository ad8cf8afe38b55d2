"""A rate card: what Meta charges for a message, by market, category and how many were charged in the month. Pure.

Sources: Meta, "Pricing on the WhatsApp Business Platform" (rate cards, volume tiers), "Authentication-international
rates", "Groups API pricing".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal, NamedTuple, get_args

from wabus_whatsapp.prices.markets import market_key

Category = Literal["marketing", "utility", "authentication", "authentication_international", "service"]
"""A column of a rate card."""
CATEGORIES: tuple[Category, ...] = get_args(Category)

TIERED: Mapping[Category, Category] = {
    "utility": "utility",
    "authentication": "authentication",
    "authentication_international": "authentication",
}
"""What has volume tiers, and as what it is counted: messages at the international rate go on counting where those at
the domestic one were. Source: Meta, "Volume tiers examples", example 2."""

_COLUMN_OF: Mapping[str, tuple[Category, bool]] = {
    **{category: (category, category in TIERED) for category in CATEGORIES},
    "marketing_lite": ("marketing", False),
    "group_marketing": ("marketing", False),
    "group_utility": ("utility", False),
    "group_service": ("service", False),
}


class Column(NamedTuple):
    """Where a message stands on a rate card."""

    category: Category
    has_tiers: bool
    """Whether its rate falls with the volume: that of messages to groups does not."""


def column_of(pricing_category: str) -> Column | None:
    """The column for the `category` that Meta tells of a message; None for one that no rate card has."""
    found = _COLUMN_OF.get(pricing_category.lower())
    return Column(*found) if found else None


class Band(NamedTuple):
    """From this message of a month on, each costs so much."""

    first: int
    """1 for the first message that is charged."""
    amount: Decimal


Bands = Sequence[Band]
"""In the order of `first`; the first band's is 1, and its amount is the list rate."""


@dataclass(frozen=True, slots=True)
class RateCard:
    """What Meta charges in a currency from a day on, at midnight of each account's own zone."""

    currency: str
    """ISO 4217."""
    effective: date
    rates: Mapping[tuple[str, Category], Bands]
    """By market, as `market_key` has it, and category. What is not in it has no rate."""
    markets: frozenset[str] = field(init=False)
    """The markets that it lists, as `market_key` has them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "markets", frozenset(market for market, _ in self.rates))

    def bands(self, market: str, category: Category) -> Bands:
        """The rates of a market and a category; empty where there is none."""
        return self.rates.get((market_key(market), category), ())

    def list_rate(self, market: str, category: Category) -> Decimal | None:
        """The rate of the month's first message."""
        found = self.bands(market, category)
        return found[0].amount if found else None


def band_of(bands: Bands, position: int) -> int:
    """Which band the message at this position of the month is in, counted from 0.

    >>> band_of([Band(1, Decimal(2)), Band(100_001, Decimal(1))], 100_000)
    0
    """
    return max((n for n, band in enumerate(bands) if band.first <= position), default=0)


def walk(bands: Bands, before: int, count: int) -> Decimal:
    """What so many messages cost together after `before` were charged in the month already.

    >>> walk([Band(1, Decimal("0.02")), Band(11, Decimal("0.01"))], 8, 4)
    Decimal('0.06')
    """
    total, last = Decimal(0), before + count
    for n, band in enumerate(bands):
        end = min(last, bands[n + 1].first - 1) if n + 1 < len(bands) else last
        total += band.amount * max(0, end - max(before, band.first - 1))
    return total
