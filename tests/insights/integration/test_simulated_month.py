"""Weeks that a simulated Meta has billed cost here what its invoices say, to the last cent.

The biller shares no code with what it is a witness for: all that comes from it are webhooks, rate cards as files, and
invoices, over HTTP. The webhooks come in any order, in any batches, some of them twice; rate cards come last.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestClient
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.meta_openapi import create_meta
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountUpdated,
    Event,
    MessageStatusChanged,
    RateCardPublished,
)
from wabus_events.testing import an
from wabus_gateway.webhooks.parse import facts_in
from wabus_insights.worker.costs.folding import Costs
from wabus_runtime.directory.connections import Connections
from wabus_runtime.projection.recorded import Recorded
from wabus_whatsapp.prices.importing import read_card
from wabus_whatsapp.prices.published import rates_of

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]
ORG, OTHER_WABA = "shop", "300"
PORTFOLIO, OTHER_PORTFOLIO, MOVED_AT = "506914307656634", "700", datetime(2026, 10, 10, 12, tzinfo=UTC)
ACCOUNTS = {DEMO_WABA: ("Europe/Berlin", "USD"), OTHER_WABA: ("America/Sao_Paulo", "EUR")}
OFFER = {"name": "offer", "language": "en_US"}
BUTTONS = [{"type": "URL", "text": "Shop", "url": "https://x.example"}]


async def test_weeks_of_two_accounts_cost_to_the_last_cent_what_the_biller_says(
    serve: Serve, insights_tables: asyncpg.Pool
) -> None:
    bodies: list[bytes] = []
    meta = await _meta(serve, bodies)
    second = await _second_account(meta)
    await _prices(meta)

    await _play(meta, second, "2026-09-22", "2026-10-09", 7)
    # From now on what was a utility template is marketing.
    notice = await _template_id(meta, OTHER_WABA, "aviso")
    await _control(meta, "PATCH", f"/templates/{notice}", {"category": "MARKETING"})
    # And the account is another portfolio's, which begins to count anew.
    await _control(meta, "PATCH", f"/wabas/{OTHER_WABA}", {"business_id": OTHER_PORTFOLIO})
    await _play(meta, second, "2026-10-11", "2026-11-03", 8)
    await _odd_ones(meta, second)

    events = [
        event
        for body in bodies
        for event in facts_in(body, received_at=datetime.now(UTC), owner=lambda _waba: ORG)
        if isinstance(event, MessageStatusChanged | AccountUpdated)
    ]
    events += _accounts()
    order = random.Random(26)
    events += order.choices(events, k=len(events) // 10)
    order.shuffle(events)
    cards = await _cards(meta)
    costs = Costs(Connections())
    batches = [events[n : n + 250] for n in range(0, len(events), 250)]
    for batch in (*batches, *([card] for card in order.sample(cards, len(cards)))):
        await _fold(costs, insights_tables, batch)

    invoices = {
        (waba, month): await _control(meta, "GET", f"/invoice?waba={waba}&month={month}")
        for waba in ACCOUNTS
        for month in ("2026-09", "2026-10", "2026-11")
    }
    ours = await insights_tables.fetch(
        """
        SELECT waba_id, to_char(day, 'YYYY-MM') AS month, market, category, pricing_type, currency, band, known,
            volume, amount
        FROM cost_days
        """
    )
    assert {row["known"] for row in ours} == {"reported", "free", "rated"}
    by_line: dict[tuple[str, ...], list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for row in ours:
        line = by_line[
            row["waba_id"], row["month"], row["market"], row["category"], row["pricing_type"], row["currency"]
        ]
        line[0] += row["volume"]
        line[1] += row["amount"]
    billed: dict[tuple[str, ...], list[Any]] = defaultdict(lambda: [0, Decimal(0)])
    for (waba, month), invoice in invoices.items():
        for each in invoice["lines"]:
            category = each["category"].replace("-", "_")
            line = billed[waba, month, each["market"], category, each["type"], invoice["currency"]]
            line[0] += each["volume"]
            line[1] += Decimal(each["amount"])
    assert by_line == billed
    totals = {key: Decimal(0) for key in invoices}
    for row in ours:
        totals[row["waba_id"], row["month"]] += row["amount"]
    assert totals == {key: Decimal(invoice["total_exact"]) for key, invoice in invoices.items()}

    # All that makes an invoice hard was in it.
    kinds = Counter((row["category"], row["pricing_type"]) for row in ours)
    assert {
        ("service", "free_customer_service"), ("service", "regular"), ("utility", "free_customer_service"),
        ("utility", "regular"), ("marketing_lite", "regular"), ("referral_conversion", "free_entry_point"),
        ("authentication", "regular"), ("authentication_international", "regular"),
    } <= kinds.keys()  # fmt: skip
    assert {row["band"] for row in ours if row["category"] == "utility"} == {0, 1, 2}
    assert any(isinstance(event, AccountUpdated) and "volume_tier_info" in event.value for event in events)
    marketing = await insights_tables.fetch(
        "SELECT DISTINCT rate FROM cost_days WHERE market = 'Germany' AND currency = 'EUR' AND category = 'marketing'"
    )
    assert {Decimal("0.15")} < {row["rate"] for row in marketing}


async def _meta(serve: Serve, bodies: list[bytes]) -> Client:
    async def receive(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks", receive)
    receiver = await serve(app)
    world = new_world("1234567890", ["an-app-secret"])
    world.callback_url = str(receiver.make_url("/webhooks"))
    waba = world.wabas[DEMO_WABA]
    waba.country, waba.currency = "BR", "USD"
    meta = await serve(create_meta(Store(world), delay_scale=0.01))
    components = [{"type": "BODY", "text": "An offer"}, {"type": "BUTTONS", "buttons": BUTTONS}]
    offer = {**OFFER, "category": "MARKETING", "components": components}
    await _control(meta, "POST", f"/wabas/{DEMO_WABA}/templates", offer)
    # A max price, whose amount webhooks report; codes from abroad.
    spec = {"optimization_spec": {"bid_amount": 5000, "bid_strategy": "LOWEST_COST_WITH_BID_CAP"}}
    offer_id = await _template_id(meta, DEMO_WABA, "offer")
    await _control(meta, "PATCH", f"/templates/{offer_id}?webhook=false", spec)
    since = int(datetime(2026, 10, 5, tzinfo=UTC).timestamp())
    abroad = {"primary_business_location": "BR", "auth_international_since": {"IN": since}}
    await _control(meta, "PATCH", f"/wabas/{DEMO_WABA}", abroad)
    await _control(meta, "PATCH", "/billing", {"tells_tiers_twice": True})
    return meta


async def _second_account(meta: Client) -> str:
    (waba,) = (await _control(meta, "POST", "/wabas", {"id": OTHER_WABA, "name": "Plantas"}))["wabas"]
    await _control(meta, "PATCH", f"/wabas/{OTHER_WABA}", {"timezone_id": "25", "currency": "EUR", "country": "BR"})
    for name, category in (("aviso", "UTILITY"), ("oferta", "MARKETING"), ("codigo", "AUTHENTICATION")):
        await _control(meta, "POST", f"/wabas/{OTHER_WABA}/templates", {"name": name, "category": category})
    return str(waba["phone_number_id"])


async def _prices(meta: Client) -> None:
    """Volume tiers that weeks of a test reach, another card in the middle of the month, a small allowance."""
    tiers = {
        "Germany": {"utility": [[0, "0.05"], [20, "0.04"], [45, "0.03"]]},
        "India": {
            "authentication": [[0, "0.002"], [5, "0.001"]],
            "authentication-international": [[0, "0.03"], [5, "0.02"]],
        },
    }
    rates = {
        "Germany": {"utility": "0.05"},
        "India": {"authentication": "0.002", "authentication-international": "0.03"},
    }
    for currency in ("USD", "EUR"):
        card = {"currency": currency, "effective": "2026-10-01", "rates": rates, "tiers": tiers}
        await _control(meta, "POST", "/rates", card)
    changed = {"Germany": {"marketing": "0.15"}, "Brazil": {"utility": "0.007"}}
    later = {"currency": "EUR", "effective": "2026-10-16", "rates": changed, "tiers": tiers}
    await _control(meta, "POST", "/rates", later)
    await _control(meta, "POST", "/rules", {"effective": "2026-10-01", "free_service_messages": 25})


async def _play(meta: Client, second: str, since: str, until: str, seed: int) -> None:
    names = {"utility": "aviso", "marketing": "oferta", "authentication": "codigo"}
    first = {
        "utility": {"name": "order_confirmation", "language": "de"},
        "marketing": OFFER,
        "authentication": {"name": "login_code", "language": "en_US"},
    }
    codes = ["49", "49", "55", "91", "212"]
    numbers = [
        {
            "phone_number_id": DEMO_PHONE, "a_day": 12, "templates": first, "calling_codes": codes,
            "edge": "marketing_messages",
        },
        {
            "phone_number_id": second, "a_day": 12, "calling_codes": codes,
            "templates": {kind: {"name": name} for kind, name in names.items()},
        },
    ]  # fmt: skip
    made = {"seed": seed, "from": since, "to": until, "numbers": numbers}
    done = await _control(meta, "POST", "/traffic?wait=true", {"make": made})
    assert done["why"] is None


async def _odd_ones(meta: Client, second: str) -> None:
    """Messages at the borders of what is free and of months, and such as come late or never."""
    german, brazilian = "4915155555501", "5511955555502"
    notice: Json = {"phone_number_id": second, "to": german, "template": {"name": "codigo"}}
    offer: Json = {"phone_number_id": DEMO_PHONE, "to": german, "template": OFFER, "edge": "marketing_messages"}
    text: Json = {"phone_number_id": DEMO_PHONE, "to": brazilian}
    messages: list[Json] = [
        # Who came by an ad and was answered an hour later: free for three days from the answer on, by when it was sent.
        {"at": "2026-10-20T09:00:00Z", "phone_number_id": DEMO_PHONE, "from": brazilian, "ad": True},
        {**text, "at": "2026-10-20T10:00:00Z"},
        {**offer, "to": brazilian, "at": "2026-10-23T09:59:59Z", "delivered": 7200},
        {**offer, "to": brazilian, "at": "2026-10-23T10:00:00Z"},
        # Who was answered too late.
        {"at": "2026-10-20T09:00:00Z", "phone_number_id": DEMO_PHONE, "from": german, "ad": True},
        {**text, "to": german, "at": "2026-10-21T09:00:00Z"},
        # The last second of a month in Sao Paulo, and the first of the next one; one that is delivered in the next.
        {**notice, "at": "2026-11-01T02:59:58Z"},
        {**notice, "at": "2026-11-01T02:59:59Z"},
        {**notice, "at": "2026-10-31T20:00:00Z", "delivered": 2.5 * 86_400},
        # The same in Berlin, on the day on which its clocks go back.
        {**offer, "at": "2026-10-25T00:59:59Z"},
        {**offer, "at": "2026-10-31T22:59:58Z"},
        {**offer, "at": "2026-10-31T22:59:59Z"},
        # Of one only that it was read, of another only that it has failed.
        {**offer, "at": "2026-10-30T12:00:00Z", "read": 40_000, "skips_delivered": True},
        {**offer, "at": "2026-10-30T12:00:01Z", "failed": 131049},
        {**offer, "at": "2026-10-30T12:00:02Z", "delivered": None},
        # Two within one second, of which nobody knows the first.
        {**notice, "at": "2026-10-29T12:00:00Z"},
        {**notice, "at": "2026-10-29T12:00:00Z"},
    ]
    done = await _control(meta, "POST", "/traffic?wait=true", {"messages": messages})
    assert (done["why"], done["sent"]) == (None, len(messages) - 2)


async def _cards(meta: Client) -> list[Event]:
    """The rate cards, out of the files that the simulated Meta publishes."""
    found: list[Event] = []
    for each in (await _control(meta, "GET", "/rates"))["data"]:
        currency, effective = each["currency"], date.fromisoformat(each["effective"])
        if currency not in ("USD", "EUR"):
            continue
        rates = await (await meta.get(each["rates"])).read()
        tiers = await (await meta.get(each["volume_tiers"])).read()
        read = read_card(rates, tiers, currency, effective)
        assert read.doubts == []
        found.append(
            RateCardPublished(
                id=f"{currency} {effective}",
                time=datetime.now(UTC),
                currency=currency,
                effective=effective,
                rates=rates_of(read.card, read.names),
                origin="the simulated Meta",
            )
        )
    return found


async def _template_id(meta: Client, waba: str, name: str) -> str:
    found = await _control(meta, "GET", f"/wabas/{waba}/templates")
    return next(each["id"] for each in found["data"] if each["name"] == name)


async def _control(meta: Client, method: str, path: str, body: Json | None = None) -> Json:
    answer = await meta.request(method, f"/_control{path}", json=body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


def _accounts() -> list[Event]:
    """What becomes known of the accounts: of one when it is connected, of the other bit by bit."""
    zones, currencies = ({waba: told[n] for waba, told in ACCOUNTS.items()} for n in range(2))
    about: Json = {"org_id": ORG, "waba_id": OTHER_WABA}
    return [
        an(
            AccountConnected,
            org_id=ORG,
            waba_id=DEMO_WABA,
            time=datetime(2026, 9, 1, tzinfo=UTC),
            portfolio_id=PORTFOLIO,
            time_zone=zones[DEMO_WABA],
            currency=currencies[DEMO_WABA],
        ),
        an(AccountConnected, **about, time=datetime(2026, 9, 1, tzinfo=UTC)),
        an(AccountChecked, **about, time=datetime(2026, 9, 25, tzinfo=UTC), portfolio_id=PORTFOLIO),
        an(AccountChecked, **about, time=MOVED_AT, portfolio_id=OTHER_PORTFOLIO),
        an(
            AccountChecked,
            **about,
            time=datetime(2026, 11, 2, tzinfo=UTC),
            time_zone=zones[OTHER_WABA],
            currency=currencies[OTHER_WABA],
        ),
    ]


async def _fold(costs: Costs, pool: asyncpg.Pool, events: Sequence[Event]) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await costs.fold(connection, [Recorded(event, event.topic.name, 0, 0, event.time) for event in events])
