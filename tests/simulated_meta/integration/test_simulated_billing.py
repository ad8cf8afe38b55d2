"""What the simulated Meta bills over HTTP: dated traffic and its webhooks, invoices, analytics, max prices."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.meta_openapi import create_meta
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]

GERMAN, BRAZILIAN = "4915123456789", "5511987654321"
UTILITY = {"name": "order_confirmation", "language": "de"}
OFFER = {"name": "offer", "language": "en_US"}
CODE = {"name": "login_code", "language": "en_US"}
BERLIN = ZoneInfo("Europe/Berlin")
BUTTONS = [{"type": "QUICK_REPLY", "text": "Tell me more"}, {"type": "URL", "text": "Shop", "url": "https://x.example"}]
BODY = {"type": "BODY", "text": "An offer"}
DAY = 86_400


@pytest.fixture
def received() -> list[Json]:
    """What the app's callback was sent, one change after the other."""
    return []


@pytest.fixture
async def store(serve: Serve, received: list[Json]) -> Store:
    async def receive(request: web.Request) -> web.Response:
        for entry in (await request.json())["entry"]:
            received.extend(change | {"entry": entry["id"], "time": entry["time"]} for change in entry["changes"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks", receive)
    receiver = await serve(app)
    world = new_world("1234567890", ["an-app-secret"])
    world.callback_url = str(receiver.make_url("/webhooks"))
    waba = world.wabas[DEMO_WABA]
    waba.country, waba.currency = "BR", "USD"
    return Store(world)


@pytest.fixture
async def meta(serve: Serve, store: Store) -> Client:
    client = await serve(create_meta(store, delay_scale=0.01))
    components = [BODY, {"type": "BUTTONS", "buttons": BUTTONS}]
    await control(
        client, "POST", f"/wabas/{DEMO_WABA}/templates", {**OFFER, "category": "MARKETING", "components": components}
    )
    return client


@pytest.fixture
def bearer(store: Store) -> dict[str, str]:
    return {"Authorization": f"Bearer {next(iter(store.world.tokens))}", "User-Agent": "client/1.0.0"}


async def control(meta: Client, method: str, path: str, body: Json | None = None, status: int = 200) -> Json:
    answer = await meta.request(method, f"/_control{path}", json=body)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def graph(meta: Client, bearer: dict[str, str], path: str, status: int = 200, method: str = "GET") -> Json:
    answer = await meta.request(method, f"/v23.0/{path}", headers=bearer)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def post(meta: Client, bearer: dict[str, str], body: Json, edge: str = "messages") -> tuple[int, Json]:
    answer = await meta.post(f"/v23.0/{DEMO_PHONE}/{edge}", json=body, headers=bearer)
    return answer.status, await answer.json()


async def traffic(meta: Client, *messages: Json, query: str = "?wait=true") -> Json:
    given = [{"phone_number_id": DEMO_PHONE, **message} for message in messages]
    return await control(meta, "POST", f"/traffic{query}", {"messages": given})


async def invoice(meta: Client, month: str, waba: str = DEMO_WABA) -> Json:
    return await control(meta, "GET", f"/invoice?waba={waba}&month={month}")


async def template_id(meta: Client, name: str) -> str:
    found = await control(meta, "GET", f"/wabas/{DEMO_WABA}/templates")
    return next(each["id"] for each in found["data"] if each["name"] == name)


async def set_clock(meta: Client, local: str) -> None:
    await control(meta, "PATCH", "/clock", {"at": f"{local}+01:00"})


def statuses(received: list[Json]) -> list[Json]:
    return [each for change in received for each in change["value"].get("statuses", [])]


def offer(to: str = GERMAN, **more: Any) -> Json:
    name = {"name": "offer", "language": {"policy": "deterministic", "code": "en_US"}}
    sent = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "template"}
    return sent | {"template": name} | more


async def second_account(meta: Client) -> Json:
    [waba] = (await control(meta, "POST", "/wabas", {"id": "300", "name": "Plantas"}))["wabas"]
    await control(meta, "PATCH", "/wabas/300", {"timezone_id": "25", "currency": "EUR", "country": "BR"})
    for name, category in (("aviso", "UTILITY"), ("oferta", "MARKETING"), ("codigo", "AUTHENTICATION")):
        await control(meta, "POST", "/wabas/300/templates", {"name": name, "category": category})
    return waba


def month(second_phone: str) -> Json:
    names = {"utility": "aviso", "marketing": "oferta", "authentication": "codigo"}
    first = {"utility": UTILITY, "marketing": OFFER, "authentication": CODE}
    return {
        "seed": 7,
        "from": "2026-09-20",
        "to": "2026-10-20",
        "numbers": [
            {
                "phone_number_id": DEMO_PHONE,
                "a_day": 8,
                "templates": first,
                "clicked": 0.5,
                "edge": "marketing_messages",
            },
            {
                "phone_number_id": second_phone,
                "a_day": 8,
                "templates": {kind: {"name": name} for kind, name in names.items()},
            },
        ],
    }


async def test_a_month_of_two_accounts_is_billed_as_its_webhooks_say_and_the_same_way_again(
    meta: Client, store: Store, bearer: dict[str, str], received: list[Json]
) -> None:
    async def play() -> tuple[Json, list[Json]]:
        second = await second_account(meta)
        limits = {"effective": "2026-10-01", "tiers": {"Germany": {"utility": [[0, "0.05"], [10, "0.04"]]}}}
        for currency in ("USD", "EUR"):
            await control(meta, "POST", "/rates", {"currency": currency, **limits})
        await control(meta, "POST", "/rules", {"effective": "2026-10-01", "free_service_messages": 40})
        id_ = await template_id(meta, "offer")
        await control(
            meta,
            "PATCH",
            f"/templates/{id_}?webhook=false",
            {"optimization_spec": {"bid_amount": 5000, "bid_strategy": "x"}},
        )
        done = await control(meta, "POST", "/traffic?wait=true", {"make": month(second["phone_number_id"])})
        assert done["why"] is None
        totals = {
            (waba, month): (await invoice(meta, month, waba))["total_exact"]
            for waba in (DEMO_WABA, "300")
            for month in ("2026-09", "2026-10")
        }
        charges = (await control(meta, "GET", "/charges?limit=10000"))["data"]
        return {"totals": totals, "sent": done["sent"], "webhooks": done["webhooks"]}, charges

    first, charges = await play()

    # Each account's exact total is what its own webhooks, priced by hand from the published files, come to.
    by_hand: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    rates = {
        (currency, effective): await _rates(meta, currency, effective)
        for currency in ("USD", "EUR")
        for effective in ("2026-07-01", "2026-10-01")
    }
    countries = {"49": "Germany", "44": "United Kingdom", "55": "Brazil"}
    zones = {DEMO_WABA: (BERLIN, "USD"), "300": (ZoneInfo("America/Sao_Paulo"), "EUR")}
    used, priced = Counter[tuple[str, str]](), set[str]()
    tiered = sorted(
        ((each, change["entry"]) for change in received for each in change["value"].get("statuses", [])),
        key=lambda each: int(each[0]["timestamp"]),
    )
    for status, waba in tiered:
        pricing = status.get("pricing")
        if status["status"] not in ("delivered", "read") or not pricing or status["id"] in priced:
            continue
        priced.add(status["id"])
        zone, currency = zones[waba]
        local = datetime.fromtimestamp(int(status["timestamp"]), zone)
        if pricing["type"] != "regular":
            assert not pricing["billable"]
            continue
        if "cost" in pricing:
            assert (pricing["category"], pricing["cost"]["currency"]) == ("marketing_lite", currency)
            by_hand[waba, f"{local:%Y-%m}"] += Decimal(str(pricing["cost"]["amount"]))
            continue
        card = rates[currency, "2026-10-01" if local.month == 10 else "2026-07-01"]
        market, category = countries[status["recipient_id"][:2]], pricing["category"]
        rate = Decimal(card[market][category.replace("_lite", "")])
        if (market, category) == ("Germany", "utility") and local.month == 10:
            used["Germany", "utility"] += 1  # of both accounts: they are of one portfolio
            rate = Decimal("0.05") if used["Germany", "utility"] <= 10 else Decimal("0.04")
        by_hand[waba, f"{local:%Y-%m}"] += rate
    assert {key: Decimal(total) for key, total in first["totals"].items()} == by_hand
    assert used["Germany", "utility"] > 10

    types = Counter((each["category"], each["type"]) for each in charges)
    assert {"free_entry_point", "free_customer_service", "regular"} == {type_ for _, type_ in types}
    assert {("service", "regular"), ("utility", "free_customer_service"), ("marketing_lite", "regular")} <= types.keys()
    assert {each["message_id"] for each in charges} == priced
    reached = [change for change in received if change["value"].get("event") == "VOLUME_BASED_PRICING_TIER_UPDATE"]
    assert [change["value"]["volume_tier_info"]["tier"] for change in reached] == ["11:MAX"]

    start, end = (
        int(datetime(2026, 9, 1, tzinfo=BERLIN).timestamp()),
        int(datetime(2026, 11, 1, tzinfo=BERLIN).timestamp()),
    )
    asked = f"pricing_analytics.start({start}).end({end}).granularity(MONTHLY).dimensions([])"
    answer = await graph(meta, bearer, f"{DEMO_WABA}?fields=id,{asked}")
    [data] = answer["pricing_analytics"]["data"]
    assert [f"{point['cost']:.4f}" for point in data["data_points"]] == [
        f"{Decimal(first['totals'][DEMO_WABA, month]):.4f}" for month in ("2026-09", "2026-10")
    ]

    store.world.wabas.pop("300")
    await control(meta, "DELETE", "/sending")
    for who in store.world.persons.values():
        who.relations.clear()
    again, repeated = await play()
    assert again == first
    assert [each["message_id"] for each in repeated] == [each["message_id"] for each in charges]


async def _rates(meta: Client, currency: str, effective: str) -> dict[str, dict[str, str]]:
    answer = await meta.get(f"/_control/rates/{currency}.csv?effective={effective}")
    assert (answer.status, answer.content_type) == (200, "text/csv")
    rows = [*csv.reader(io.StringIO(await answer.text()))][2:]
    header = [name.replace("\n", "").lower() for name in rows[0]]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows[1:]}


