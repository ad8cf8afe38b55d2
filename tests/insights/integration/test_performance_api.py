"""What is told of templates over HTTP: counts, rates, order, pages, versions, failures, CSV; each its own."""

import csv
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from insights_rows import fold
from naive_performance import ZONE
from wabus_events import (
    AccountConnected,
    Event,
    MessageAccepted,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    SendRequested,
    TemplateChanged,
)
from wabus_events.models.templates import Template
from wabus_events.testing import an
from wabus_insights.app import create_app
from wabus_insights.settings import InsightsSettings
from wabus_insights.worker.costs.folding import Costs
from wabus_runtime.directory.connections import Connections
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import load
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
NOW = datetime.now(UTC)
GERMAN, AMERICAN = "4915100000001", "16505551234"


def sent(
    name: str, template_id: str, *statuses: str, version: int = 1, to: str = GERMAN, days: float = 1
) -> list[Event]:
    """A template that was sent some days ago, with what became of it."""
    time = NOW - timedelta(days=days)
    about: dict[str, Any] = {"org_id": "acme", "waba_id": "100", "phone_number_id": "9", "time": time}
    number = int.from_bytes(name.encode(), "big")
    send_id = f"00000000-0000-4000-8000-{number:012d}"
    asked = an(
        SendRequested, send_id=send_id, kind="template", lane="marketing", to=to, message={}, template_id=template_id,
        template_version=version, template_name="spring", template_language="en", expires_at=time + timedelta(days=1),
        **about,
    )  # fmt: skip
    told = [
        an(MessageStatusChanged, wamid=name, contact=to, status=status, value={}, **about,
           error_codes=[131049] if status == "failed" else [])
        for status in statuses
    ]  # fmt: skip
    return [asked, an(MessageAccepted, send_id=send_id, kind="template", wamid=name, wa_id=to, **about), *told]


def history() -> list[Event]:
    told: list[Event] = []
    for place in range(40):
        told += sent(f"a{place}", "1", *(["delivered", "read"] if place < 10 else ["delivered"]))
        told += sent(f"b{place}", "1", *(["delivered", "read"] if place < 30 else ["delivered"]), version=2, days=0.5)
    told += sent("c1", "2", "sent", "failed") + sent("c2", "2", "delivered", to=AMERICAN, days=45)
    template = Template(template_id="1", name="spring_sale", language="en", category="MARKETING", status="APPROVED")
    told.append(an(TemplateChanged, org_id="acme", waba_id="100", template=template, added=True))
    told.append(
        an(MessageReported, org_id="acme", waba_id="100", phone_number_id="9", wamid="r", wa_id=AMERICAN, time=NOW,
           kind="template", template_name="=cmd", template_language="en", template_id=None)
    )  # fmt: skip
    told.append(
        an(MessageReported, org_id="other", waba_id="200", phone_number_id="8", wamid="x", wa_id=AMERICAN, time=NOW,
           kind="template", template_name="of_another", template_language="en", template_id="1")
    )  # fmt: skip
    return told


@pytest.fixture
async def client(
    topics: object, publisher: Publisher, insights_tables: asyncpg.Pool, serve: Serve, eventually: Eventually
) -> Client:
    """The API alone, over what was sent. It is later in the place of the account."""
    await publisher.publish([an(AccountConnected, org_id="acme", waba_id="100", time_zone=ZONE)])
    await fold(insights_tables, [history()])
    client = await serve(create_app(load(InsightsSettings), "api"))

    async def ready() -> bool:
        return (await client.get("/readyz")).status == 200

    await eventually(ready)
    return client


