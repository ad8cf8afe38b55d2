"""An account's invoice of a month, to the last cent. Pure.

Source: "Pricing", Billing (charges go to the account that sent the message, in its currency, by its time zone), and
"Currencies" (Marketing API): which currencies have no smaller unit.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from simulated_meta.billing.biller import Account, Charge

Json = dict[str, Any]

WITHOUT_CENTS = frozenset(("CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"))


def minor_units(currency: str) -> int:
    """How many of its smallest unit make one: "Currencies", offset."""
    return 1 if currency in WITHOUT_CENTS else 100


def invoice(charges: Iterable[Charge], account: Account, month: str) -> Json:
    """What is due for a month (2026-10) of the account's own days, by market, category, type and tier.

    Amounts are texts. A line's is exact; `total` is their sum rounded once, half up, to the smallest unit. What was
    charged before the account had another currency is only summed up beside it.
    """
    lines: dict[tuple[str, str, str, str, str], list[Decimal]] = defaultdict(list)
    others: dict[str, Decimal] = defaultdict(Decimal)
    for charge in charges:
        price, currency = charge.price, charge.usage.account.currency
        if charge.usage.account.id != account.id or charge.month != month:
            continue
        if currency != account.currency:
            others[currency] += price.amount
            continue
        rate = "auction" if price.is_told else f"{price.amount:f}"
        tier = price.tier.name if price.tier else ""
        lines[price.market, price.category, price.type, tier, rate].append(price.amount)
    shown: list[Json] = [
        {
            "market": market,
            "category": category,
            "type": type_,
            "tier": tier or None,
            "rate": rate,
            "volume": len(amounts),
            "amount": f"{sum(amounts, Decimal(0)):f}",
        }
        for (market, category, type_, tier, rate), amounts in sorted(lines.items())
    ]
    exact = sum((sum(amounts, Decimal(0)) for amounts in lines.values()), Decimal(0))
    total = exact.quantize(Decimal(1) / minor_units(account.currency), ROUND_HALF_UP)
    return {
        "waba_id": account.id,
        "month": month,
        "time_zone": account.zone.key,
        "currency": account.currency,
        "lines": shown,
        "volume": sum(line["volume"] for line in shown),
        "total_exact": f"{exact:f}",
        "total": f"{total:f}",
        "in_other_currencies": {currency: f"{amount:f}" for currency, amount in sorted(others.items())},
    }


def as_json(charge: Charge) -> Json:
    """One charge, with all that it was decided by."""
    usage, price = charge.usage, charge.price
    return {
        "n": charge.n,
        "at": charge.at,
        "day": str(charge.day),
        "message_id": usage.message_id,
        "waba_id": usage.account.id,
        "phone_number_id": usage.phone_number_id,
        "country": usage.country,
        "market": price.market,
        "category": price.category,
        "type": price.type,
        "tier": price.tier.name if price.tier else None,
        "amount": f"{price.amount:f}",
        "currency": usage.account.currency,
        "is_told": price.is_told,
        "template_id": usage.template_id or None,
        "in_window": usage.in_window,
        "in_free_entry": usage.in_free_entry,
    }