async def test_a_message_sent_by_the_api_is_billed_by_the_clock_that_is_played(
    meta: Client, bearer: dict[str, str], eventually: Eventually
) -> None:
    reply = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": GERMAN, "type": "template"}
    body = {"type": "body", "parameters": [{"type": "text", "text": each} for each in ("Jürgen", "27. Juni")]}
    header = {"type": "header", "parameters": [{"type": "text", "text": "860198"}]}
    named = {"name": "order_confirmation", "language": {"policy": "deterministic", "code": "de"}}
    reply |= {"template": named | {"components": [header, body]}}

    async def billed(count: int) -> list[Json]:
        async def done() -> bool:
            return (await control(meta, "GET", "/charges"))["total"] == count

        await eventually(done)
        return (await control(meta, "GET", "/charges"))["data"]

    await control(meta, "PATCH", "/clock", {"at": "2026-09-30T23:00:00+02:00"})
    await control(meta, "POST", "/messages?webhook=false", {"from": GERMAN})
    assert (await post(meta, bearer, reply))[0] == 200
    await billed(1)
    await control(meta, "PATCH", "/clock", {"at": "2026-10-01T00:00:05+02:00"})
    assert (await post(meta, bearer, reply))[0] == 200
    charges = await billed(2)

    assert [(each["day"], each["type"], each["amount"]) for each in charges] == [
        ("2026-09-30", "free_customer_service", "0"),
        ("2026-10-01", "regular", "0.0550"),
    ]
    assert (await invoice(meta, "2026-10"))["total"] == "0.06"  # 0.055, half up
    shown = (await control(meta, "PATCH", "/clock", {"real": True}))["offset_seconds"]
    assert shown == 0


