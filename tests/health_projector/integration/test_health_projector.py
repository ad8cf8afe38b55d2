"""The health-projector on real Kafka and PostgreSQL: events become rows, each counted once, and answers."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from health_rows import TABLES, reached, rows
from wabus_events import (
    MESSAGES,
    AccountConnected,
    AccountDisconnected,
    AccountUpdated,
    CallbackVerified,
    CallReported,
    Event,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessageStatusChanged,
    MessagingFailed,
    SendReturned,
    StandbyReceived,
    Template,
    TemplateChanged,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    Unrecognised,
    WebhookSeen,
    fact_id,
)
from wabus_events.testing import an
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_health_projector.tables.counts import Counter
from wabus_health_projector.worker import projector
from wabus_runtime.kafka.outcomes import Position
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import Connection, migrated_pool
from wabus_runtime.postgres.offsets import channel
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings, load
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


def fact(kind: type[Event], second: int = 0, waba_id: str = "1", **details: Any) -> Event:
    time = START + timedelta(seconds=second)
    event_id = fact_id(kind.type, waba_id, str(details), time.isoformat())
    return kind.model_validate({"waba_id": waba_id, "id": event_id, "time": time, "value": {}, **details})


def connected(waba_id: str = "1", org_id: str = "demo", second: int = 0) -> Event:
    return fact(AccountConnected, second, waba_id, org_id=org_id)


def synced(waba_id: str = "1", second: int = 2, total: int = 3) -> Event:
    counts = {"total": total, "approved": 2, "by_status": {"APPROVED": 2}, "added": 0, "changed": 0, "removed": 0}
    return fact(TemplatesSynced, second, waba_id, sync_id="s", reason="connected", started_at=START, **counts)


def received(number: int, waba_id: str = "1") -> Event:
    sender = {"phone_number_id": "9", "wamid": f"in-{number}", "contact": str(number % 20)}
    return fact(MessageReceived, 5, waba_id, message_type="text", **sender)


def status(number: int, name: str = "delivered", *codes: int) -> Event:
    about = {"phone_number_id": "9", "wamid": f"out-{number}", "contact": str(number % 20)}
    return fact(MessageStatusChanged, 6, status=name, error_codes=list(codes), **about)


def good(waba_id: str = "1", org_id: str = "demo") -> list[Event]:
    handshake = fact(CallbackVerified, 1, waba_id, callback_url="https://wabus.example")
    return [connected(waba_id, org_id), handshake, synced(waba_id)]


@pytest.fixture
async def pool(topics: KafkaSettings) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        yield pool


@asynccontextmanager
async def projecting(settings: KafkaSettings, pool: asyncpg.Pool) -> AsyncGenerator[None]:
    task = asyncio.create_task(projector.run(load(IdentitySettings), pool, lambda: None))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def counts(pool: asyncpg.Pool) -> dict[str, int]:
    return dict(await pool.fetch("SELECT kind, sum(count)::int FROM message_counts GROUP BY kind"))


async def test_what_is_published_is_the_answer(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    assert await reached(pool, await publisher.publish([*good(), received(1), status(2)]))
    answer = await client.get("/webhook/health", headers=bearer())
    health = await answer.json()
    assert (answer.status, health["status"], health["reasons"]) == (200, "healthy", [])
    assert (health["org_id"], health["waba_id"], health["webhook_verified"]) == ("demo", "1", True)
    assert (health["template_sync_status"], health["template_total"], health["template_approved"]) == ("synced", 3, 2)
    assert datetime.fromisoformat(health["last_sync_at"]) == START + timedelta(seconds=2)
    assert datetime.fromisoformat(health["last_webhook_at"]) > START + timedelta(hours=1)


@pytest.mark.parametrize("days", [2, 20])
async def test_a_webhook_of_just_now_does_not_look_days_old_because_its_message_is(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer, days: int
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    began = datetime.now(UTC) - timedelta(seconds=1)
    assert await reached(pool, await publisher.publish([*good(), received(1)]))
    late = received(2).model_copy(update={"time": START - timedelta(days=days)})
    assert await reached(pool, await publisher.publish([late]))
    health = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
    told = health["wabas"][0]["last_events"]
    assert datetime.fromisoformat(health["last_webhook_at"]) >= began
    assert datetime.fromisoformat(told["webhook_at"]) >= began
    assert datetime.fromisoformat(told["message_at"]) == START + timedelta(seconds=5)


async def test_an_organisation_that_never_connected_is_pending(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    assert await reached(pool, await publisher.publish(good()))
    for path in ("/webhook/health", "/webhook/health/detailed"):
        answer = await client.get(path, headers=bearer("someone-else"))
        health = await answer.json()
        assert (answer.status, health["status"], health["reasons"][0]["code"]) == (200, "pending", "not_connected")
        assert health["waba_id"] is None


async def test_without_a_token_nothing_is_told(serve: Serve, environment: dict[str, str]) -> None:
    client = await serve(create_app(load(HealthProjectorSettings), "api"))
    for path in ("/webhook/health", "/webhook/health/detailed"):
        assert (await client.get(path)).status == 401


async def test_a_caller_can_wait_for_the_outcome_of_its_sync(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    assert await reached(pool, await publisher.publish(good()))
    path, headers = "/webhook/health?sync_id=s&sync_id=mine", {**bearer(), "Prefer": "wait=20"}
    at_once = await (await client.get(path, headers=bearer())).json()
    waiting = asyncio.create_task(client.get(path, headers=headers))
    counts: dict[str, Any] = {"total": 7, "approved": 2, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    done = fact(TemplatesSynced, 9, sync_id="mine", reason="manual", started_at=START, **counts)
    await publisher.publish([done])
    answer = await waiting
    health = await answer.json()
    assert (at_once["awaiting"], at_once["template_total"]) == (["mine"], 3)
    assert (health["awaiting"], health["template_total"]) == ([], 7)
    assert answer.headers["Preference-Applied"] == "wait=20"


async def test_a_wait_for_a_sync_of_somebody_else_ends_in_time(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    assert await reached(pool, await publisher.publish(good()))
    headers = {**bearer("another"), "Prefer": "wait=1"}
    answer = await client.get("/webhook/health?sync_id=s", headers=headers)
    assert (answer.status, (await answer.json())["awaiting"]) == (200, ["s"])
    assert (await client.get("/webhook/health?sync_id=" + "x" * 201, headers=headers)).status == 422


async def test_a_number_that_meta_throttles_looks_healthy(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    minutes = (timedelta(hours=2) / timedelta(seconds=1)) - 600
    about: dict[str, Any] = {"phone_number_id": "9", "error_codes": [130429, 2**40]}
    throttled = [fact(MessagingFailed, int(minutes) + late, **about) for late in (60, 0, 60)]
    assert await reached(pool, await publisher.publish([*good(), *throttled]))
    health = await (await client.get("/webhook/health", headers=bearer())).json()
    [reason] = health["reasons"]
    assert (health["status"], reason["code"]) == ("degraded", "sending_refused")
    assert "130429" in reason["message"]
    assert datetime.fromisoformat(reason["since"]) == throttled[1].time


async def test_a_number_for_which_nothing_can_be_sent_looks_healthy_while_its_queue_grows(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    minutes = (timedelta(hours=2) / timedelta(seconds=1)) - 600
    about: dict[str, Any] = {"phone_number_id": "9", "org_id": "demo", "send_id": "s", "attempt": 1, "retry_at": START}
    returned = fact(SendReturned, int(minutes), reason="account_stop", error_code=131042, **about)
    busy = fact(SendReturned, int(minutes) + 60, reason="busy_number", error_code=130429, **about)
    assert await reached(pool, await publisher.publish([*good(), returned, busy]))
    health = await (await client.get("/webhook/health", headers=bearer())).json()
    [reason] = health["reasons"]
    assert (health["status"], reason["code"]) == ("failing", "payment_problem")
    assert datetime.fromisoformat(reason["since"]) == returned.time


async def test_what_others_got_or_wrote_is_not_counted_and_an_account_that_left_before_the_upgrade_has_left(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    number: dict[str, Any] = {"phone_number_id": "9", "waba_id": "1", "time": START + timedelta(seconds=20)}
    elsewhere = [an(kind, **number) for kind in (StandbyReceived, MessageEchoed, MessageImported, CallReported)]
    assert await reached(pool, await publisher.publish([*good(), received(1), *elsewhere]))
    began = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
    assert began["status"] == "healthy"
    assert await counts(pool) == {"received": 1}
    assert datetime.fromisoformat(began["wabas"][0]["last_events"]["message_at"]) == START + timedelta(seconds=5)
    before = datetime.fromisoformat(began["last_webhook_at"])

    value = {"reason": "USER_INITIATED", "timestamp": int((START + timedelta(seconds=30)).timestamp())}
    left = fact(Unrecognised, 30, field="account_offboarded", reason="no model for this field").model_copy(
        update={"value": value}
    )
    assert await reached(pool, await publisher.publish([left]))
    health = await (await client.get("/webhook/health", headers=bearer())).json()
    assert [reason["code"] for reason in health["reasons"]] == ["account_offboarded"]
    assert "comes back by itself" in health["reasons"][0]["remedy"]
    assert datetime.fromisoformat(health["last_webhook_at"]) > before

    back = fact(AccountUpdated, 40, event="ACCOUNT_RECONNECTED")
    assert await reached(pool, await publisher.publish([back]))
    health = await (await client.get("/webhook/health", headers=bearer())).json()
    assert (health["status"], health["reasons"]) == ("healthy", [])


async def test_the_detailed_answer_says_what_is_behind_the_verdict(
    topics: KafkaSettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    serve: Serve,
    bearer: Bearer,
    eventually: Eventually,
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    paused = Template(template_id="t", name="offer", language="en", category="MARKETING", status="PAUSED")
    fine = paused.model_copy(update={"template_id": "u", "status": "APPROVED"})
    failure: dict[str, Any] = {"code": "rate_limited", "message": "Meta asks us to slow down.", "retryable": True}
    events = [
        *good(),
        fact(TemplateChanged, 3, template=paused.model_dump(), added=True),
        fact(TemplateChanged, 3, template=fine.model_dump(), added=True),
        fact(TemplateSyncFailed, 4, sync_id="x", reason="manual", started_at=START, **failure),
        fact(WebhookSeen, 5, day=START.date(), field="messages"),
        *(received(number) for number in range(3)),
        status(1, "failed", 131026),
    ]
    assert await reached(pool, await publisher.publish(events))

    async def fresh() -> dict[str, Any] | None:
        health = await (await client.get("/webhook/health/detailed", headers=bearer())).json()
        return health if health["lag"] and health["lag"]["records"] == 0 else None

    health: Any = await eventually(fresh)
    waba = health["wabas"][0]
    assert health["status"] == waba["status"] == "degraded"
    assert [reason["code"] for reason in waba["reasons"]] == ["template_paused", "sync_failing"]
    assert waba["counts"]["last_24h"] == {"received": 3, "sent": 0, "delivered": 0, "read": 0, "failed": 1}
    assert waba["counts_by_phone"]["9"]["last_30d"]["received"] == 3
    assert [proof["kind"] for proof in waba["evidence"]] == ["callback_handshake", "signed_webhook"]
    assert [template["template_id"] for template in waba["templates_needing_attention"]] == ["t"]
    assert [(error["kind"], error["code"]) for error in waba["recent_errors"]] == [
        ("message", "131026"),
        ("sync", "rate_limited"),
    ]
    assert (health["template_sync_status"], health["last_error"]) == ("failed", "Meta asks us to slow down.")


async def test_a_redelivered_message_is_counted_once(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    events = [*good(), *(received(number) for number in range(30)), *(status(number) for number in range(30))]
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish([*events, *events[:40]]))
        before = await rows(pool)
        assert await reached(pool, await publisher.publish(events))
    assert await counts(pool) == {"received": 30, "delivered": 30}
    assert await rows(pool) == before


async def test_a_replay_from_the_beginning_gives_byte_identical_rows(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    events = [
        *(event for waba in range(12) for event in good(str(waba), f"org-{waba % 5}")),
        fact(AccountDisconnected, 9, "3", org_id="org-3", reason="asked"),
        connected("4", "org-0", 8),
        fact(TemplateStatusChanged, 7, "2", template_id="t", name="offer", language="en", event="PAUSED"),
        *(received(number, str(number % 12)) for number in range(300)),
        *(status(number, "failed", 131026, 131049) for number in range(50)),
    ]
    random.Random(7).shuffle(events)
    positions = await publisher.publish([*events, *events[:100]])
    async with projecting(topics, pool):
        assert await reached(pool, positions)
    live = await rows(pool)
    await pool.execute(f"TRUNCATE {', '.join(TABLES)}, projection_offsets")
    async with projecting(topics, pool):
        assert await reached(pool, positions)
    assert await rows(pool) == live
    assert len(live["webhook_health"]) == 5
    assert len(live["counted_messages"]) == 350


async def test_a_waba_that_moves_to_another_organisation_leaves_the_first(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish(good(org_id="first")))
        assert await pool.fetchval("SELECT org_id FROM webhook_health") == "first"
        assert await reached(pool, await publisher.publish([connected(org_id="second", second=10)]))
    assert [tuple(row) for row in await pool.fetch("SELECT org_id, waba_id FROM webhook_health")] == [("second", "1")]


async def test_a_projector_stopped_at_random_moments_counts_nothing_twice(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    in_small_batches = replace(projector.PROJECTION, max_batch=200)
    chance = random.Random(11)
    wabas = [event for waba in range(10) for event in good(str(waba))]
    positions: list[Position] = []

    async def progress() -> int:
        return await pool.fetchval("SELECT coalesce(sum(next_offset), 0)::int FROM projection_offsets")

    written: asyncio.Queue[None] = asyncio.Queue()

    def tell(*_: object) -> None:
        written.put_nowait(None)

    unfinished = 0
    async with pool.acquire() as listening:
        await listening.add_listener(channel(projector.NAME), tell)
        for round_ in range(5):
            messages = [received(round_ * 2000 + number) for number in range(2000)]
            positions += await publisher.publish([*wabas, *messages])
            task = asyncio.create_task(project(load(IdentitySettings), pool, in_small_batches, lambda: None))
            for _ in range(chance.randint(1, 4)):  # of ten transactions and more
                await asyncio.wait_for(written.get(), 20)
            await asyncio.wait([task], timeout=chance.uniform(0, 0.005))
            task.cancel()
            await asyncio.wait([task])
            unfinished += await progress() < len(positions)
        await listening.remove_listener(channel(projector.NAME), tell)
    async with projecting(topics, pool):
        assert await reached(pool, positions)
    assert unfinished
    assert await counts(pool) == {"received": 10_000}
    assert await pool.fetchval("SELECT template_total FROM webhook_health") == 30


async def test_transactions_side_by_side_lose_no_update_and_never_deadlock(pool: asyncpg.Pool) -> None:
    logged_at = datetime.now(UTC)

    async def one(number: int) -> None:
        order = random.Random(number)
        counter = Counter()
        for round_ in range(10):
            wabas = order.sample(range(6), 6)
            batch = [
                Recorded(event, event.topic.name, number, round_, logged_at)
                for waba in wabas
                for event in (connected(str(waba)), synced(str(waba), second=number * 100 + round_, total=number))
            ]
            messages = [
                Recorded(
                    received((number * 10 + round_) * 50 + each, str(each % 6)), MESSAGES.name, number, 0, logged_at
                )
                for each in range(50)
            ]
            async with pool.acquire() as connection, connection.transaction():
                await projector.fold_wabas(connection, batch)
                await counter.counting(messages)(connection)

    await asyncio.gather(*(one(number) for number in range(4)))
    assert await pool.fetchval("SELECT template_total FROM webhook_health WHERE org_id = 'demo'") == 6 * 3
    assert await counts(pool) == {"received": 2000}


async def test_two_wabas_of_an_organisation_changed_at_once_are_both_summed_up(
    pool: asyncpg.Pool, eventually: Eventually
) -> None:
    async def change(connection: Connection, waba_id: str) -> None:
        events = (connected(waba_id), synced(waba_id, total=10))
        await projector.fold_wabas(connection, [Recorded(event, event.topic.name, 0, 0, START) for event in events])

    async def other() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await change(connection, "2")

    async def other_waits() -> bool:
        return await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1

    async with pool.acquire() as connection, connection.transaction():
        await change(connection, "1")
        task = asyncio.create_task(other())
        await eventually(other_waits)
    await task
    assert await pool.fetchval("SELECT template_total FROM webhook_health") == 20


async def test_counts_older_than_what_is_kept_are_forgotten(pool: asyncpg.Pool) -> None:
    counter = Counter()
    now = datetime.now(UTC)

    async def log(event: Event, at: datetime) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await counter.counting([Recorded(event, MESSAGES.name, 3, 0, at)])(connection)

    old = received(1).model_copy(update={"time": now - timedelta(days=35)})
    await log(old, old.time)
    assert await counts(pool) == {"received": 1}
    await log(received(2), now)
    await log(old.model_copy(update={"id": fact_id("another")}), now)
    assert await counts(pool) == {"received": 1}
    assert await pool.fetchval("SELECT min(last_at) > $1 FROM message_counts", now - timedelta(days=30))
