"""Control of the bill: rate cards, price rules, what was charged, and the clock that decides which are in force."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from simulated_meta.billing import cards, invoice
from simulated_meta.billing.biller import Settings
from simulated_meta.billing.rules import Rule
from simulated_meta.billing.zones import day_of, month_of
from simulated_meta.context import Meta
from simulated_meta.sending.taken import account_of

Json = dict[str, Any]

LISTED = 10_000  # at most, in one answer


async def show_clock(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """What time it is in the world that is played."""
    now = meta.world.now()
    shown = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {"now": now, "utc": shown, "offset_seconds": meta.world.clock_offset}


async def set_clock(meta: Meta, request: web.Request, body: Json) -> Json:
    """{at?: "2026-10-01T00:00:00+02:00" or Unix seconds, forward?: seconds, real?: true}: from where it goes on.

    Messages, windows, prices and analytics go by it; tokens, addresses of media, limits and retries by the real time.
    """
    world = meta.world
    if body.get("real"):
        world.clock_offset = 0
    if "at" in body:
        world.clock_offset += moment(body["at"]) - world.now()
    world.clock_offset += float(body.get("forward", 0))
    return await show_clock(meta, request, body)


def moment(given: Any) -> float:
    """Raises ValueError for what is neither Unix seconds nor a time with its zone."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    at = datetime.fromisoformat(str(given))
    if at.tzinfo is None:
        raise ValueError("a time needs its zone, as in 2026-10-01T00:00:00+02:00")
    return at.timestamp()