async def test_each_message_has_the_category_and_the_card_of_its_time(meta: Client, received: list[Json]) -> None:
    id_ = await template_id(meta, "offer")
    await control(meta, "PATCH", f"/templates/{id_}?webhook=false", {"category": "UTILITY"})
    await traffic(meta, {"at": "2026-10-05T11:00", "to": GERMAN, "template": OFFER})
    await control(meta, "PATCH", f"/templates/{id_}?webhook=false", {"category": "MARKETING"})
    dearer = {"currency": "USD", "effective": "2026-10-07", "rates": {"Germany": {"marketing": "0.2"}}}
    await control(meta, "POST", "/rates", dearer)
    await traffic(
        meta,
        {"at": "2026-10-05T13:00", "to": GERMAN, "template": OFFER},
        {"at": "2026-10-06T23:59:59", "to": GERMAN, "template": OFFER, "delivered": 2},
    )

    said = [
        (each["pricing"]["category"], each["pricing"]["type"])
        for each in statuses(received)
        if each["status"] == "delivered"
    ]
    lines = {(line["category"], line["rate"]): line["amount"] for line in (await invoice(meta, "2026-10"))["lines"]}
    assert Counter(said) == {("utility", "regular"): 1, ("marketing", "regular"): 2}
    assert lines == {("utility", "0.0550"): "0.0550", ("marketing", "0.1365"): "0.1365", ("marketing", "0.2"): "0.2"}


async def test_who_comes_by_an_ad_is_free_for_three_days_after_the_answer(meta: Client, received: list[Json]) -> None:
    await traffic(
        meta,
        {"at": "2026-10-05T10:00", "from": GERMAN, "ad": True},
        {"at": "2026-10-05T12:00", "to": GERMAN},
        {"at": "2026-10-08T11:59", "to": GERMAN, "template": OFFER},
        {"at": "2026-10-08T12:01", "to": GERMAN, "template": OFFER},
        {"at": "2026-10-05T10:00", "from": BRAZILIAN, "ad": True},
        {"at": "2026-10-05T10:01", "to": BRAZILIAN, "template": UTILITY, "failed": 131026},  # nobody gets it
        {"at": "2026-10-06T10:01", "to": BRAZILIAN, "template": UTILITY},  # too late an answer
    )

    charges = (await control(meta, "GET", "/charges"))["data"]
    assert [(each["type"], each["category"]) for each in charges] == [
        ("free_entry_point", "referral_conversion"),
        ("regular", "utility"),
        ("free_entry_point", "referral_conversion"),
        ("regular", "marketing"),
    ]
    [first] = [each for change in received for each in change["value"].get("messages", []) if each["from"] == GERMAN]
    assert first["referral"]["source_type"] == "ad"
    answer = next(each for each in statuses(received) if each["status"] == "sent")
    until = int(datetime(2026, 10, 8, 12, tzinfo=BERLIN).timestamp())
    assert answer["conversation"]["expiration_timestamp"] == str(until)