async def test_templates_are_told_with_rates_in_order_and_by_pages(client: Client, bearer: Bearer) -> None:
    mine = bearer("acme", "member")

    async def listed(**params: Any) -> dict[str, Any]:
        async with client.get("/performance/templates", params=params, headers=mine) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    first = await listed(limit=1)
    assert [(row["template_id"], row["name"], row["category"]) for row in first["templates"]] == [
        ("1", "spring_sale", "MARKETING")
    ]
    assert (first["period"]["time_zone"], first["period"]["to"]) == (ZONE, str(datetime.now(ZoneInfo(ZONE)).date()))
    row = first["templates"][0]
    assert (row["accepted"], row["sent"], row["delivered"], row["read"]) == (80, 80, 80, 40)
    assert (row["delivery_rate"], row["read_rate"], row["reply_rate"]) == (1.0, 0.5, 0.0)
    rest = await listed(limit=5, after=first["next"])
    assert [row["template_id"] for row in rest["templates"]] == ["2", "=cmd:en"]
    assert rest["next"] is None
    everything = await listed(**{"from": str((NOW - timedelta(days=60)).date()), "sort": "failure_rate"})
    assert [(row["template_id"], row["accepted"]) for row in everything["templates"][:1]] == [("2", 2)]
    assert [row["template_id"] for row in (await listed(country="US"))["templates"]] == ["=cmd:en"]
    assert (await listed(number="7"))["templates"] == []
    assert [row["template_id"] for row in (await listed(min_sent=2, order="asc"))["templates"]] == ["1"]

    async with client.get("/performance/templates", headers=mine | {"Accept": "text/csv"}) as answer:
        rows = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [(row["template_id"], row["sent"]) for row in rows] == [("1", "80"), ("2", "1"), ("'=cmd:en", "0")]


