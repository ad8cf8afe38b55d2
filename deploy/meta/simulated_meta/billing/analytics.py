"""Meta's analytics of what was billed and of what became of templates. Pure; requests are read elsewhere.

Sources: "Analytics" (Pricing analytics; Template analytics), "Template Comparison".
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from simulated_meta.billing.biller import Charge
from simulated_meta.billing.zones import day_of, next_day, next_month, start_of

Json = dict[str, Any]

HALF_HOUR = 1800  # seconds
ENGAGEMENT_SECONDS = 7 * 86_400
""" "Read and click event data is only available for up to 7 days from the date the message is sent. After this the
corresponding read/click counts reset to zero": "Analytics", Template analytics, Limitations."""
DIMENSIONS = ("COUNTRY", "PHONE", "PRICING_CATEGORY", "PRICING_TYPE", "TIER")


@dataclass(frozen=True, slots=True)
class PricingQuery:
    """A request for pricing analytics; what is empty takes everything."""

    start: int
    end: int
    granularity: str
    dimensions: Collection[str] = ()
    metrics: Collection[str] = ()
    numbers: Collection[str] = ()
    countries: Collection[str] = ()
    categories: Collection[str] = ()
    types: Collection[str] = ()


def pricing_points(
    charges: Iterable[Charge], query: PricingQuery, zone: ZoneInfo, numbers: Collection[str], *, cost_factor: float
) -> list[Json]:
    """Volume and cost by bucket and dimension, the oldest first, of the business numbers that the account has now.

    Days and months begin in the account's time zone, as in the page's example response: 1748761200 is midnight in Los
    Angeles. `tier` is left out of what is free.
    """
    bucket = _buckets(query.granularity, zone)
    found: dict[tuple[int, int, tuple[tuple[str, str], ...]], list[Decimal]] = defaultdict(list)
    for charge in charges:
        usage, price = charge.usage, charge.price
        category, type_ = _enumerated(price.category), _enumerated(price.type)
        wanted = (
            query.start <= charge.at < query.end
            and usage.number in numbers
            and _takes(query.numbers, usage.number)
            and _takes(query.countries, usage.country)
            and _takes(query.categories, category)
            and _takes(query.types, type_)
        )
        if not wanted:
            continue
        values = {
            "PHONE": ("phone_number", usage.number),
            "COUNTRY": ("country", usage.country),
            "TIER": ("tier", price.tier.name if price.tier else ""),
            "PRICING_TYPE": ("pricing_type", type_),
            "PRICING_CATEGORY": ("pricing_category", category),
        }
        key = tuple(pair for name, pair in values.items() if name in query.dimensions and pair[1])
        found[*bucket(charge.at), key].append(price.amount)
    points: list[Json] = []
    for (start, end, key), amounts in sorted(found.items()):
        point: Json = {"start": start, "end": end, **dict(key)}
        if _takes(query.metrics, "VOLUME"):
            point["volume"] = len(amounts)
        if _takes(query.metrics, "COST"):
            point["cost"] = _number(sum(amounts, Decimal(0)), cost_factor)
        points.append(point)
    return points


@dataclass(slots=True)
class Click:
    at: float
    button: int
    user_id: str


@dataclass(slots=True)
class Journey:
    """What became of one template message."""

    message_id: str
    sent_at: float
    template_id: str
    is_marketing_api: bool
    """Whether it went through the Marketing Messages API."""
    was_sent: bool = False
    was_delivered: bool = False
    was_read: bool = False
    clicks: list[Click] = field(default_factory=list[Click])


@dataclass(frozen=True, slots=True)
class TemplateQuery:
    template_ids: Sequence[str]
    days: tuple[date, date]
    """The first and the last."""
    metrics: Collection[str]
    is_marketing_api: bool
    zone: ZoneInfo | None
    """None is UTC."""


def template_points(
    journeys: Iterable[Journey],
    charges: Iterable[Charge],
    templates: Mapping[str, Json],
    query: TemplateQuery,
    now: float,
    *,
    cost_factor: float,
) -> list[Json]:
    """A point for each template and day on which it was sent, by template and then by day.

    Everything counts for the day on which the message was sent: no page says which day it is, and only so can what is
    read "reset to zero" 7 days after it was sent.
    """
    zone = query.zone or ZoneInfo("UTC")
    by_day: dict[tuple[str, date], list[Journey]] = defaultdict(list)
    for each in journeys:
        day = day_of(each.sent_at, zone)
        if (
            each.template_id in query.template_ids
            and each.is_marketing_api == query.is_marketing_api
            and query.days[0] <= day <= query.days[1]
        ):
            by_day[each.template_id, day].append(each)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for charge in charges:
        spent[charge.usage.message_id] += charge.price.amount
    order = {id_: at for at, id_ in enumerate(query.template_ids)}
    points: list[Json] = []
    for (template_id, day), sent in sorted(by_day.items(), key=lambda each: (order[each[0][0]], each[0][1])):
        start, end = _day(day, query.zone)
        point: Json = {"template_id": template_id, "start": start, "end": end}
        fresh = [each for each in sent if now - each.sent_at < ENGAGEMENT_SECONDS]
        delivered = sum(each.was_delivered for each in sent)
        counts = {"SENT": sum(each.was_sent for each in sent), "DELIVERED": delivered}
        counts["READ"] = sum(each.was_read for each in fresh)
        point |= {name.lower(): count for name, count in counts.items() if _takes(query.metrics, name)}
        template = templates[template_id]
        clicked = [click for each in fresh for click in each.clicks]
        counted = _clicks(template, clicked)
        if _takes(query.metrics, "CLICKED") and counted is not None:
            point["clicked"] = counted
        if _takes(query.metrics, "COST"):
            amount = sum((spent[each.message_id] for each in sent), Decimal(0))
            point["cost"] = _costs(template, amount, delivered, clicked, cost_factor)
        points.append(point)
    return points