async def test_what_is_never_delivered_costs_nothing_and_what_is_only_read_does(
    meta: Client, received: list[Json]
) -> None:
    await control(
        meta, "PATCH", f"/templates/{await template_id(meta, 'login_code')}", {"message_send_ttl_seconds": 600}
    )
    await traffic(
        meta,
        {"at": "2026-10-05T10:00", "to": GERMAN, "template": OFFER, "delivered": None},
        {"at": "2026-10-05T10:01", "to": GERMAN, "template": OFFER, "failed": 131026},
        {"at": "2026-10-05T10:02", "to": "16505551234", "template": OFFER},  # no marketing to North America
        {"at": "2026-10-05T10:03", "to": GERMAN},  # no window
        {"at": "2026-10-05T10:04", "to": GERMAN, "template": CODE, "delivered": 601},
        {"at": "2026-10-05T10:05", "to": GERMAN, "template": CODE, "delivered": 5, "read": 5, "skips_delivered": True},
    )

    [charge] = (await control(meta, "GET", "/charges"))["data"]
    told = Counter(each["status"] for each in statuses(received))
    codes = sorted(error["code"] for each in statuses(received) for error in each.get("errors", []))
    assert (charge["category"], charge["amount"]) == ("authentication", "0.0550")
    assert (told, codes) == ({"sent": 3, "failed": 3, "read": 1}, [131026, 131047, 131049])
    [read] = [each for each in statuses(received) if each["status"] == "read"]
    assert read["pricing"] == {
        "billable": True,
        "pricing_model": "PMP",
        "category": "authentication",
        "type": "regular",
    }


async def test_each_person_of_a_group_is_charged_and_codes_from_abroad_have_their_own_rate(
    meta: Client, bearer: dict[str, str], received: list[Json], eventually: Eventually
) -> None:
    await set_clock(meta, "2026-11-05T12:00:00")
    await control(meta, "POST", "/rules", {"effective": "2026-10-01", "free_service_messages": 1})
    group = (await control(meta, "POST", "/groups?webhook=false", {"participants": [GERMAN, BRAZILIAN]}))["group"]["id"]
    text = {"messaging_product": "whatsapp", "recipient_type": "group", "to": group, "type": "text"}
    assert (await post(meta, bearer, text | {"text": {"body": "Hello"}}))[0] == 200

    async def done() -> bool:
        return (await control(meta, "GET", "/sending"))["counts"]["statuses_due"] == 0

    await eventually(done)
    abroad = {"primary_business_location": "BR", "auth_international_since": {"EG": unix("2026-11-01")}}
    await control(meta, "PATCH", f"/wabas/{DEMO_WABA}", abroad)
    egyptian = {"to": "201001234567", "template": CODE}
    await traffic(meta, {"at": "2026-10-31T23:59:50", **egyptian}, {"at": "2026-11-01T00:00", **egyptian})

    charges = (await control(meta, "GET", "/charges"))["data"]
    assert [(each["market"], each["category"], each["type"], each["amount"]) for each in charges] == [
        ("Germany", "group_service", "free_group_customer_service", "0"),
        ("Brazil", "group_service", "regular", "0.0068"),
        ("Egypt", "authentication", "regular", "0.0036"),
        ("Egypt", "authentication-international", "regular", "0.0650"),
    ]
    of_group = {
        (each["recipient_participant_user_id"][:2], each["pricing"]["type"])
        for each in statuses(received)
        if each["status"] == "delivered" and "recipient_participant_user_id" in each
    }
    assert of_group == {("DE", "free_group_customer_service"), ("BR", "regular")}


async def test_orders_that_mean_nothing_are_refused_before_anything_happens(meta: Client) -> None:
    sent = {"phone_number_id": DEMO_PHONE, "at": "2026-10-05T10:00", "to": GERMAN}
    for wrong in (
        {"messages": [sent, {**sent, "from": GERMAN}]},
        {"messages": [sent, {**sent, "template": {"name": "none"}}]},
        {"messages": [sent, {**sent, "template": OFFER, "clicks": [{"button": 2}]}]},
        {"messages": [sent, {**sent, "failed": 1}]},
        {"messages": [sent, {**sent, "edge": "marketing_messages"}]},
        {"messages": [sent, {**sent, "blocks": "BORED"}]},
        {"messages": [sent], "speed": 2},
        {"make": {"from": "2026-10-05", "to": "2026-10-04", "numbers": []}},
    ):
        assert (await control(meta, "POST", "/traffic", wrong, 400))["error"]
    assert (await control(meta, "GET", "/sending"))["counts"]["sent"] == 0


# --- pricing analytics


@pytest.fixture
async def some_days(meta: Client) -> None:
    await control(
        meta,
        "POST",
        "/rates",
        {"currency": "USD", "effective": "2026-10-01", "tiers": {"Germany": {"utility": [[0, "0.05"], [1, "0.04"]]}}},
    )
    await set_clock(meta, "2026-11-20T12:00:00")
    await traffic(
        meta,
        {"at": "2026-11-02T00:10", "to": GERMAN, "template": UTILITY},
        {"at": "2026-11-02T00:40", "to": GERMAN, "template": UTILITY},
        {"at": "2026-11-02T23:50", "to": BRAZILIAN, "template": OFFER},
        {"at": "2026-11-03T10:00", "from": GERMAN},
        {"at": "2026-11-03T10:01", "to": GERMAN},
        query="?webhook=false",
    )


