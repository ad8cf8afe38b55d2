"""What Meta itself counts of templates: asked for where it counts, begun when confirmed, kept when it forgets."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from simulated_meta.seed import DEMO_PHONE, DEMO_TEMPLATE, DEMO_WABA
from template_world import Bearer, Client, Meta, Publish, Serve, connection
from wabus_events import AccountConnected, MessageReported
from wabus_events.testing import an
from wabus_insights.app import create_app
from wabus_insights.settings import InsightsSettings
from wabus_runtime.settings import load
from waiting import Eventually

pytest_plugins = ["template_world"]

STATE = "SELECT state FROM template_insights WHERE waba_id = $1"
Until = Callable[[str], Awaitable[Any]]


def reported() -> MessageReported:
    """That a template was sent, by which its account is known to have sent it."""
    return an(
        MessageReported, org_id="demo", waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE, wamid="wamid.R", wa_id="4915123",
        kind="template", template_name="hello", template_language="en_US", template_id=DEMO_TEMPLATE,
        time=datetime.now(UTC) - timedelta(minutes=5),
    )  # fmt: skip


@pytest.fixture
async def insights(meta: Meta, topics: object, serve: Serve) -> Client:
    return await serve(create_app(load(InsightsSettings)))


@pytest.fixture
def until(insights_tables: asyncpg.Pool, eventually: Eventually) -> Until:
    async def reached(state: str) -> None:
        await eventually(lambda: is_in(state))

    async def is_in(state: str) -> bool:
        return await insights_tables.fetchval(STATE, DEMO_WABA) == state

    return reached


@pytest.mark.long
async def test_meta_is_asked_once_it_counts_and_what_it_forgets_stays(
    meta: Meta, insights: Client, insights_tables: asyncpg.Pool, publish: Publish, bearer: Bearer, until: Until,
    eventually: Eventually,
) -> None:  # fmt: skip
    await meta.control("PATCH", f"/wabas/{DEMO_WABA}", country="US")
    templates = await meta.control("GET", f"/wabas/{DEMO_WABA}/templates")
    [named] = [{"name": one["name"], "language": one["language"]} for one in templates["data"]
               if one["id"] == DEMO_TEMPLATE]  # fmt: skip
    await publish([reported(), *connection(meta.token)])
    await eventually(lambda: _is_counted(insights_tables))
    await insights_tables.execute("UPDATE template_insights SET due_at = '-infinity'")
    await until("off")

    async def enable(status: int, role: str = "admin", **body: Any) -> Any:
        asked = {"waba_id": DEMO_WABA, **body}
        async with insights.post("/performance/enable", json=asked, headers=bearer("demo", role)) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    assert (await enable(403, role="member", confirm=True))["code"]
    assert (await enable(409))["code"] == "confirmation_needed"
    assert await insights_tables.fetchval(STATE, DEMO_WABA) == "off", "nothing happens without a confirmation"
    assert (await enable(202, confirm=True))["status"] == "asked"
    await until("on")
    assert (await enable(200, confirm=True))["status"] == "on"
    assert (await enable(404, confirm=True, waba_id="1"))["code"] == "account_not_found"

    sent = {"phone_number_id": DEMO_PHONE, "to": "4915123456789", "template": named, "read": 1.0}
    await meta.control("PATCH", "/clock", forward=60)  # what was sent before Meta began it does not count
    done = await meta.control("POST", "/traffic?webhook=false", messages=[sent | {"at": _ago(seconds=-30)}] * 3)
    assert "failed" not in str(done), done
    counts = "SELECT sent, delivered, read FROM meta_template_days WHERE template_id = $1"

    async def read() -> tuple[int, ...] | None:
        await insights_tables.execute("UPDATE template_insights SET due_at = '-infinity'")
        row = await insights_tables.fetchrow(counts, DEMO_TEMPLATE)
        return tuple(row) if row and row["read"] else None

    assert await eventually(read) == (3, 3, 3)

    await meta.control("PATCH", "/clock", forward=8 * 86_400)  # Meta says 0 from now on
    before = await insights_tables.fetchval("SELECT read_at FROM template_insights")
    await insights_tables.execute("UPDATE template_insights SET due_at = '-infinity'")
    await eventually(lambda: _later(insights_tables, before))
    async with insights.get(f"/performance/templates/{DEMO_TEMPLATE}", headers=bearer("demo", "member")) as answer:
        told = await answer.json()
    assert told["meta"]["state"] == "on"
    assert [(day["sent"], day["read"]) for day in told["meta"]["days"]] == [(3, 3)]
    assert (told["source"], told["total"]["accepted"]) == ("statuses", 1)


async def test_for_an_account_in_germany_meta_is_not_asked(
    meta: Meta, insights: Client, insights_tables: asyncpg.Pool, publish: Publish, bearer: Bearer, until: Until
) -> None:
    credential, _ = connection(meta.token)
    connected = an(AccountConnected, org_id="demo", waba_id=DEMO_WABA, country="DE", time=datetime.now(UTC))
    await publish([connected, reported()])
    await publish([credential])
    await until("unavailable")
    body = {"waba_id": DEMO_WABA, "confirm": True}
    async with insights.post("/performance/enable", json=body, headers=bearer()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (409, "insights_unavailable")
    calls = await meta.control("GET", "/calls")
    assert "template_analytics" not in str(calls)


async def _is_counted(pool: asyncpg.Pool) -> bool:
    return bool(await pool.fetchval("SELECT count(*) FROM template_days"))


def _ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


async def _later(pool: asyncpg.Pool, before: datetime) -> bool:
    return await pool.fetchval("SELECT read_at > $1 FROM template_insights", before)