async def test_every_page_has_the_total_and_whatever_the_order_each_template_comes_once(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    """By name in the order of names; what has no value in the order comes last, whichever way that is."""
    mine = bearer("acme", "member")
    await insights_tables.executemany(
        "UPDATE templates SET name = $2, status = $3, quality = $4 WHERE template_id = $1",
        [("1", "Alpha_sale", "APPROVED", "RED"), ("2", "beta", "PAUSED", None)],
    )
    await fold(insights_tables, [sent("d1", "7", "delivered") + sent("d2", "8")])
    await insights_tables.execute("UPDATE templates SET name = 'Gamma', quality = 'GREEN' WHERE template_id = '7'")

    async def listed(**params: Any) -> tuple[list[str], list[dict[str, Any]]]:
        found, totals, after = list[str](), list[dict[str, Any]](), None
        while len(totals) < 9:
            given = {"limit": 1, **params} | ({"after": after} if after else {})
            async with client.get("/performance/templates", params=given, headers=mine) as answer:
                assert answer.status == 200, await answer.text()
                told = await answer.json()
            found += [row["template_id"] for row in told["templates"]]
            totals.append(told["total"])
            if not (after := told["next"]):
                break
        return found, totals

    by_name, totals = await listed(sort="name", order="asc")
    assert by_name == ["=cmd:en", "1", "2", "7", "8"]
    assert (await listed(sort="name"))[0] == by_name[::-1]
    assert {(each["templates"], each["accepted"], each["delivered"], each["read"]) for each in totals} == {
        (5, 84, 81, 40)
    }
    assert totals[0]["read_rate"] == 40 / 81
    up, down = (await listed(sort="read_rate", order="asc"))[0], (await listed(sort="read_rate"))[0]
    assert (up[:2], down[:2]) == (["7", "1"], ["1", "7"])
    assert set(up[2:]) == set(down[2:]) == {"=cmd:en", "2", "8"}
    assert (await listed(search="alpha SALE"))[0] == (await listed(search="a_s"))[0] == ["1"]
    assert (await listed(search="%"))[0] == []
    assert (await listed(troubled="true", sort="name"))[0] == ["2", "1"]
    assert (await listed(troubled="true"))[1][0] == totals[0]


async def test_what_has_changed_is_told_of_each_template_and_of_all_if_there_was_enough_before(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    mine, today = bearer("acme", "member"), datetime.now(ZoneInfo(ZONE)).date()
    period = {"from": str(today - timedelta(days=9)), "to": str(today), "compare": "previous", "costs": "true"}
    before = [event for n in range(100) for event in sent(f"e{n}", "1", "delivered", days=15)]
    early = sent("f", "2", "delivered", days=28)

    async def told(**more: Any) -> dict[str, Any]:
        async with client.get("/performance/templates", params=period | more, headers=mine) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    await insights_tables.execute("TRUNCATE template_hours, template_days, template_months")
    await fold(insights_tables, [sent("g", "1", "delivered", days=1)])
    nothing = await told()
    assert nothing["earlier"]["comparable"] is False
    assert "messages are counted only since" in nothing["earlier"]["sentence"]
    assert nothing["total"]["changes"] is None is nothing["templates"][0]["changes"]

    await fold(insights_tables, [early])
    assert "fewer than 100" in (await told())["earlier"]["sentence"]
    now = [event for n in range(150) for event in sent(f"h{n}", "1", "read", days=1)]
    await fold(insights_tables, [[*before, *now, *sent("i", "2", "delivered", days=2)]])
    found = await told()
    assert (found["earlier"]["from"], found["earlier"]["to"]) == (
        str(today - timedelta(days=19)), str(today - timedelta(days=10)),
    )  # fmt: skip
    assert found["earlier"]["comparable"] is found["earlier"]["growing"] is True
    one, two = (row["changes"] for row in found["templates"])
    assert (one["delivered"]["before"], one["delivered"]["change"], one["delivered"]["verdict"]) == (100, 0.51, "more")
    assert (one["read_rate"]["before"], one["read_rate"]["verdict"]) == (0.0, "more")
    assert one["read_rate"]["difference"]["value"] == 150 / 151
    assert {change["verdict"] for change in (two["delivered"], two["read_rate"])} == {"new"}
    assert found["total"]["changes"]["delivered"] == {"before": 100, "change": 0.52, "verdict": "more"}
    assert (await told(sort="delivered", limit=1))["total"] == found["total"]
    assert (await told(country="US"))["earlier"]["comparable"] is False
    await insights_tables.execute(
        "INSERT INTO projection_offsets (projection, topic, partition, owner) "
        "VALUES ('insights-rebuild', '', 0, gen_random_uuid())"
    )
    assert "counted anew" in (await told())["earlier"]["sentence"]
    await insights_tables.execute("DELETE FROM projection_offsets WHERE projection = 'insights-rebuild'")


async def test_presses_of_links_are_told_where_meta_tells_them(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    """Not of other days, templates or organisations; and by number or country Meta counts nothing."""
    mine, today = bearer("acme", "member"), datetime.now(UTC).date()
    rows = [
        ("acme", "100", "1", today, 3), ("acme", "100", "1", today - timedelta(days=2), None),
        ("acme", "100", "1", today - timedelta(days=3), 4), ("acme", "100", "1", today - timedelta(days=90), 50),
        ("acme", "100", "2", today, None), ("other", "200", "2", today, 9),
    ]  # fmt: skip
    await insights_tables.executemany(
        "INSERT INTO meta_template_days (org_id, waba_id, template_id, day, clicked, read_at) "
        "VALUES ($1, $2, $3, $4, $5, now())",
        rows,
    )
    for params, clicked in (
        ({"meta": "true"}, [7, None]),
        ({}, [None, None]),
        ({"meta": "true", "number": "9"}, [None, None]),
    ):
        async with client.get("/performance/templates", params=params | {"min_sent": 1}, headers=mine) as answer:
            assert [row["meta_clicked"] for row in (await answer.json())["templates"]] == clicked


async def test_the_dearest_template_is_found_by_pages_whatever_its_id(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    """Of two currencies that of the most messages comes first; what has no price comes last."""
    amounts = {"1": ("0.02", "EUR"), "2": ("0.3", "EUR"), "3": ("9000000", "USD"), "4": None, "5": ("0.300001", "EUR")}
    events = [event for place, (name, cost) in enumerate(amounts.items()) for event in priced(f"p{place}", name, cost)]
    await fold_with_costs(insights_tables, events)
    mine, found, after = bearer("acme", "member"), list[tuple[str, Any]](), None
    while len(found) < 9:
        params = {"sort": "cost", "costs": "true", "limit": 2, "country": "DE"} | ({"after": after} if after else {})
        async with client.get("/performance/templates", params=params, headers=mine) as answer:
            assert answer.status == 200, await answer.text()
            told = await answer.json()
        found += [(row["template_id"], [each["amount"] for each in row["costs"]]) for row in told["templates"]]
        if not (after := told["next"]):
            break
    assert found == [
        ("5", ["0.300001"]), ("2", ["0.300000"]), ("1", ["0.020000"]), ("3", ["9000000.000000"]), ("4", [None]),
    ]  # fmt: skip
    for limit in (4, 400):
        params = {"sort": "name", "order": "asc", "costs": "true", "limit": limit, "country": "DE"}
        async with client.get("/performance/templates", params=params, headers=mine) as answer:
            told = await answer.json()
        rows = [(row["template_id"], [each["amount"] for each in row["costs"]]) for row in told["templates"]]
        assert len(rows) == min(limit, len(found))
        assert all(row in found for row in rows), "whatever the order and the page"
        assert {each["currency"]: each["amount"] for each in told["total"]["costs"]} == {
            "EUR": "0.620001", "USD": "9000000.000000", None: None,
        }  # fmt: skip
    async with client.get("/costs", params={"by": "template", "template": "3"}, headers=mine) as answer:
        assert [(row["key"], row["currency"]) for row in (await answer.json())["costs"]] == [("3", "USD")]


async def test_a_template_that_is_known_by_its_name_alone_does_not_look_as_if_it_cost_nothing(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    told = priced("p1", "", ("0.07", "EUR")) + priced("p2", "", ("0.03", "EUR"))
    by_name = told[0].model_copy(update={"template_id": None})
    reported = an(
        MessageReported, org_id="acme", waba_id="100", phone_number_id="9", wamid="p2", wa_id=GERMAN, time=NOW,
        kind="template", template_name="spring", template_language="en", template_id=None,
    )  # fmt: skip
    await fold_with_costs(insights_tables, [by_name, *told[1:3], told[5], reported])
    mine = bearer("acme", "member")
    async with client.get("/performance/templates", params={"costs": "true"}, headers=mine) as answer:
        rows = {row["template_id"]: row for row in (await answer.json())["templates"]}
    found = rows["spring:en"]
    assert (found["delivered"], [(each["volume"], each["amount"]) for each in found["costs"]]) == (2, [(2, "0.100000")])
    async with client.get("/costs", params={"by": "day", "template": "spring:en"}, headers=mine) as answer:
        assert [row["amount"] for row in (await answer.json())["totals"]] == ["0.100000"]


async def test_who_opens_the_templates_in_a_spreadsheet_finds_what_each_reply_cost(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    told = [*priced("p1", "7", ("0.3", "EUR")), *priced("p2", "7", ("0.1", "EUR"))]
    about: dict[str, Any] = {"org_id": "acme", "waba_id": "100", "phone_number_id": "9", "contact": GERMAN}
    at = told[-1].time + timedelta(hours=1)
    reply = an(
        MessageReceived, **about, time=at, wamid="in", message_type="text", value={"messages": [{"type": "text"}]}
    )
    mixed = [*priced("p3", "8", ("0.3", "EUR")), *priced("p4", "8", ("5", "USD"))]
    await fold_with_costs(insights_tables, [*told, reply, *mixed, *priced("p5", "9", None)])
    accept = bearer("acme", "member") | {"Accept": "text/csv"}
    async with client.get("/performance/templates", params={"costs": "true"}, headers=accept) as answer:
        rows = {row["template_id"]: row for row in csv.DictReader(io.StringIO(await answer.text()))}
    columns = (
        "costs",
        "unpriced",
        "cost_known",
        "currency",
        "cost",
        "cost_per_message",
        "cost_per_reply",
        "cost_per_click",
    )
    assert [[rows[name][column] for column in columns] for name in ("7", "8", "9", "1")] == [
        ["0.400000 EUR", "0", "reported", "EUR", "0.400000", "0.200000", "0.400000", ""],
        ["0.300000 EUR + 5.000000 USD", "0", "reported", "", "", "", "", ""],
        ["", "1", "unknown", "", "", "", "", ""],
        ["", "0", "", "", "", "", "", ""],
    ]


async def fold_with_costs(pool: asyncpg.Pool, events: list[Event]) -> None:
    await fold(pool, [events])
    accounts = Connections()
    accounts.tell(an(AccountConnected, org_id="acme", waba_id="100", time_zone=ZONE))
    records = [Recorded(event, event.topic.name, 0, place, event.time) for place, event in enumerate(events)]
    async with pool.acquire() as connection, connection.transaction():
        await Costs(accounts).fold(connection, records)


def priced(name: str, template_id: str, cost: tuple[str, str] | None) -> list[Event]:
    """A template that was delivered, and what Meta says that it cost."""
    pricing: dict[str, Any] = {"billable": True, "pricing_model": "PMP", "type": "regular", "category": "marketing"}
    if cost:
        pricing["cost"] = {"amount": cost[0], "currency": cost[1]}
    value = {"statuses": [{"id": name, "status": "delivered", "pricing": pricing}]}
    return [
        event.model_copy(update={"value": value}) if isinstance(event, MessageStatusChanged) else event
        for event in sent(name, template_id, "delivered")
    ]


async def test_a_template_is_told_by_version_with_what_the_difference_may_be(client: Client, bearer: Bearer) -> None:
    mine = bearer("acme", "member")
    async with client.get("/performance/templates/1", params={"by": "version"}, headers=mine) as answer:
        told = await answer.json()
    assert answer.status == 200
    assert [(group["group"], group["accepted"], group["read"]) for group in told["groups"]] == [
        ("1", 40, 10), ("2", 40, 30),
    ]  # fmt: skip
    assert [step["count"] for step in told["funnel"]] == [80, 80, 80, 40, 0]
    [read] = [each for each in told["comparisons"] if each["rate"] == "read_rate"]
    assert read["verdict"] == "more"
    assert 0.28 < read["difference"]["low"] < 0.5 == read["difference"]["value"] < read["difference"]["high"] < 0.67
    assert "50.0 points more" in read["sentence"]
    [replies] = [each for each in told["comparisons"] if each["rate"] == "reply_rate"]
    assert replies["verdict"] == "no difference shown"
    assert told["time_to_read"]["read"] == 40
    days = sorted({str((NOW - timedelta(days=past)).astimezone(ZoneInfo(ZONE)).date()) for past in (1, 0.5)})
    for by, groups in (("country", ["DE"]), ("number", ["9"]), ("day", days)):
        async with client.get("/performance/templates/1", params={"by": by}, headers=mine) as answer:
            assert [group["group"] for group in (await answer.json())["groups"]] == groups
    async with client.get("/performance/templates/1", params={"by": "hour"}, headers=mine) as answer:
        assert len((await answer.json())["groups"]) == 2


async def test_failures_are_told_with_a_sentence_and_a_remedy(client: Client, bearer: Bearer) -> None:
    async with client.get("/performance/templates/2/failures", headers=bearer("acme", "member")) as answer:
        told = await answer.json()
    assert (told["accepted"], told["failed"]) == (1, 1)
    [failure] = told["failures"]
    assert (failure["code"], failure["count"], failure["share"], failure["kind"]) == (131049, 1, 1.0, "not_wanted")
    assert failure["sentence"].startswith("Not delivered because")
    assert failure["remedy"]


async def test_why_messages_failed_is_told_of_all_templates_with_those_that_failed_most(
    client: Client, bearer: Bearer, insights_tables: asyncpg.Pool
) -> None:
    mine = bearer("acme", "member")
    await fold(insights_tables, [[*sent("d1", "1", "failed"), *sent("d2", "1", "failed", to=AMERICAN)]])
    async with client.get("/performance/failures", headers=mine) as answer:
        told = await answer.json()
    assert (told["accepted"], told["failed"], told["period"]["time_zone"]) == (84, 3, ZONE)
    [reason] = told["failures"]
    assert (reason["code"], reason["count"], reason["share"]) == (131049, 3, 1.0)
    assert [(each["template_id"], each["name"], each["failed"]) for each in reason["templates"]] == [
        ("1", "spring_sale", 2), ("2", "spring", 1),
    ]  # fmt: skip
    async with client.get("/performance/failures", params={"country": "US"}, headers=mine) as answer:
        assert [each["count"] for each in (await answer.json())["failures"]] == [1]
    async with client.get("/performance/failures", headers=mine | {"Accept": "text/csv"}) as answer:
        [row] = csv.DictReader(io.StringIO(await answer.text()))
    assert (row["code"], row["count"], row["templates"]) == ("131049", "3", "spring_sale, spring")
    async with client.get("/performance/failures", headers=bearer("other")) as answer:
        assert (await answer.json())["failures"] == []
    params = {"from": str((NOW - timedelta(days=93)).date())}
    async with client.get("/performance/failures", params=params, headers=mine) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "period_too_long")


async def test_another_organisations_templates_are_not_there(client: Client, bearer: Bearer) -> None:
    for path in ("/performance/templates/2", "/performance/templates/2/failures"):
        async with client.get(path, headers=bearer("other")) as answer:
            assert answer.status == 404
    async with client.get("/performance/templates", headers=bearer("other")) as answer:
        assert [row["accepted"] for row in (await answer.json())["templates"]] == [1]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"from": "2026-11-02", "to": "2026-11-01"}, "invalid_period"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "period_too_long"),
        ({"from": "1700000000"}, "invalid_request"),
        ({"after": "e30"}, "invalid_cursor"),
    ],
)
async def test_what_cannot_be_told_is_refused_with_a_reason(
    client: Client, bearer: Bearer, params: dict[str, str], code: str
) -> None:
    async with client.get("/performance/templates", params=params, headers=bearer("acme")) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, code)