def unix(local: str) -> int:
    return int(datetime.fromisoformat(local).replace(tzinfo=BERLIN).timestamp())


def range_of(first: str, last: str, granularity: str = "DAILY") -> str:
    return f"pricing_analytics.start({unix(first)}).end({unix(last)}).granularity({granularity})"


@pytest.mark.usefixtures("some_days")
async def test_pricing_analytics_break_down_what_was_billed(meta: Client, bearer: dict[str, str]) -> None:
    asked = range_of("2026-11-01", "2026-11-05") + ".dimensions(PRICING_CATEGORY,PRICING_TYPE,TIER,COUNTRY)"
    answer = await graph(meta, bearer, f"{DEMO_WABA}?fields={asked}")

    day = {"start": unix("2026-11-02"), "end": unix("2026-11-03")}
    regular: Json = day | {"pricing_type": "REGULAR"}
    utility = regular | {"country": "DE", "pricing_category": "UTILITY"}
    assert answer["id"] == DEMO_WABA
    points = answer["pricing_analytics"]["data"][0]["data_points"]
    assert sorted(points, key=lambda each: (each["start"], each["country"], -each["cost"])) == [
        regular | {"country": "BR", "tier": "0:MAX", "pricing_category": "MARKETING", "volume": 1, "cost": 0.0625},
        utility | {"tier": "0:1", "volume": 1, "cost": 0.05},
        utility | {"tier": "2:MAX", "volume": 1, "cost": 0.04},
        {
            "start": unix("2026-11-03"),
            "end": unix("2026-11-04"),
            "country": "DE",
            "pricing_type": "FREE_CUSTOMER_SERVICE",
            "pricing_category": "SERVICE",
            "volume": 1,
            "cost": 0.0,
        },
    ]


@pytest.mark.usefixtures("some_days")
@pytest.mark.parametrize(
    ("more", "granularity", "volumes"),
    [
        ("", "DAILY", [3, 1]),
        ("", "MONTHLY", [4]),
        ("", "HALF_HOUR", [1, 1, 1, 1]),
        ('.country_codes(["DE"])', "DAILY", [2, 1]),
        (".pricing_types([REGULAR])", "MONTHLY", [3]),
        (".pricing_categories(SERVICE,MARKETING)", "MONTHLY", [2]),
        (".phone_numbers([15550783881]).dimensions([PHONE])", "MONTHLY", [4]),
        (".phone_numbers([15550783882])", "MONTHLY", []),
    ],
)
async def test_pricing_analytics_are_filtered_and_bucketed(
    meta: Client, bearer: dict[str, str], more: str, granularity: str, volumes: list[int]
) -> None:
    answer = await graph(meta, bearer, f"{DEMO_WABA}?fields={range_of('2026-11-01', '2026-11-05', granularity)}{more}")

    points = [point for data in answer["pricing_analytics"]["data"] for point in data["data_points"]]
    assert [point["volume"] for point in points] == volumes


@pytest.mark.usefixtures("some_days")
async def test_a_partners_credit_line_hides_costs_and_the_edge_answers_as_the_field_does(
    meta: Client, bearer: dict[str, str]
) -> None:
    edge = f"{DEMO_WABA}/pricing_analytics?start={unix('2026-11-01')}&end={unix('2026-11-05')}&granularity=MONTHLY"
    with_costs = await graph(meta, bearer, edge)
    await control(meta, "PATCH", f"/wabas/{DEMO_WABA}", {"shares_credit_line": True})
    without = await graph(meta, bearer, edge)

    [point] = with_costs["data"][0]["data_points"]
    assert without["data"][0]["data_points"] == [{name: value for name, value in point.items() if name != "cost"}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "The parameter start is required."),
        (".start(x).end(2).granularity(DAILY)", "Unix timestamp"),
        (".start(2).end(1).granularity(DAILY)", "before end"),
        (".start(1700000000).end(1800000000).granularity(DAILY)", "within the last year"),
        (".start(1).end(2).granularity(DAY)", "one of {DAILY, HALF_HOUR, MONTHLY}"),
        (".start(1).end(2)", "granularity is required"),
        (".start(", "Syntax error"),
    ],
)
async def test_pricing_analytics_refuse_what_they_cannot_answer(
    meta: Client, bearer: dict[str, str], arguments: str, says: str
) -> None:
    answer = await graph(meta, bearer, f"{DEMO_WABA}?fields=pricing_analytics{arguments}", 400)

    assert (answer["error"]["code"], says in answer["error"]["message"]) == (100, True)


# --- template analytics


def analytics(ids: str, start: str, end: str, more: str = "") -> str:
    return f"{DEMO_WABA}/template_analytics?start={start}&end={end}&granularity=daily&template_ids=[{ids}]{more}"


