"""What messages to an audience will cost: between what it may be, and what it is at most. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import Category, Column, walk
from wabus_whatsapp.prices.message import Known


@dataclass(frozen=True, slots=True)
class InMarket:
    """What the messages to one market will cost."""

    market: str
    messages: int
    rate: Decimal | None
    """The list rate; None where it is not known."""
    low: Decimal | None
    """With the volume tiers that the month has come to, and with what is free."""
    high: Decimal | None
    """Each at the list rate."""
    known: Known


@dataclass(frozen=True, slots=True)
class Estimate:
    """What messages will cost together, if all are delivered."""

    markets: Sequence[InMarket]
    low: Decimal | None
    high: Decimal | None
    unpriced: int
    """Messages without a rate, which are in neither."""
    free: int
    """How many may be free, so that `low` does not count them."""


def estimate(
    audience: Mapping[str, int],
    column: Column,
    book: PriceBook,
    currency: str | None,
    day: date,
    *,
    charged: Mapping[str, int],
    service_used: int,
) -> Estimate:
    """What so many messages to each country will cost on a day of the account's.

    `charged` says how many were charged in the month already, by market, as what this is counted with for volume
    tiers; `service_used` how many service messages the number has sent in it.
    """
    rules = book.rules_on(day)
    in_market: dict[str, int] = {}
    for country, messages in audience.items():
        market = book.market(country, currency, day)
        in_market[market] = in_market.get(market, 0) + messages
    category: Category = column.category
    nothing = category == "service" and not rules.service_charged
    free = max(0, rules.service_free_monthly - service_used) if category == "service" and not nothing else 0
    free = min(free, sum(in_market.values()))
    left, found = free, list[InMarket]()
    # Which of them come first nobody knows: at least it costs what is left when the dearest are free.
    for market, messages in sorted(
        in_market.items(), key=lambda each: _list_rate(book, currency, column, each[0], day)
    ):
        bands = book.bands(currency, market, column, day)
        if nothing:
            found.append(InMarket(market, messages, Decimal(0), Decimal(0), Decimal(0), "free"))
        elif not bands:
            found.append(InMarket(market, messages, None, None, None, "unknown"))
        else:
            for_nothing = min(left, messages)
            left -= for_nothing
            low = walk(bands, charged.get(market, 0) if column.has_tiers else 0, messages - for_nothing)
            if category == "utility" and not rules.utility_in_window_charged:
                low = Decimal(0)
            found.append(InMarket(market, messages, bands[0].amount, low, bands[0].amount * messages, "rated"))
    priced = [each for each in found if each.low is not None and each.high is not None]
    return Estimate(
        sorted(found, key=lambda each: (-each.messages, each.market)),
        sum((each.low for each in priced if each.low is not None), Decimal(0)) if priced else None,
        sum((each.high for each in priced if each.high is not None), Decimal(0)) if priced else None,
        sum(each.messages for each in found if each.low is None),
        free,
    )


def _list_rate(book: PriceBook, currency: str | None, column: Column, market: str, day: date) -> tuple[Decimal, str]:
    """The dearest first."""
    return -(book.rate(currency, market, column, day) or Decimal(0)), market
