"""Rate cards and rules as events tell them, and as tables keep them. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from wabus_events import MarketRate, PriceRulesPublished, RateBand

from wabus_whatsapp.prices.book import bands_from
from wabus_whatsapp.prices.card import CATEGORIES, Bands, Category, RateCard
from wabus_whatsapp.prices.markets import market_key
from wabus_whatsapp.prices.rules import PriceRules


def rates_of(card: RateCard, names: Mapping[str, str]) -> list[MarketRate]:
    """A card's rates as its event has them; `names` are its markets as people write them, by their keys."""
    return [
        MarketRate(
            market=names.get(market, market),
            category=category,
            bands=[RateBand(first=band.first, amount=band.amount) for band in bands],
        )
        for (market, category), bands in sorted(card.rates.items())
    ]


def card_of(currency: str, effective: date, rates: Iterable[Mapping[str, Any]]) -> RateCard:
    """A card of an event's rates, as JSON has them; what is no rate is left out."""
    found: dict[tuple[str, Category], Bands] = {}
    for rate in rates:
        match rate:
            case {"market": str(market), "category": category, "bands": [_, *_] as bands} if category in CATEGORIES:
                pairs = [(int(band["first"]), Decimal(str(band["amount"]))) for band in bands]
                found[market_key(market), category] = bands_from(pairs)
            case _:
                pass
    return RateCard(currency, effective, found)


def rules_of(fields: Mapping[str, Any]) -> PriceRules:
    """Rules of an event's fields, as JSON has them."""
    event = PriceRulesPublished.model_validate({"id": "kept", "time": "2000-01-01T00:00:00Z", **fields})
    return PriceRules(
        event.effective,
        event.origin,
        service_charged=event.service_charged,
        service_rate_of=event.service_rate_of,
        service_free_monthly=event.service_free_monthly,
        utility_in_window_charged=event.utility_in_window_charged,
        free_entry_point_hours=event.free_entry_point_hours,
    )