async def consent(meta: Client, bearer: dict[str, str], value: str = "true", status: int = 200) -> Json:
    return await graph(meta, bearer, f"{DEMO_WABA}?is_enabled_for_insights={value}", status, "POST")


async def test_insights_are_enabled_once_for_ever_and_not_everywhere(meta: Client, bearer: dict[str, str]) -> None:
    asked = analytics(await template_id(meta, "offer"), "2026-11-01", "2026-11-02")
    await set_clock(meta, "2026-11-20T12:00:00")

    off = await graph(meta, bearer, asked, 400)
    enabled = await consent(meta, bearer)
    shown = await graph(meta, bearer, f"{DEMO_WABA}?fields=is_enabled_for_insights")
    disabled = await consent(meta, bearer, "false", 400)
    assert (off["error"]["error_subcode"], enabled["id"], shown["is_enabled_for_insights"]) == (200007, DEMO_WABA, True)
    assert disabled["error"]["error_subcode"] == 200006
    assert await graph(meta, bearer, asked) == {"data": []}

    for path, body in (
        (f"/wabas/{DEMO_WABA}", {"country": "FR"}),
        (f"/wabas/{DEMO_WABA}", {"country": "BR", "shared_with": ["77"]}),
    ):
        await control(meta, "PATCH", path, body)
        if "shared_with" in body:
            await control(meta, "POST", "/portfolios", {"id": "77", "country": "JP"})
        refused = await graph(meta, bearer, asked, 400)
        assert refused["error"]["error_subcode"] == 200005
    await control(meta, "PATCH", f"/wabas/{DEMO_WABA}", {"shared_with": []})
    number = {"display_phone_number": "+44 20 7946 0000"}
    await control(meta, "PATCH", f"/phones/{DEMO_PHONE}?webhook=false", number)
    assert (await consent(meta, bearer, status=400))["error"]["error_subcode"] == 200005


@pytest.fixture
async def offers(meta: Client, bearer: dict[str, str]) -> str:
    """Three offers of November 2 and one of the next day, with reads and clicks, and one of before insights."""
    await traffic(meta, {"at": "2026-10-20T10:00", "to": GERMAN, "template": OFFER, "read": 60}, query="?webhook=false")
    await set_clock(meta, "2026-11-01T00:00:00")
    await consent(meta, bearer)
    await set_clock(meta, "2026-11-04T12:00:00")
    clicks = [{"button": 1, "times": 2}, {"button": 0}]
    await traffic(
        meta,
        {"at": "2026-11-02T10:00", "to": GERMAN, "template": OFFER, "read": 60, "clicks": clicks},
        {"at": "2026-11-02T11:00", "to": BRAZILIAN, "template": OFFER, "read": 60, "clicks": [{"button": 1}]},
        {"at": "2026-11-02T12:00", "to": GERMAN, "template": OFFER, "delivered": None},
        {"at": "2026-11-03T00:30", "to": GERMAN, "template": OFFER},
        query="?webhook=false",
    )
    return await template_id(meta, "offer")


async def test_template_analytics_count_reads_and_clicks_until_a_week_is_over(
    meta: Client, bearer: dict[str, str], offers: str
) -> None:
    asked = analytics(offers, "2026-10-15", "2026-11-04", "&use_waba_timezone=true")
    [fresh] = (await graph(meta, bearer, asked))["data"]
    await set_clock(meta, "2026-11-09T10:30:00")
    [a_day_later] = (await graph(meta, bearer, asked))["data"]
    await set_clock(meta, "2026-11-12T12:00:00")
    [stale] = (await graph(meta, bearer, asked))["data"]

    amount = 0.1365 + 0.0625
    assert (fresh["waba_timezone"], fresh["granularity"], fresh["product_type"]) == (
        "Europe/Berlin",
        "DAILY",
        "cloud_api",
    )
    assert fresh["data_points"] == [
        {
            "template_id": offers,
            "start": unix("2026-11-02"),
            "end": unix("2026-11-03"),
            "sent": 3,
            "delivered": 2,
            "read": 2,
            "clicked": [
                {"type": "quick_reply_button", "button_content": "Tell me more", "count": 1},
                {"type": "url_button", "button_content": "Shop", "count": 3},
                {"type": "unique_url_button", "button_content": "Shop", "count": 2},
            ],
            "cost": [
                {"type": "amount_spent", "value": pytest.approx(amount)},
                {"type": "cost_per_delivered", "value": pytest.approx(amount / 2)},
                {"type": "cost_per_url_button_click", "value": pytest.approx(amount / 3)},
            ],
        },
        fresh["data_points"][1],
    ]
    assert fresh["data_points"][1]["read"] == 0
    assert [point["read"] for point in a_day_later["data_points"]] == [1, 0]
    [old, _] = stale["data_points"]
    assert (old["sent"], old["delivered"], old["read"], {each["count"] for each in old["clicked"]}) == (3, 2, 0, {0})
    assert old["cost"][0]["value"] == pytest.approx(amount)


