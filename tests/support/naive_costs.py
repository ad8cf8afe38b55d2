"""What messages cost, worked out from all that is known at once and message by message: the reference for the fold.

It shares no code with the service but the models of events: rates are written here as plain tables, places as plain
words, and every day, position and price is looked up anew for each message.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountUpdated,
    Event,
    MessageAccepted,
    MessageStatusChanged,
    PricingRead,
    RateCardPublished,
    SendRequested,
)

ZONES = {"a": "America/Sao_Paulo", "b": "Asia/Kolkata"}
CURRENCIES = {"a": "EUR", "b": "USD"}
PORTFOLIO = "p"
MARKETS = {"DE": "Germany", "IN": "India", "MA": "Rest of Africa", "KR": "Other"}
"""By country; Morocco is a market of its own from 1 October 2026 on."""
NUMBERS = {"DE": "4915100000001", "IN": "919800000001", "MA": "212600000001", "KR": "821000000001"}
FAMILY = {
    "utility": "utility",
    "authentication": "authentication",
    "authentication_international": "authentication",
}


@dataclass
class Message:
    """All that was told of one message."""

    waba: str
    number: str
    wamid: str
    delivered: list[datetime] = field(default_factory=list[datetime])
    read: list[datetime] = field(default_factory=list[datetime])
    pricing: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    countries: set[tuple[bool, str]] = field(default_factory=set[tuple[bool, str]])
    template: str = ""
    campaign: str = ""


Totals = dict[tuple[Any, ...], tuple[int, Decimal | None]]
"""By account, number, market, country, category, type, template, campaign, day, currency and how it is known: volume
and amount."""


def naive(events: Sequence[Event]) -> Totals:
    """What the messages of these events cost."""
    cards: dict[tuple[str, date], RateCardPublished] = {}
    for event in events:
        if isinstance(event, RateCardPublished):
            before = cards.get((event.currency, event.effective))
            if before is None or (event.time, event.id) > (before.time, before.id):
                cards[event.currency, event.effective] = event
    readings: dict[tuple[str, date], PricingRead] = {}
    for event in events:
        if isinstance(event, PricingRead):
            had = readings.get((event.waba_id, event.priced_on))
            if had is None or event.time > had.time:
                readings[event.waba_id, event.priced_on] = event
    told = [event for event in events if isinstance(event, AccountConnected | AccountChecked)]
    floors = [
        (_portfolio(told, event.waba_id, floor[3]), *floor)
        for event in events
        if isinstance(event, AccountUpdated) and (floor := _floor(event))
    ]
    charged = [found for message in _messages(events).values() if (found := _charged(message))]
    charged.sort(key=lambda each: each["at"])
    totals: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for each in charged:
        each["scope"] = _portfolio(told, each["waba"], each["at"])
        card = _card(cards, each["currency"], each["day"])
        each["market"] = _market(each["country"], each["day"], card)
        amount, known = _price(each, card, counts, floors, readings)
        key = tuple(
            each[name]
            for name in (
                "waba", "number", "market", "country", "category", "type", "template", "campaign", "day", "currency",
            )
        )  # fmt: skip
        total = totals[*key, known]
        total[0] += 1
        total[1] = None if amount is None else total[1] + amount
    return {key: (volume, amount) for key, (volume, amount) in totals.items()}


def _portfolio(told: Sequence[AccountConnected | AccountChecked], waba: str, at: datetime) -> str:
    """Of what was told by then the last, else what was told first."""
    own = sorted((event.time, event.portfolio_id) for event in told if event.waba_id == waba and event.portfolio_id)
    return next((portfolio for time, portfolio in reversed(own) if time <= at), own[0][1])


def _messages(events: Sequence[Event]) -> dict[str, Message]:
    templates = {event.send_id: event.template_id for event in events if isinstance(event, SendRequested)}
    found: dict[str, Message] = {}
    for event in events:
        if not isinstance(event, MessageStatusChanged | MessageAccepted):
            continue
        message = found.setdefault(event.wamid, Message(event.waba_id, event.phone_number_id, event.wamid))
        if event.wa_id:
            message.countries.add((True, next(c for c, number in NUMBERS.items() if number == event.wa_id)))
        elif event.user_id:
            message.countries.add((False, event.user_id[:2]))
        if isinstance(event, MessageAccepted):
            message.template = templates.get(event.send_id) or ""
            message.campaign = event.label or ""
            continue
        if event.status == "delivered":
            message.delivered.append(event.time)
        if event.status in ("read", "played"):
            message.read.append(event.time)
        if pricing := event.value["statuses"][0].get("pricing"):
            message.pricing[event.status] = pricing
    return found


def _charged(message: Message) -> dict[str, Any] | None:
    pricing = next(
        (message.pricing[status] for status in ("delivered", "read", "played", "sent") if status in message.pricing),
        None,
    )
    pricing = next((told for told in message.pricing.values() if "cost" in told), pricing)
    if message.delivered:
        at = min(message.delivered)
    elif message.read and pricing is not None:
        at = min(message.read)
    else:
        return None
    pricing = pricing or {}
    sure, country = max(message.countries, default=(False, ""))
    day = at.astimezone(ZoneInfo(ZONES[message.waba])).date()
    return {
        "waba": message.waba,
        "number": message.number,
        "at": at,
        "day": day,
        "country": country,
        "sure": sure,
        "category": pricing.get("category", ""),
        "type": pricing.get("type", ""),
        "cost": Decimal(str(pricing["cost"]["amount"])) if "cost" in pricing else None,
        "currency": pricing["cost"]["currency"] if "cost" in pricing else CURRENCIES[message.waba],
        "template": message.template,
        "campaign": message.campaign,
    }


def _card(cards: dict[tuple[str, date], RateCardPublished], currency: str, day: date) -> RateCardPublished | None:
    found = [card for (of, since), card in cards.items() if of == currency and since <= day and card.rates]
    return max(found, key=lambda card: card.effective, default=None)


def _market(country: str, day: date, card: RateCardPublished | None) -> str:
    if country == "MA" and (day >= date(2026, 10, 1) or (card and any(r.market == "Morocco" for r in card.rates))):
        return "Morocco"
    return MARKETS.get(country, "")


def _price(
    each: dict[str, Any],
    card: RateCardPublished | None,
    counts: dict[tuple[Any, ...], int],
    floors: Sequence[tuple[str, str, str, str, datetime, int]],
    readings: dict[tuple[str, date], PricingRead],
) -> tuple[Decimal | None, str]:
    if each["cost"] is not None:
        return each["cost"], "reported"
    if each["type"].startswith("free_"):
        return Decimal(0), "free"
    category, market, day = each["category"], each["market"], each["day"]
    position = 1
    if family := FAMILY.get(category):
        month = day.replace(day=1).isoformat()[:7]
        whole = each["scope"], market, family, month
        counts[whole] += 1
        position = max(
            counts[whole],
            *(first for *of, since, first in floors if tuple(of) == whole and since < each["at"]),
            1,
        )
    bands = _bands(card, market, category)
    if not bands and category == "service" and day >= date(2026, 10, 1):
        bands = _bands(card, market, "utility")[:1]
    if bands:
        rate = [amount for first, amount in bands if first <= position][-1]
        return rate, "rated" if each["sure"] else "estimated"
    volume, amount = 0, Decimal(0)
    for (waba, read_day), reading in readings.items():
        if waba == each["waba"] and timedelta(0) <= day - read_day <= timedelta(days=30):
            for told in reading.volumes:
                if (told.country, told.pricing_category) == (each["country"], category):
                    volume, amount = volume + told.volume, amount + (told.amount or 0)
    if volume and category and each["country"]:
        return (amount / volume).quantize(Decimal("0.000001")), "estimated"
    return None, "unknown"


def _bands(card: RateCardPublished | None, market: str, category: str) -> list[tuple[int, Decimal]]:
    found = [rate for rate in card.rates if (rate.market, rate.category) == (market, category)] if card else []
    return [(band.first, band.amount) for band in found[0].bands] if found else []


def _floor(event: AccountUpdated) -> tuple[str, str, str, datetime, int] | None:
    told = event.value.get("volume_tier_info")
    if not told:
        return None
    return (
        told["region"],
        FAMILY[told["pricing_category"].lower()],
        told["effective_month"],
        datetime.fromtimestamp(told["tier_update_time"], UTC),
        int(told["tier"].split(":")[0]),
    )
