"""Accounts and organisations forgotten in the tables of health: by whoever folds, whenever, and in every rebuild."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from health_rows import rows
from support.forgetting import line, rows_with
from wabus_events import (
    HEALTH,
    AccountConnected,
    AccountDisconnected,
    AccountForgotten,
    AccountUpdated,
    CallbackVerified,
    Event,
    HealthChanged,
    HealthReason,
    MessageReceived,
    MessageStatusChanged,
    MessagingFailed,
    OrganisationForgotten,
    TemplatesSynced,
    TemplateStatusChanged,
    Topic,
    WebhookSeen,
    fact_id,
)
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_health_projector.tables import history
from wabus_health_projector.worker import projector
from wabus_runtime.kafka.outcomes import Position
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.rebuild import RebuildSettings, rebuild
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings, load
from waiting import WAIT, Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
LINE = START + timedelta(hours=1, minutes=30)
ACME, ITS_ACCOUNT, NEIGHBOUR = "acme-organisation", "70000000000001", "70000000000002"
WORDS = (ACME, ITS_ACCOUNT)


def fact(kind: type[Event], waba_id: str, hours: float = 0, **details: Any) -> Event:
    at = START + timedelta(hours=hours)
    event_id = fact_id(kind.type, waba_id, at.isoformat(), str(details))
    return kind.model_validate({"waba_id": waba_id, "id": event_id, "time": at, "value": {}, **details})


def life_of(waba_id: str, org_id: str, hours: float = 0) -> list[Event]:
    """Something in every table, within some minutes."""
    counts: dict[str, Any] = {"total": 3, "approved": 2, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    sent: dict[str, Any] = {"phone_number_id": f"9{waba_id}", "contact": "16505551234", "org_id": org_id}
    template: dict[str, Any] = {"template_id": "t", "name": "offer", "language": "en"}
    at = START + timedelta(hours=hours)
    reason = HealthReason(code="c", severity="failing", message=f"of {waba_id}", remedy="r", waba_id=waba_id)
    return [
        fact(AccountConnected, waba_id, hours, org_id=org_id),
        fact(CallbackVerified, waba_id, hours, callback_url=f"https://wabus.example/{waba_id}"),
        fact(WebhookSeen, waba_id, hours, day=at.date().isoformat(), field="messages"),
        fact(TemplatesSynced, waba_id, hours, sync_id=f"s{hours}", reason="manual", started_at=at, **counts),
        fact(TemplateStatusChanged, waba_id, hours, event="PAUSED", org_id=org_id, **template),
        fact(AccountUpdated, waba_id, hours, event="VERIFIED_ACCOUNT", org_id=org_id),
        fact(MessageReceived, waba_id, hours, wamid=f"r{hours}", message_type="text", **sent),
        fact(MessageStatusChanged, waba_id, hours, wamid=f"f{hours}", status="failed", error_codes=[131026], **sent),
        fact(MessagingFailed, waba_id, hours, phone_number_id=f"9{waba_id}", error_codes=[130429], org_id=org_id),
        HealthChanged(
            id=fact_id(HealthChanged.type, org_id, waba_id, at.isoformat()), time=at, org_id=org_id, since=at,
            to_status="failing",
            reasons=[reason, reason.model_copy(update={"waba_id": NEIGHBOUR, "message": "of a neighbour"})],
        ),
    ]  # fmt: skip


@pytest.fixture
async def pool(topics: KafkaSettings) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        yield pool


@asynccontextmanager
async def projecting(pool: asyncpg.Pool, *, times: int = 1) -> AsyncGenerator[None]:
    """The two projections, in so many processes, started again whenever they fail, as the service does."""

    async def supervised(run: Callable[..., Awaitable[None]]) -> None:
        while True:
            try:
                await run(load(IdentitySettings), pool, lambda: None)
            except Exception:
                await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(supervised(run)) for run in (projector.run, history.run) for _ in range(times)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def folded(pool: asyncpg.Pool, positions: list[Position]) -> None:
    for projection in (projector.PROJECTION, history.PROJECTION):
        name, mine = projection.name, {topic.name for topic in projection.followed}
        ends: dict[tuple[str, int], int] = {}
        for each in positions:
            if each.topic in mine:
                ends[each.topic, each.partition] = max(ends.get((each.topic, each.partition), 0), each.offset + 1)
        assert await wait_for(pool, name, ends, WAIT), name


FORGOTTEN = [line(AccountForgotten, ITS_ACCOUNT, LINE), line(OrganisationForgotten, ACME, LINE)]
THEIRS = life_of(NEIGHBOUR, "neighbours")


async def test_of_a_forgotten_organisation_no_row_is_left_and_no_late_fact_brings_one_back(
    pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(pool):
        await folded(pool, await publisher.publish([*life_of(ITS_ACCOUNT, ACME), *THEIRS]))
        await pool.execute("INSERT INTO account_checks VALUES ($1, $2)", ITS_ACCOUNT, START)
        before = await rows_with(pool, WORDS)
        theirs = {table: each for table, each in (await rows(pool)).items() if table != "counted_messages"}
        assert {"public.waba_health", "public.webhook_health", "public.health_history"} <= before.keys()
        assert {"public.message_counts", "public.organisation_counts"} <= before.keys()
        assert {"public.organisation_failures", "public.organisation_errors"} <= before.keys()
        assert {"public.webhook_arrivals", "public.account_checks"} <= before.keys()

        await folded(pool, await publisher.publish(FORGOTTEN))
        assert await rows_with(pool, WORDS) == {}
        for table, each in (await rows(pool)).items():
            if table != "counted_messages":  # their ids tell nothing of whose they are
                assert each == [row for row in theirs[table] if not any(word in row for word in WORDS)]

        late = [*life_of(ITS_ACCOUNT, ACME, 0.5), fact(AccountDisconnected, ITS_ACCOUNT, 1, org_id=ACME, reason="r")]
        await folded(pool, await publisher.publish(late))
        assert await rows_with(pool, WORDS) == {}


async def test_of_the_earlier_organisation_of_an_account_that_moved_nothing_is_left_and_the_owner_loses_nothing(
    pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async def counted() -> int:
        return await pool.fetchval("SELECT sum(count) FROM message_counts WHERE kind = 'received'")

    async with projecting(pool):
        given_up = fact(AccountDisconnected, ITS_ACCOUNT, 0.2, org_id=ACME, reason="r")
        moved = [*life_of(ITS_ACCOUNT, ACME), given_up, *life_of(ITS_ACCOUNT, "owner", 0.4)]
        await folded(pool, await publisher.publish(moved))
        assert await counted() == 2
        await folded(pool, await publisher.publish([line(OrganisationForgotten, ACME, LINE)]))
        assert await rows_with(pool, [ACME]) == {}
        assert await counted() == 1
        assert {"public.waba_health", "public.organisation_counts"} <= (await rows_with(pool, ["owner"])).keys()
        await rebuild(load(RebuildSettings), projector.PROJECTION, print)  # raises where the rows differ


async def test_who_comes_again_is_new(pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer) -> None:
    async with projecting(pool):
        await folded(pool, await publisher.publish([*life_of(ITS_ACCOUNT, ACME), *FORGOTTEN]))
        await folded(pool, await publisher.publish([*life_of(ITS_ACCOUNT, ACME, 2), *life_of(ITS_ACCOUNT, ACME, 0.2)]))
    client = await serve(create_app(load(HealthProjectorSettings)))
    (waba,) = (await (await client.get("/webhook/health/detailed", headers=bearer(ACME))).json())["wabas"]
    assert datetime.fromisoformat(waba["connected_at"]) == START + timedelta(hours=2)
    assert {datetime.fromisoformat(proof["first_at"]) for proof in waba["evidence"]} == {START + timedelta(hours=2)}
    assert waba["counts"]["last_24h"]["received"] == 1
    changes = (await (await client.get("/webhook/health/history", headers=bearer(ACME))).json())["changes"]
    assert START not in {datetime.fromisoformat(change["since"]) for change in changes}


async def test_a_rebuild_from_the_whole_log_finds_nobody_who_was_forgotten(
    pool: asyncpg.Pool, publisher: Publisher, eventually: Eventually
) -> None:
    events = [*life_of(ITS_ACCOUNT, ACME), *THEIRS, *FORGOTTEN, *life_of(ITS_ACCOUNT, ACME, 2)]
    async with projecting(pool):
        # In two parts, or what is after the line could be folded first.
        await folded(pool, await publisher.publish(events[:-10]))
        await folded(pool, await publisher.publish(events[-10:]))
        live = await rows(pool)
        for projection in (projector.PROJECTION, history.PROJECTION):
            await rebuild(load(RebuildSettings), projection, print)
        assert await rows(pool) == {**live, "counted_messages": (await rows(pool))["counted_messages"]}
    folded_tables = ("waba_health", "webhook_health", "message_counts", "message_failures", "messaging_errors",
        "organisation_counts", "organisation_failures", "organisation_errors",
        "counted_messages", "webhook_arrivals", "health_history",
        "projection_offsets", "erasures")  # fmt: skip
    everything = f"TRUNCATE {', '.join(folded_tables)}"
    await pool.execute(everything)
    async with projecting(pool, times=2):
        ends = await publisher.publish([fact(WebhookSeen, "1", day="2026-01-01", field="messages")])
        await folded(pool, ends)

        async def same() -> bool:
            now = await rows(pool)
            now["waba_health"] = [row for row in now["waba_health"] if row in live["waba_health"]]
            now["webhook_arrivals"] = live["webhook_arrivals"] = []
            return now == {**live, "counted_messages": now["counted_messages"]}

        await eventually(same)


async def test_an_organisation_keeps_its_history_without_the_account_that_was_forgotten(
    pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(pool):
        both = [*life_of(ITS_ACCOUNT, ACME), *life_of(NEIGHBOUR, ACME, 0.1)]
        await folded(pool, await publisher.publish(both))
        await folded(pool, await publisher.publish([line(AccountForgotten, ITS_ACCOUNT, LINE)]))
        assert await rows_with(pool, [ITS_ACCOUNT]) == {}
        assert "public.webhook_health" in await rows_with(pool, [ACME])
        reasons = await pool.fetch("SELECT reasons FROM health_history WHERE org_id = $1", ACME)
        assert [[one["waba_id"] for one in row["reasons"]] for row in reasons] == [[NEIGHBOUR], [NEIGHBOUR, NEIGHBOUR]]


async def test_nobody_is_told_of_the_health_of_who_was_forgotten(
    topics: KafkaSettings, publisher: Publisher, serve: Serve, events_in: EventsIn, eventually: Eventually
) -> None:
    await serve(create_app(load(HealthProjectorSettings)))

    def now() -> float:
        return (datetime.now(UTC) - START) / timedelta(hours=1)

    await publisher.publish([fact(AccountConnected, ITS_ACCOUNT, now(), org_id=ACME)])
    await publisher.publish([fact(AccountConnected, NEIGHBOUR, now(), org_id="neighbours")])

    def told_of(org_id: str) -> Callable[[], Awaitable[int]]:
        async def count() -> int:
            return len([event for event in await events_in(HEALTH) if event.org_id == org_id])

        return count

    await eventually(told_of(ACME))
    at = datetime.now(UTC)
    await publisher.publish([line(AccountForgotten, ITS_ACCOUNT, at), line(OrganisationForgotten, ACME, at)])
    before = await told_of(ACME)()
    neighbours = await told_of("neighbours")()
    await publisher.publish([fact(AccountDisconnected, NEIGHBOUR, now(), org_id="neighbours", reason="r")])

    async def another() -> bool:
        return await told_of("neighbours")() > neighbours

    await eventually(another)
    assert await told_of(ACME)() == before