async def test_template_analytics_are_paged_and_of_utc_days_and_of_one_product(
    meta: Client, bearer: dict[str, str], offers: str
) -> None:
    asked = analytics(offers, "2026-11-01", "2026-11-04", "&metric_types=sent,cost&limit=1&use_waba_timezone=true")
    first = await graph(meta, bearer, asked)
    second = await graph(meta, {"User-Agent": "client/1.0.0"}, first["paging"]["next"].split("/v23.0/")[1])
    in_utc = await graph(meta, bearer, analytics(offers, str(unix("2026-11-01")), str(unix("2026-11-04"))))
    by_marketing_api = "&product_type=MARKETING_MESSAGES_API_FOR_WHATSAPP"
    other = await graph(meta, bearer, analytics(offers, "2026-11-01", "2026-11-04", by_marketing_api))
    await control(meta, "PATCH", f"/templates/{offers}?webhook=false", {"cta_url_link_tracking_opted_out": True})
    opted_out = await graph(meta, bearer, analytics(offers, "2026-11-01", "2026-11-04"))

    [point], [last] = first["data"][0]["data_points"], second["data"][0]["data_points"]
    assert sorted(point) == ["cost", "end", "sent", "start", "template_id"]
    assert ([point["sent"], last["sent"]], "next" in second["paging"]) == ([3, 1], False)
    [of_utc] = in_utc["data"][0]["data_points"]
    assert (of_utc["start"] % DAY, of_utc["sent"]) == (0, 4)  # 00:30 in Berlin is of the day before in UTC
    assert other["data"] == []
    assert all("clicked" not in each for each in opted_out["data"][0]["data_points"])


async def test_template_analytics_refuse_what_they_cannot_answer(
    meta: Client, bearer: dict[str, str], offers: str
) -> None:
    for asked, says in (
        (analytics(",".join(str(each) for each in range(11)), "2026-11-01", "2026-11-02"), "at most 10"),
        (analytics("", "2026-11-01", "2026-11-02"), "template_ids is required"),
        (analytics(offers, "2026-08-01", "2026-08-02"), "within the last 90 days"),
        (analytics(offers, "2026-11-03", "2026-11-02"), "before end"),
        (analytics(offers, "1780000000", "1780000001", "&use_waba_timezone=true"), "YYYY-MM-DD"),
        (analytics(offers, "2026-11-01", "2026-11-02", "&metric_types=[LIKES]"), "metric_types must be one of"),
        (analytics(offers, "2026-11-01", "2026-11-02").replace("daily", "hourly"), "granularity must be one of"),
        (analytics("1", "2026-11-01", "2026-11-02"), "does not exist"),
    ):
        assert says in (await graph(meta, bearer, asked, 400))["error"]["message"]


async def test_two_templates_are_compared_if_both_were_sent_a_thousand_times(
    meta: Client, bearer: dict[str, str]
) -> None:
    await control(meta, "POST", f"/wabas/{DEMO_WABA}/templates", {"name": "reminder", "category": "UTILITY"})
    await set_clock(meta, "2026-11-20T12:00:00")
    ids = [await template_id(meta, name) for name in ("offer", "reminder")]
    end = unix("2026-11-20T12:00")
    asked = f"{ids[0]}/compare?template_ids=[{ids[1]}]&start={end - 30 * DAY}&end={end}"
    too_few = await graph(meta, bearer, asked, 400)
    sends = [
        {"at": unix("2026-11-01") + n, "to": f"49151{n:08d}", "template": {"name": name, "language": "en_US"}}
        for name in ("offer", "reminder")
        for n in range(1001)
    ]
    for n, reason in ((0, "SPAM"), (1, "SPAM"), (2, "NO_SIGN_UP"), (1001, "OTHER")):
        sends[n]["blocks"] = reason
    await traffic(meta, *sends, query="?webhook=false")

    data = (await graph(meta, bearer, asked))["data"]
    wrong = await graph(meta, bearer, asked.replace(str(end), str(end - 1)), 400)

    assert "less than 1,000" in too_few["error"]["message"]
    assert "7, 30, 60 or 90 days" in wrong["error"]["message"]
    assert [each["metric"] for each in data] == ["BLOCK_RATE", "MESSAGE_SENDS", "TOP_BLOCK_REASON"]
    assert data[0]["order_by_relative_metric"] == [ids[1], ids[0]]
    assert data[1]["number_values"] == [{"key": ids[0], "value": 1001}, {"key": ids[1], "value": 1001}]
    assert data[2]["string_values"] == [{"key": ids[0], "value": "SPAM"}, {"key": ids[1], "value": "OTHER"}]


# --- the Marketing Messages API


