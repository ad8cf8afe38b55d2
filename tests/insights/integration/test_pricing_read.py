"""Meta's own account of what messages cost: read each day, kept, compared with ours, one account beside the others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from planning_world import ORG, WABA, World
from pydantic import SecretStr
from sending_world import Sending
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import INSIGHTS, AccountConnected, CredentialStored, PricingRead
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.settings import CredentialSettings, load

pytest_plugins = ("support.planning_world", "support.sending_world")

ON_CREDIT, REFUSED = "102290129340399", "102290129340400"


@dataclass
class Graph:
    """Answers as Meta's page "Analytics", Pricing analytics, has it; of each account what a test lets it say."""

    points: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    asked: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    async def answer(self, request: web.Request) -> web.Response:
        waba_id, fields = request.match_info["waba_id"], request.query["fields"]
        self.asked.setdefault(waba_id, []).append(fields)
        if waba_id == REFUSED:
            error = {"message": "Error validating access token", "type": "OAuthException", "code": 190}
            return web.json_response({"error": error}, status=401)
        start, end = (int(part.split(")")[0]) for part in fields.split("(")[1:3])
        points = [one for one in self.points.get(waba_id, []) if start <= one["start"] < end]
        if "metric_types" in fields:
            points = [{name: value for name, value in one.items() if name != "cost"} for one in points]
        return web.json_response({"pricing_analytics": {"data": [{"data_points": points}]}, "id": waba_id})


@pytest.fixture
async def graph(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    found = Graph()
    app = web.Application()
    app.router.add_get("/{version}/{waba_id}", found.answer)
    async with TestServer(app) as server:
        monkeypatch.setenv("META_GRAPH_URL", str(server.make_url("")).rstrip("/"))
        yield found


def point(day: date, volume: int, cost: float | None, **more: Any) -> dict[str, Any]:
    start = int(datetime.combine(day, time(), UTC).timestamp())
    return {
        "start": start, "end": start + 86_400, "country": "DE", "pricing_type": "REGULAR",
        "pricing_category": "MARKETING", "volume": volume, "cost": cost, **more,
    }  # fmt: skip


async def connect(
    world: World, waba_id: str, token: str = "EAAtoken", time_zone: str = "UTC", currency: str = "EUR"
) -> None:
    """Let an account be connected, with a token."""
    sealed = Keyring(load(CredentialSettings)).seal(SecretStr(token), org_id=ORG, waba_id=waba_id)
    about: dict[str, Any] = {"time": datetime.now(UTC), "org_id": ORG, "waba_id": waba_id}
    await world.publisher.publish(
        [
            AccountConnected(id=str(uuid4()), time_zone=time_zone, currency=currency, **about),
            CredentialStored(
                id=str(uuid4()), key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=sealed.ciphertext, **about
            ),
        ]
    )


async def read_again(world: World) -> None:
    """Let it be everybody's turn, and wait until all have had it."""
    await world.pool.execute("UPDATE pricing_schedules SET due_at = '-infinity'")
    await world.eventually(is_idle(world))


def is_idle(world: World, accounts: int = 1) -> Callable[[], Awaitable[bool]]:
    async def idle() -> bool:
        due = await world.pool.fetchrow(
            "SELECT count(*) AS all, count(*) FILTER (WHERE due_at <= now() + interval '10 seconds') AS due "
            "FROM pricing_schedules"
        )
        return due["all"] >= accounts and due["due"] == 0

    return idle


async def readings(world: World) -> list[PricingRead]:
    return [event for event in await world.events_in(INSIGHTS) if isinstance(event, PricingRead)]


@pytest.mark.long
async def test_each_account_is_read_and_compared_whatever_becomes_of_another(graph: Graph, world: World) -> None:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in range(1, 8)]
    # Ours has one message a day, for 10 euros; Meta charges 12 for it, but for two days that it has as we do.
    graph.points[WABA] = [
        *(point(day, 1, 12.0) for day in days[3:6]),
        point(days[0], 2, 24.0),
        point(days[6], 3, 30.0),
        point(today - timedelta(days=200), 5, 50.0),
    ]
    graph.points[ON_CREDIT] = [point(days[4], 7, None)]
    for waba_id in (WABA, ON_CREDIT, REFUSED):
        await connect(world, waba_id)
    await world.spend(dict.fromkeys(days, "10"))
    await world.eventually(is_idle(world, 3))

    found: dict[str, Any] = {}

    async def compared() -> bool:
        answer = await world.asked("GET", "/costs/reconciliation", role="member")
        found.update({one["waba_id"]: one for one in answer["accounts"]})
        return len(found[WABA]["days"]) >= 7 and bool(found[ON_CREDIT]["days"])

    await world.eventually(compared)
    why = {row["day"]: row["explained_by"] for row in found[WABA]["days"]}
    assert [why[str(day)] for day in days] == [
        "late_statuses", "late_statuses", "unknown", "wrong_card", "wrong_card", "wrong_card", "other_systems",
    ]  # fmt: skip
    assert found[WABA]["days"][1]["difference"] == "2.000000"
    assert (found[ON_CREDIT]["amounts_told"], found[ON_CREDIT]["days"][0]["meta_amount"]) == (False, None)
    assert (found[REFUSED]["error"], found[REFUSED]["read_at"]) == ("token_expired", None)
    assert len({event.priced_on for event in await readings(world) if event.waba_id == WABA}) == 6

    # What says the same is not told again, and amounts that Meta does not tell are not asked for again.
    before = len(await readings(world))
    graph.points[WABA][0] = point(days[3], 1, 12.5)
    asked = len(graph.asked[WABA])
    await read_again(world)
    again = await readings(world)
    assert [(event.priced_on, str(event.volumes[0].amount)) for event in again if event.waba_id == WABA][-1:] == [
        (days[3], "12.500000")
    ]
    assert len(again) == before + 1
    assert len(graph.asked[WABA]) == asked + 1
    assert "metric_types" in graph.asked[ON_CREDIT][-1]
    assert "metric_types" not in graph.asked[WABA][-1]

    # Nobody else's organisation sees any of it.
    assert (await world.asked("GET", "/costs/reconciliation", org="other"))["accounts"] == []
    await world.asked("GET", f"/costs/reconciliation?waba_id={WABA}", 404, org="other")
    backwards = await world.asked("GET", "/costs/reconciliation?from=2026-02-01&to=2026-01-01")
    assert [one["days"] for one in backwards["accounts"]] == [[], [], []]