async def list_rates(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Which rate cards there are, each with the addresses of its CSV files."""
    found = [
        {
            "currency": card.currency,
            "effective": str(card.effective),
            "markets": len(card.rates),
            "rates": f"/_control/rates/{card.currency}.csv?effective={card.effective}",
            "volume_tiers": f"/_control/rates/{card.currency}.tiers.csv?effective={card.effective}",
        }
        for of_currency in meta.sending.biller.cards.by_currency.values()
        for card in of_currency
    ]
    return {"data": found}


async def rates_as_csv(meta: Meta, request: web.Request, _body: Json) -> web.Response:
    """A rate card as Meta publishes it. ?effective=2026-10-01, else the one in force today in UTC"""
    return _csv(cards.as_csv(_card(meta, request)))


async def tiers_as_csv(meta: Meta, request: web.Request, _body: Json) -> web.Response:
    """The volume tiers of a rate card. ?effective=2026-10-01, else the one in force today in UTC"""
    return _csv(cards.tiers_as_csv(_card(meta, request)))


async def put_rates(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{currency, effective: "2026-12-01", csv?, rates?: {market: {marketing?: "0.05", utility?, authentication?,
    authentication-international?, service?: null}}, tiers?: {market: {utility?: [[0, "0.004"], [100, "0.003"]]}}}

    A new card, or one in the place of another: the rates of `csv`, or else of the card in force on that day, with those
    that are given over them; null is n/a. Tiers are [after how many messages, rate]; without `tiers` in the body
    they are Meta's usual discounts.
    """
    currency, effective = str(body["currency"]), date.fromisoformat(str(body["effective"]))
    known = meta.sending.biller.cards
    before = None if "csv" in body else known.on(currency, effective)
    rates = {market: {**row} for market, row in before.rates.items()} if before else cards.parse(str(body["csv"]))
    for market, row in body.get("rates", {}).items():
        if strange := row.keys() - {*cards.COLUMNS}:
            raise ValueError(f"a card has no {', '.join(sorted(strange))}")
        changed = {column: None if rate is None else _amount(rate) for column, rate in row.items()}
        rates[market] = dict.fromkeys(cards.COLUMNS) | rates.get(market, {}) | changed
    card = cards.RateCard(currency, effective, rates)
    if "tiers" in body:
        tiers = {
            market: {
                column: cards.tiers_of([(int(after), _amount(rate)) for after, rate in steps])
                for column, steps in row.items()
            }
            for market, row in body["tiers"].items()
        }
        if strange := {column for row in tiers.values() for column in row} - {*cards.TIERED}:
            raise ValueError(f"there are no volume tiers of {', '.join(sorted(strange))}")
        card = cards.RateCard(currency, effective, rates, tiers)
    else:
        card = cards.discounted(card)
    known.put(card)
    return {"currency": currency, "effective": str(effective), "markets": len(rates)}


async def list_rules(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """What is charged and what is free, since when, and where that is written."""
    return {
        "data": [
            {name: str(value) if name == "effective" else value for name, value in _members(rule).items()}
            for rule in meta.sending.biller.rules
        ]
    }


async def put_rule(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{effective, service_is_charged?, free_service_messages?, utility_in_window_is_charged?, free_entry_hours?,
    source?}: a rule from a day on, or another in its place; what is not given is as in the rule in force on that day.
    """
    biller = meta.sending.biller
    effective = date.fromisoformat(str(body["effective"]))
    before = max((rule for rule in biller.rules if rule.effective <= effective), key=lambda rule: rule.effective)
    if strange := body.keys() - _members(before).keys():
        raise ValueError(f"a rule has no {', '.join(sorted(strange))}")
    given: Json = {"source": "POST /_control/rules"} | body
    rule = replace(before, **given | {"effective": effective})
    others = [each for each in biller.rules if each.effective != effective]
    biller.rules = tuple(sorted([*others, rule], key=lambda each: each.effective))
    return {"effective": str(effective), "rules": len(biller.rules)}


async def show_billing(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Settings, and how much was charged."""
    biller = meta.sending.biller
    settings = {name: getattr(biller.settings, name) for name in Settings.__slots__}
    return {"settings": settings, "charges": len(biller.charges), "unbilled": dict(biller.unbilled)}


async def change_billing(meta: Meta, request: web.Request, body: Json) -> Json:
    """{seed?, max_price_share?: [0.7, 1.0] of what a message with a max price costs, cost_factor?: by how much
    analytics differ from the bill, tells_tiers?: whether a reached volume tier is told, tells_tiers_twice?}
    """
    settings = meta.sending.biller.settings
    if strange := body.keys() - {*Settings.__slots__}:
        raise ValueError(f"there is no {', '.join(sorted(strange))}")
    low, high = map(float, body.get("max_price_share", settings.max_price_share))
    if not 0 <= low <= high <= 1:
        raise ValueError("max_price_share is two numbers from 0 to 1, the lower one first")
    settings.max_price_share = (low, high)
    settings.seed = int(body.get("seed", settings.seed))
    settings.cost_factor = float(body.get("cost_factor", settings.cost_factor))
    settings.tells_tiers = bool(body.get("tells_tiers", settings.tells_tiers))
    settings.tells_tiers_twice = bool(body.get("tells_tiers_twice", settings.tells_tiers_twice))
    return await show_billing(meta, request, body)


async def show_invoice(meta: Meta, request: web.Request, _body: Json) -> Json:
    """What an account has to pay for a month of its own days, to the last cent. ?waba=&month=2026-10"""
    waba = meta.world.wabas[request.query["waba"]]
    account, biller = account_of(waba), meta.sending.biller
    month = request.query.get("month") or month_of(day_of(meta.world.now(), account.zone))
    return invoice.invoice(biller.charges, account, month) | {"unbilled": biller.unbilled[waba.id]}


async def list_charges(meta: Meta, request: web.Request, _body: Json) -> Json:
    """What each delivery cost, and why. ?waba= &message_id= &after=n &limit=1000"""
    query, charges = request.query, meta.sending.biller.charges
    after, limit = int(query.get("after", 0)), min(int(query.get("limit", 1000)), LISTED)
    found = [
        charge
        for charge in charges[max(0, after) :]
        if query.get("waba", charge.usage.account.id) == charge.usage.account.id
        and query.get("message_id", charge.usage.message_id) == charge.usage.message_id
    ]
    return {"data": [invoice.as_json(charge) for charge in found[:limit]], "total": len(charges)}


def _card(meta: Meta, request: web.Request) -> cards.RateCard:
    effective = request.query.get("effective")
    day = date.fromisoformat(effective) if effective else datetime.fromtimestamp(meta.world.now(), UTC).date()
    card = meta.sending.biller.cards.on(request.match_info["currency"].upper(), day)
    if effective and card.effective != day:
        raise KeyError(effective)
    return card


def _csv(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/csv", charset="utf-8")


def _amount(given: Any) -> Decimal:
    """Raises ValueError. A text is exact; so is a number, as it was written."""
    try:
        amount = Decimal(str(given))
    except ArithmeticError:
        raise ValueError("a rate is a number") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError("a rate is a number that is not negative")
    return amount


def _members(rule: Rule) -> Json:
    return {name: getattr(rule, name) for name in Rule.__slots__}


ROUTES = (
    ("GET", "/clock", show_clock),
    ("PATCH", "/clock", set_clock),
    ("GET", "/rates", list_rates),
    ("POST", "/rates", put_rates),
    ("GET", "/rates/{currency:[A-Za-z]+}.csv", rates_as_csv),
    ("GET", "/rates/{currency:[A-Za-z]+}.tiers.csv", tiers_as_csv),
    ("GET", "/rules", list_rules),
    ("POST", "/rules", put_rule),
    ("GET", "/billing", show_billing),
    ("PATCH", "/billing", change_billing),
    ("GET", "/invoice", show_invoice),
    ("GET", "/charges", list_charges),
)