def comparison(sends: Mapping[str, int], blocks: Mapping[str, Counter[str]]) -> list[Json]:
    """Two templates beside each other, by id: who is blocked less comes first."""
    shares = {id_: Decimal(blocks[id_].total()) / count for id_, count in sends.items()}
    tops = {id_: blocks[id_].most_common(1) for id_ in sends}
    reasons = [{"key": id_, "value": top[0][0] if top else "UNKNOWN_BLOCK_REASON"} for id_, top in tops.items()]
    return [
        {
            "metric": "BLOCK_RATE",
            "type": "RELATIVE",
            "order_by_relative_metric": sorted(shares, key=lambda id_: shares[id_]),
        },
        {
            "metric": "MESSAGE_SENDS",
            "type": "NUMBER_VALUES",
            "number_values": [{"key": id_, "value": count} for id_, count in sends.items()],
        },
        {"metric": "TOP_BLOCK_REASON", "type": "STRING_VALUES", "string_values": reasons},
    ]


def buttons_of(template: Json) -> list[Json]:
    """The buttons of a template, each with its `type` and `text`, in their order."""
    parts = [part for part in template["components"] if str(part.get("type")).upper() == "BUTTONS"]
    return parts[0].get("buttons", []) if parts else []


def _clicks(template: Json, clicked: Sequence[Click]) -> list[Json] | None:
    """None of a template whose clicks are not counted: of authentication, without such a button, or opted out."""
    if template.get("cta_url_link_tracking_opted_out") or template["category"] not in ("MARKETING", "UTILITY"):
        return None
    found: list[Json] = []
    for index, button in enumerate(buttons_of(template)):
        users = [click.user_id for click in clicked if click.button == index]
        match str(button.get("type")).upper():
            case "QUICK_REPLY":
                counts = {"quick_reply_button": len(users)}
            case "URL":
                counts = {"url_button": len(users), "unique_url_button": len({*users})}
            case _:
                continue
        found += [{"type": kind, "button_content": button["text"], "count": count} for kind, count in counts.items()]
    return found or None


def _costs(template: Json, amount: Decimal, delivered: int, clicked: Sequence[Click], factor: float) -> list[Json]:
    """A cost that is nothing, or has nothing to be divided by, has no `value`: so public readers of the answer say."""
    urls = {at for at, button in enumerate(buttons_of(template)) if str(button.get("type")).upper() == "URL"}
    divisors = {"amount_spent": 1, "cost_per_delivered": delivered}
    if urls:
        divisors["cost_per_url_button_click"] = sum(click.button in urls for click in clicked)
    return [
        {"type": kind} | ({"value": _number(amount / by, factor)} if amount and by else {})
        for kind, by in divisors.items()
    ]


def _buckets(granularity: str, zone: ZoneInfo) -> Callable[[float], tuple[int, int]]:
    def half_hour(at: float) -> tuple[int, int]:
        start = int(at) // HALF_HOUR * HALF_HOUR
        return start, start + HALF_HOUR

    def daily(at: float) -> tuple[int, int]:
        return _day(day_of(at, zone), zone)

    def monthly(at: float) -> tuple[int, int]:
        first = day_of(at, zone).replace(day=1)
        return start_of(first, zone), start_of(next_month(first), zone)

    return {"HALF_HOUR": half_hour, "DAILY": daily, "MONTHLY": monthly}[granularity]


def _day(day: date, zone: ZoneInfo | None) -> tuple[int, int]:
    if zone is None:
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        return start, start + 86_400
    return start_of(day, zone), start_of(next_day(day), zone)


def _takes(wanted: Collection[str], value: str) -> bool:
    return not wanted or value in wanted


def _enumerated(value: str) -> str:
    """As analytics write what webhooks have in small letters: "Set a max price …", Metrics and billing."""
    return value.upper().replace("-", "_")


def _number(amount: Decimal, factor: float) -> float:
    return round(float(amount) * factor, 10)