@pytest.mark.long
async def test_what_is_read_of_the_simulated_meta_is_what_it_bills(sending: Sending, world: World) -> None:
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in (2, 3, 5, 8)]
    messages = [
        {
            "at": f"{day}T12:{minute:02}:00", "phone_number_id": DEMO_PHONE, "to": f"49151234567{minute:02}",
            "template": {"name": "order_confirmation", "language": "en_US"},
        }
        for day in days
        for minute in range(3)
    ]  # fmt: skip
    await sending.control("PATCH", f"/wabas/{DEMO_WABA}", {"timezone_id": "1", "currency": "USD"})
    await sending.control("POST", "/traffic", {"messages": messages})
    await connect(world, DEMO_WABA, token=sending.token, time_zone="America/Los_Angeles", currency="USD")
    await world.eventually(is_idle(world))

    months = sorted({f"{day:%Y-%m}" for day in days})
    bills = [await sending.control("GET", f"/invoice?waba={DEMO_WABA}&month={month}") for month in months]
    billed = sum((Decimal(bill["total_exact"]) for bill in bills), Decimal(0))
    read = await readings(world)
    assert [event.priced_on for event in sorted(read, key=lambda event: event.priced_on)] == sorted(days)
    amounts = [row.amount or Decimal(0) for event in read for row in event.volumes]
    assert (sum(amounts), sum(row.volume for event in read for row in event.volumes)) == (billed, 12)
    assert billed > 0

    await sending.control("PATCH", f"/wabas/{DEMO_WABA}", {"shares_credit_line": True})
    await read_again(world)
    state = await world.asked("GET", f"/costs/reconciliation?waba_id={DEMO_WABA}")
    assert not state["accounts"][0]["amounts_told"]
    assert len(await readings(world)) == len(read)  # what was told of amounts stays