async def test_a_max_price_goes_by_the_marketing_messages_api_and_its_price_is_told(
    meta: Client, bearer: dict[str, str], received: list[Json], eventually: Eventually
) -> None:
    id_ = await template_id(meta, "offer")
    spec = {"optimization_spec": {"bid_amount": 5000, "bid_strategy": "LOWEST_COST_WITH_BID_CAP"}}
    await control(meta, "PATCH", f"/templates/{id_}?webhook=false", spec)
    await control(meta, "PATCH", "/billing", {"max_price_share": [0.7, 0.7]})
    await set_clock(meta, "2026-11-05T12:00:00")

    cloud = await post(meta, bearer, offer())
    plain = await post(
        meta, bearer, offer(product_policy="STRICT", message_activity_sharing=False), "marketing_messages"
    )
    dearer = await post(meta, bearer, offer(bid_spec={"per_message_bid_multiplier": 1.5}), "marketing_messages")
    wrong = await post(meta, bearer, offer(bid_spec={"per_message_bid_multiplier": 0}), "marketing_messages")
    await control(meta, "PATCH", f"/wabas/{DEMO_WABA}", {"marketing_messages_onboarding_status": "ELIGIBLE"})
    strict = await post(meta, bearer, offer(product_policy="STRICT"), "marketing_messages")
    fallback = await post(meta, bearer, offer(), "marketing_messages")

    assert (cloud[1]["error"]["code"], plain[0], dearer[0]) == (131061, 200, 200)
    assert [answer["error"]["code"] for _, answer in (wrong, strict, fallback)] == [100, 100, 131061]

    async def told() -> bool:
        return sum(each["status"] == "delivered" for each in statuses(received)) == 2

    await eventually(told)
    of_offer = [each["pricing"] for each in statuses(received) if each["status"] == "delivered"]
    assert sorted(each["cost"]["amount"] for each in of_offer) == [0.035, 0.0525]  # 0.05 and 0.075, times 0.7
    assert {(each["category"], each["type"], each["cost"]["currency"]) for each in of_offer} == {
        ("marketing_lite", "regular", "USD")
    }
    assert all("cost" not in each["pricing"] for each in statuses(received) if each["status"] == "sent")
    bill = await invoice(meta, "2026-11")
    assert (bill["total_exact"], bill["total"]) == ("0.0875", "0.09")


async def test_without_onboarding_marketing_goes_through_cloud_api_unless_that_is_off(
    meta: Client, bearer: dict[str, str], received: list[Json], eventually: Eventually
) -> None:
    await control(meta, "PATCH", f"/wabas/{DEMO_WABA}", {"marketing_messages_onboarding_status": "ELIGIBLE"})
    taken = await post(meta, bearer, offer(), "marketing_messages")
    await control(meta, "PATCH", f"/wabas/{DEMO_WABA}", {"disable_marketing_messages_on_cloud_api": True})
    refused = await post(meta, bearer, offer(), "marketing_messages")

    async def told() -> bool:
        return any(each["status"] == "delivered" for each in statuses(received))

    await eventually(told)
    assert (taken[0], refused[1]["error"]["code"]) == (200, 131063)
    assert {each["pricing"]["category"] for each in statuses(received) if "pricing" in each} == {"marketing"}


async def test_a_quick_reply_opens_the_window_and_a_link_is_only_counted(
    meta: Client, bearer: dict[str, str], received: list[Json]
) -> None:
    _, answer = await post(meta, bearer, offer())
    id_ = answer["messages"][0]["id"]
    reply = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": GERMAN,
        "type": "text",
        "text": {"body": "x"},
    }
    await control(meta, "PATCH", "/sending", {"by_webhook": []})

    await control(meta, "POST", "/clicks", {"id": id_, "button": 1, "times": 3})
    closed = await post(meta, bearer, reply)
    clicked = await control(meta, "POST", "/clicks?wait=true", {"id": id_, "button": 0})
    opened = await post(meta, bearer, reply)

    assert (closed[1]["error"]["code"], opened[0]) == (131047, 200)
    assert [each["type"] for each in clicked["clicks"]] == ["URL"] * 3 + ["QUICK_REPLY"]
    assert clicked["webhooks"] == 1
    assert await control(meta, "POST", "/clicks", {"id": id_, "button": 2}, 400)
    [pressed] = [each for change in received for each in change["value"].get("messages", [])]
    assert (pressed["button"]["text"], pressed["context"]["id"]) == ("Tell me more", id_)


async def test_without_a_payment_method_service_messages_end_with_their_allowance(
    meta: Client, bearer: dict[str, str], eventually: Eventually
) -> None:
    await control(
        meta, "POST", "/rules", {"effective": "2020-01-01", "service_is_charged": True, "free_service_messages": 1}, 400
    )
    await set_clock(meta, "2026-11-05T12:00:00")
    await control(meta, "POST", "/rules", {"effective": "2026-10-01", "free_service_messages": 1})
    await control(meta, "PUT", f"/health/{DEMO_WABA}", {"errors": [141006]})
    await control(meta, "POST", "/messages?webhook=false", {"from": GERMAN})
    text = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": GERMAN,
        "type": "text",
        "text": {"body": "x"},
    }

    for _ in range(2):
        assert (await post(meta, bearer, text))[0] == 200

        async def done() -> bool:
            return (await control(meta, "GET", "/sending"))["counts"]["statuses_due"] == 0

        await eventually(done)

    sent = (await control(meta, "GET", "/sent"))["data"]
    assert [[each["status"] for each in entry["statuses"]] for entry in sent] == [
        ["sent", "delivered", "read"],
        ["failed"],
    ]
