"""What one message cost, and how that is known: by what its statuses say, else by the rate card. Pure.

Sources: Meta, "Status messages webhook reference" (`pricing`), "Pricing on the WhatsApp Business Platform", "Set a max
price for marketing messages" (`pricing.cost`), "Groups API pricing".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import column_of
from wabus_whatsapp.prices.markets import Place

Known = Literal["reported", "free", "rated", "estimated", "unknown"]
"""How an amount is known: Meta told it, Meta told that it is free, by the rate card, by Meta's own average or without
being sure of the market, or not at all. What is unknown is never nothing."""

Basis = Literal["reported", "free", "card"]
"""What the price of a message follows from."""

MOST = Decimal(10) ** 9
"""More than any message costs in any currency."""
PLACES = Decimal("0.000001")
"""As exact as amounts are kept."""
_CURRENCY = re.compile("[A-Za-z]{3}")


@dataclass(frozen=True, slots=True)
class Pricing:
    """What a status says about the price of its message; empty where it does not say."""

    category: str = ""
    """As Meta has it, such as utility or group_utility: that of the template when it was used."""
    type: str = ""
    """regular, free_customer_service, free_entry_point, …"""
    cost: Decimal | None = None
    currency: str | None = None
    """Of `cost` (ISO 4217)."""


Cheaper = Literal["volume_tier", "free_allowance", "free_entry_point"]
"""Why a message may cost less than is expected: so many were sent in the month, or too few, or the person came by an
ad."""


class Expected(NamedTuple):
    """What a message to somebody will cost at most, as far as is known before it is sent."""

    amount: Decimal | None
    currency: str | None
    known: Known
    market: str
    """Empty where it is not known where it goes."""
    cheaper: Sequence[Cheaper]
    """Why it may cost less."""


class Price(NamedTuple):
    """What a message costs; `amount` is None where that is not known."""

    amount: Decimal | None
    currency: str | None
    known: Known


def pricing_in(value: Mapping[str, Any]) -> Pricing | None:
    """The pricing of the one status in a change's value; None where it has none.

    >>> pricing_in({"statuses": [{"pricing": {"billable": True, "category": "utility", "type": "regular"}}]})
    Pricing(category='utility', type='regular', cost=None, currency=None)
    """
    match value:
        case {"statuses": [{"pricing": {**told}}]}:
            cost, currency = _cost(told.get("cost"))
            return Pricing(_word(told.get("category")).replace("-", "_"), _type(told), cost, currency)
        case _:
            return None


def basis(pricing: Pricing) -> Basis:
    """What the price of a message follows from, by what was told of it."""
    if pricing.cost is not None:
        return "reported"
    return "free" if pricing.type.startswith("free_") else "card"


def price(
    pricing: Pricing,
    book: PriceBook,
    country: str,
    currency: str | None,
    day: date,
    *,
    sure: bool = True,
    band: int = 0,
) -> Price:
    """The price of a message that was delivered on a day of the account's: the first that holds.

    `currency` is the account's, `sure` whether the country is that of the recipient's number, `band` the volume tier.
    """
    match basis(pricing):
        case "reported":
            return Price(pricing.cost, pricing.currency or currency, "reported")
        case "free":
            return Price(Decimal(0), currency, "free")
        case "card":
            column = column_of(pricing.category)
            market = book.market(country, currency, day)
            rate = book.rate(currency, market, column, day, band) if column and country else None
            return Price(rate, currency, "unknown" if rate is None else "rated" if sure else "estimated")


def expected(
    category: str,
    book: PriceBook,
    place: Place,
    currency: str | None,
    day: date,
    *,
    window_open: bool,
    free_entry: Literal["reported", "computed"] | None = None,
) -> Expected:
    """What a message of a category costs that is sent on a day of the account's, at the list rate.

    `category` is that of the template, or `service`; `window_open` whether the customer service window is surely open;
    `free_entry` how it is known that a free entry point window is, in which everything is free. One that is computed is
    not sure: for whoever came by WhatsApp Web Meta opens none.
    """
    column, rules = column_of(category), book.rules_on(day)
    market = book.market(place.country, currency, day) if place.country else ""
    if free_entry:
        return Expected(Decimal(0), currency, "free" if free_entry == "reported" else "estimated", market, ())
    is_service = column is not None and column.category == "service"
    in_window = column is not None and column.category == "utility" and window_open
    if (is_service and not rules.service_charged) or (in_window and not rules.utility_in_window_charged):
        return Expected(Decimal(0), currency, "free", market, ())
    bands = book.bands(currency, market, column, day) if column and market else ()
    if not bands:
        return Expected(None, currency, "unknown", market, ())
    cheaper: list[Cheaper] = []
    if len(bands) > 1:
        cheaper.append("volume_tier")
    if is_service and rules.service_free_monthly:
        cheaper.append("free_allowance")
    if rules.free_entry_point_hours:
        cheaper.append("free_entry_point")
    return Expected(bands[0].amount, currency, "rated" if place.sure else "estimated", market, cheaper)


def _type(told: Mapping[str, Any]) -> str:
    """Before messages were charged one by one, `billable` alone said whether something costs."""
    found = _word(told.get("type"))
    if not found and told.get("billable") in (False, "false"):
        return "free_unnamed"
    return found or "regular"


def _cost(told: Any) -> tuple[Decimal | None, str | None]:
    """An amount and its currency, where both are what they must be."""
    match told:
        case {"amount": int() | float() | str() as amount, "currency": str(currency)} if not isinstance(amount, bool):
            try:
                number = Decimal(str(amount))
            except InvalidOperation:
                return None, None
            if number.is_finite() and 0 <= number < MOST and _CURRENCY.fullmatch(currency):
                # By the message, so that no sum depends on what was counted at once.
                return number.quantize(PLACES), currency.upper()
            return None, None
        case _:
            return None, None


def _word(value: object) -> str:
    found = value.lower() if isinstance(value, str) else ""
    return found if found.isascii() and found.replace("_", "").replace("-", "").isalnum() and len(found) <= 60 else ""
