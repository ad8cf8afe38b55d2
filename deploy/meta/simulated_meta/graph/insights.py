"""Analytics over Graph: what was billed, what became of templates, two of them compared, and the consent to it.

Sources: "Analytics" (Pricing analytics; Template analytics with its parameters, limitations and confirmation), "Whats
App Business Account Pricing Analytics" (Graph API reference), "Template Comparison", "Error codes", Template insights
errors.
Where a page gives a limit and no error, it is a (#100) in Graph's manner, in words of ours.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from simulated_meta.billing import analytics
from simulated_meta.billing.markets import country_of
from simulated_meta.billing.zones import day_of, zone_or_utc
from simulated_meta.graph import answers
from simulated_meta.graph.access import Call, Node
from simulated_meta.graph.errors import (
    bad_parameter,
    insights_off,
    insights_stay_on,
    insights_unavailable,
    not_one_of,
    unknown_object,
)
from simulated_meta.sending.ledger import Sent
from simulated_meta.state import Waba
from simulated_meta.webhooks.wire import digits

Json = dict[str, Any]

LOOK_BACK_DAYS = 366  # "Analytics": 1 year for messaging, conversation and pricing analytics since Dec 1, 2025
TEMPLATE_LOOK_BACK_DAYS = 90
TEMPLATES_MAX = 10
COMPARED_SENDS_MIN = 1000
COMPARED_SECONDS = (604_800, 2_592_000, 5_184_000, 7_776_000)  # 7, 30, 60 and 90 days
COMPARED_UNTIL_SLACK = 3600  # seconds by which the end of a timeframe may differ from now
GRANULARITIES = ("DAILY", "HALF_HOUR", "MONTHLY")
PRICING_METRICS = ("COST", "VOLUME")
PRICING_TYPES = ("FREE_CUSTOMER_SERVICE", "FREE_ENTRY_POINT", "FREE_GROUP_CUSTOMER_SERVICE", "REGULAR")
PRICING_CATEGORIES = (
    *("AUTHENTICATION", "AUTHENTICATION_INTERNATIONAL", "GROUP_MARKETING", "GROUP_SERVICE", "GROUP_UTILITY"),
    *("MARKETING", "MARKETING_LITE", "REFERRAL_CONVERSION", "SERVICE", "UTILITY"),
)
TEMPLATE_METRICS = ("CLICKED", "COST", "DELIVERED", "READ", "SENT")
OF_CONVERSIONS = re.compile(r"(APP|WEBSITE)_[A-Z_]+")
"""Metrics of what people do in apps and on websites, of which nothing happens here."""
PRODUCTS = {"CLOUD_API": "cloud_api", "MARKETING_MESSAGES_API_FOR_WHATSAPP": "MARKETING_MESSAGES_LITE_API"}
"""What is asked for, and what is answered."""

WITHOUT_INSIGHTS = frozenset(
    (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU"),
        *("LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
        *("GB", "JP"),
    )
)
"""The European Union, the United Kingdom and Japan: "Analytics", Template analytics, Limitations."""


def pricing_analytics(call: Call, waba: Waba, arguments: Mapping[str, str]) -> Json:
    """Volume and cost of what was delivered. Raises `GraphError`."""
    world, biller = call.meta.world, call.meta.sending.biller
    start, end = _moment(arguments, "start"), _moment(arguments, "end")
    granularity = _one_of(arguments, "granularity", GRANULARITIES)
    if start >= end:
        raise bad_parameter("Param start must be before end")
    if start < world.now() - LOOK_BACK_DAYS * 86_400:
        raise bad_parameter("Param start must be within the last year")
    metrics = set(_some_of(arguments, "metric_types", PRICING_METRICS) or PRICING_METRICS)
    if waba.shares_credit_line:
        metrics.discard("COST")
    query = analytics.PricingQuery(
        start,
        end,
        granularity,
        dimensions=_some_of(arguments, "dimensions", analytics.DIMENSIONS),
        metrics=metrics or {"NONE"},
        numbers=[digits(number) for number in _list(arguments, "phone_numbers")],
        countries=[country.upper() for country in _list(arguments, "country_codes")],
        categories=_some_of(arguments, "pricing_categories", PRICING_CATEGORIES),
        types=_some_of(arguments, "pricing_types", PRICING_TYPES),
    )
    points = analytics.pricing_points(
        (charge for charge in biller.charges if charge.usage.account.id == waba.id),
        query,
        zone_or_utc(waba.timezone_id),
        {digits(phone.display_phone_number) for phone in waba.phones.values()},
        cost_factor=biller.settings.cost_factor,
    )
    return {"data": [{"data_points": points}] if points else []}


def template_analytics(call: Call, waba: Waba, arguments: Mapping[str, str]) -> Json:
    """What became of up to ten templates in up to 90 days, in pages of data points. Raises `GraphError`."""
    world, sending = call.meta.world, call.meta.sending
    _refuse_where_there_are_none(call, waba)
    if not waba.insights_since:
        raise insights_off()
    _one_of(arguments, "granularity", ("DAILY",))
    ids = _list(arguments, "template_ids")
    if not ids:
        raise bad_parameter("The parameter template_ids is required.")
    if len(ids) > TEMPLATES_MAX:
        raise bad_parameter(f"Param template_ids must have at most {TEMPLATES_MAX} elements.")
    if strange := [each for each in ids if each not in waba.templates]:
        raise unknown_object(strange[0])
    product = _one_of(arguments, "product_type", tuple(PRODUCTS), "CLOUD_API")
    in_zone = arguments.get("use_waba_timezone", "false").lower() in ("true", "1")
    zone = zone_or_utc(waba.timezone_id) if in_zone else None
    first, last = _day(arguments, "start", zone), _last_day(arguments, zone)
    today = day_of(world.now(), zone or ZoneInfo("UTC"))
    if first > last:
        raise bad_parameter("Param start must be before end")
    if first < today - timedelta(days=TEMPLATE_LOOK_BACK_DAYS):
        raise bad_parameter(f"Param start must be within the last {TEMPLATE_LOOK_BACK_DAYS} days")
    metrics = {*(_template_metrics(arguments) or TEMPLATE_METRICS)}
    if waba.shares_credit_line:
        metrics.discard("COST")
    query = analytics.TemplateQuery(
        list(dict.fromkeys(ids)), (first, last), metrics or {"NONE"}, product != "CLOUD_API", zone
    )
    points = analytics.template_points(
        [_journey(sent) for sent in sending.ledger.entries if _is_captured(sent, waba)],
        (charge for charge in sending.biller.charges if charge.usage.account.id == waba.id),
        waba.templates,
        query,
        world.now(),
        cost_factor=sending.biller.settings.cost_factor,
    )
    marked = [point | {"id": f"{point['template_id']}-{point['start']}"} for point in points]
    chosen, paging = answers.page(
        marked,
        limit=answers.parse_limit(arguments.get("limit")),
        after=arguments.get("after"),
        before=arguments.get("before"),
        url=f"{call.request.url.origin()}/{call.version}/{waba.id}/template_analytics",
        query={**arguments, "access_token": call.token_value},
    )
    shown: Json = {"waba_timezone": zone.key} if zone else {}
    shown |= {"granularity": "DAILY", "product_type": PRODUCTS[product]}
    shown["data_points"] = [{name: value for name, value in point.items() if name != "id"} for point in chosen]
    return {"data": [shown] if chosen else []} | paging


FIELDS: dict[str, Callable[[Call, Waba, Mapping[str, str]], Json]] = {
    "pricing_analytics": pricing_analytics,
    "template_analytics": template_analytics,
}
"""Both are fields with arguments, and edges with parameters."""


def enable(call: Call, node: Node) -> Json:
    """`POST /{waba}?is_enabled_for_insights=true`: from then on, and for ever. Raises `GraphError`.

    "Analytics", Confirming template analytics: "Once confirmed, we will begin capturing", and it "cannot be disabled".
    """
    waba = node.waba
    asked = call.parameters.get("is_enabled_for_insights")
    if waba is None or asked is None:
        raise unknown_object(node.id, call.method)
    if asked.lower() not in ("true", "false"):
        raise bad_parameter("Param is_enabled_for_insights must be a boolean.")
    if asked.lower() == "false":
        raise insights_stay_on()
    _refuse_where_there_are_none(call, waba)
    if not waba.insights_since:
        waba.insights_since = call.meta.world.now()
        call.meta.store.changed()
    return {"id": waba.id}


def compare(call: Call, waba: Waba, template_id: str) -> Json:
    """`GET /{template}/compare`: who is blocked less, how often both were sent, why they were blocked."""
    others = _list(call.parameters, "template_ids")
    if len(others) != 1:
        raise bad_parameter("Param template_ids must have exactly one element.")
    if others[0] not in waba.templates:
        raise unknown_object(others[0])
    start, end = _moment(call.parameters, "start"), _moment(call.parameters, "end")
    if end - start not in COMPARED_SECONDS or abs(call.meta.world.now() - end) > COMPARED_UNTIL_SLACK:
        raise bad_parameter("Params start and end must be a timeframe of the last 7, 30, 60 or 90 days")
    sends: Counter[str] = Counter({template_id: 0, others[0]: 0})
    blocks: dict[str, Counter[str]] = {id_: Counter() for id_ in sends}
    for sent in call.meta.sending.ledger.entries:
        id_ = sent.template_id or ""
        if id_ in sends and start <= sent.at < end and _states(sent) & {"sent", "delivered", "read"}:
            sends[id_] += 1
            if sent.blocked:
                blocks[id_][sent.blocked] += 1
    if few := [id_ for id_, count in sends.items() if count < COMPARED_SENDS_MIN]:
        raise bad_parameter(f"Template {few[0]} was sent less than {COMPARED_SENDS_MIN:,} times in this timeframe")
    return {"data": analytics.comparison(sends, blocks)}


def _refuse_where_there_are_none(call: Call, waba: Waba) -> None:
    world = call.meta.world
    owners = [world.business(id_) for id_ in (waba.business_id, *waba.shared_with)]
    countries = {waba.country, *(owner.country for owner in owners if owner)}
    numbers = {country_of(digits(phone.display_phone_number)) for phone in waba.phones.values()}
    if WITHOUT_INSIGHTS & (countries | numbers):
        raise insights_unavailable()


def _is_captured(sent: Sent, waba: Waba) -> bool:
    """ "Groups API", Analytics: there are none of templates that are sent to groups."""
    return (
        sent.template_id in waba.templates
        and sent.phone_number_id in waba.phones
        and sent.group_id is None
        and sent.at >= waba.insights_since
    )


def _journey(sent: Sent) -> analytics.Journey:
    states = _states(sent)
    return analytics.Journey(
        sent.id,
        sent.at,
        sent.template_id or "",
        sent.category == "marketing_lite",
        was_sent=bool(states & {"sent", "delivered", "read"}),
        was_delivered=bool(states & {"delivered", "read"}),
        was_read="read" in states,
        clicks=[analytics.Click(each["at"], each["button"], each["user_id"]) for each in sent.clicks],
    )


def _states(sent: Sent) -> set[str]:
    return {each["status"] for each in sent.statuses}


def _moment(arguments: Mapping[str, str], name: str) -> int:
    text = arguments.get(name)
    if text is None:
        raise bad_parameter(f"The parameter {name} is required.")
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise bad_parameter(f"Param {name} must be a Unix timestamp.")
    return int(text)


def _day(arguments: Mapping[str, str], name: str, zone: ZoneInfo | None) -> date:
    """A day of UTC, or of the account where its zone is asked for: then as YYYY-MM-DD only."""
    text = arguments.get(name, "")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise bad_parameter(f"Param {name} is not a date.") from None
    if zone is not None:
        raise bad_parameter(f"Param {name} must be in the format YYYY-MM-DD if use_waba_timezone is true.")
    return datetime.fromtimestamp(_moment(arguments, name), UTC).date()


def _last_day(arguments: Mapping[str, str], zone: ZoneInfo | None) -> date:
    """The day of `end`: its example asks until 16:19 and is answered with that whole day. A midnight is the end of the
    day before it; "a timestamp … will be adjusted back to the current day's 00:00 UTC" leaves that open.
    """
    text = arguments.get("end", "")
    if text.isdigit() and zone is None and int(text) % 86_400 == 0 and text != arguments.get("start"):
        return datetime.fromtimestamp(_moment(arguments, "end") - 1, UTC).date()
    return _day(arguments, "end", zone)


def _list(arguments: Mapping[str, str], name: str) -> list[str]:
    """`[US,IN]`, `["US","IN"]`, or `US,IN`."""
    text = arguments.get(name, "").strip()
    if text.startswith("["):
        try:
            return [str(each) for each in json.loads(text)]
        except ValueError:
            text = text.strip("[]")
    return [part.strip().strip("\"'") for part in text.split(",") if part.strip()]


def _some_of(arguments: Mapping[str, str], name: str, known: Sequence[str]) -> list[str]:
    given = [each.upper() for each in _list(arguments, name)]
    if strange := [each for each in given if each not in known]:
        raise not_one_of(name, known, strange[0])
    return given


def _template_metrics(arguments: Mapping[str, str]) -> list[str]:
    given = [each.upper() for each in _list(arguments, "metric_types")]
    if strange := [each for each in given if each not in TEMPLATE_METRICS and not OF_CONVERSIONS.fullmatch(each)]:
        raise not_one_of("metric_types", TEMPLATE_METRICS, strange[0])
    return given


def _one_of(arguments: Mapping[str, str], name: str, known: Sequence[str], default: str | None = None) -> str:
    given = arguments.get(name, default)
    if given is None:
        raise bad_parameter(f"The parameter {name} is required.")
    if given.upper() not in known:
        raise not_one_of(name, known, given)
    return given.upper()
