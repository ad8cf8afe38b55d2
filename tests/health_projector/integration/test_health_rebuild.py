"""Rebuilding the read model on real Kafka and PostgreSQL, while events arrive and people read."""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from health_rows import TABLES, reached, rows
from wabus_events import AccountConnected, CallbackVerified, Event, MessageReceived, TemplatesSynced, fact_id
from wabus_health_projector.app import HealthProjectorSettings, create_app
from wabus_health_projector.worker import projector
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import Position
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.rebuild import RebuildFailed, RebuildSettings, discard, rebuild
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings, load
from waiting import WAIT

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


def fact(kind: type[Event], waba_id: str, **details: Any) -> Event:
    event_id = fact_id(kind.type, waba_id, str(details))
    return kind.model_validate({"waba_id": waba_id, "id": event_id, "time": START, "value": {}, **details})


def good(waba_id: str, org_id: str) -> list[Event]:
    counts: dict[str, Any] = {"total": 3, "approved": 2, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    return [
        fact(AccountConnected, waba_id, org_id=org_id),
        fact(CallbackVerified, waba_id, callback_url="https://wabus.example"),
        fact(TemplatesSynced, waba_id, sync_id="s", reason="manual", started_at=START, **counts),
    ]


def messages(first: int, last: int) -> list[Event]:
    return [
        fact(MessageReceived, str(number % 7), phone_number_id="9", wamid=f"{number}", contact=f"{number % 50}",
             message_type="text")
        for number in range(first, last)
    ]  # fmt: skip


HISTORY = [event for waba in range(7) for event in good(str(waba), f"org-{waba % 3}")] + messages(0, 3000)


@pytest.fixture
async def pool(topics: KafkaSettings) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        yield pool


@asynccontextmanager
async def projecting(settings: KafkaSettings, pool: asyncpg.Pool) -> AsyncGenerator[None]:
    """The projector, started again whenever it fails, as the service does."""

    async def supervised() -> None:
        while True:
            try:
                await projector.run(load(IdentitySettings), pool, lambda: None)
            except Exception:
                await asyncio.sleep(0.1)

    task = asyncio.create_task(supervised())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def schemas(pool: asyncpg.Pool) -> list[str]:
    return [row[0] for row in await pool.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rebuild%'")]


async def run(
    say: Callable[[str], None] = print, projection: Projection = projector.PROJECTION, **options: Any
) -> None:
    await rebuild(load(RebuildSettings), projection, say, **options)


@pytest.mark.long
async def test_a_rebuild_under_load_changes_no_row_and_fails_no_reader(
    topics: KafkaSettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    serve: Serve,
    bearer: Bearer,
) -> None:
    client = await serve(create_app(load(HealthProjectorSettings)))
    positions = await publisher.publish(HISTORY)
    assert await reached(pool, positions)
    statuses: list[int] = []
    totals: list[int] = []
    over = False

    async def read() -> None:
        while not over:
            answer = await client.get("/webhook/health/detailed", headers=bearer("org-1"))
            statuses.append(answer.status)
            health = await answer.json()
            totals.append(sum(waba["counts"]["last_24h"]["received"] for waba in health["wabas"]))

    async def write() -> None:
        number = 3000
        while not over:
            stored: list[Position] = []
            while (
                not stored
            ):  # late, on a busy machine, it may be there all the same: the same ids once more count once
                with suppress(KafkaUnavailable):
                    stored = await publisher.publish(messages(number, number + 20))
                await asyncio.sleep(0.02)
            positions.extend(stored)
            number += 20

    before = await pool.fetchval("SELECT 'webhook_health'::regclass::oid")
    busy = [asyncio.create_task(read()), asyncio.create_task(write())]
    said: list[str] = []
    await run(said.append, near=100)
    await asyncio.sleep(0.5)
    over = True
    await asyncio.gather(*busy)
    assert await reached(pool, positions)
    assert await pool.fetchval("SELECT 'webhook_health'::regclass::oid") != before
    assert await pool.fetchval("SELECT sum(count)::int FROM message_counts") == len(positions) - 21
    assert set(statuses) == {200}
    assert totals == sorted(totals)
    assert await schemas(pool) == []
    assert any(line.startswith("replayed 100 %") for line in said)
    assert f"swapped: {', '.join(TABLES)}" in said


async def test_a_rebuild_that_was_stopped_goes_on_where_it_was(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    step_by_step: dict[str, Any] = {
        "projection": replace(projector.PROJECTION, max_batch=200), "near": 0, "say_every": 0
    }  # fmt: skip
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish(HISTORY))
        live = await rows(pool)
        said: list[str] = []

        def stop(line: str) -> None:
            said.append(line)
            if len(said) == 4:
                task.cancel()

        task = asyncio.create_task(run(stop, **step_by_step))
        await asyncio.wait([task])
        assert task.cancelled()
        assert await schemas(pool) == ["rebuild_health_projector"]
        assert await rows(pool) == live
        again: list[str] = []
        await run(again.append, **step_by_step)
    assert again[0] == "going on with the rebuild that was stopped"
    percents = [int(line.split()[1]) for line in [*said, *again] if line.startswith("replayed")]
    assert percents == sorted(percents)
    assert await rows(pool) == live


async def test_rows_that_differ_are_named_and_replaced_only_on_purpose(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish(HISTORY))
    live = await rows(pool)
    await pool.execute("UPDATE webhook_health SET template_total = 99 WHERE org_id = 'org-1'")
    await pool.execute("DELETE FROM waba_health WHERE waba_id = '4'")
    said: list[str] = []
    with pytest.raises(RebuildFailed):
        await run(said.append)
    assert {"  differs: (org-1)", "  only new: (4)"} <= set(said)
    assert await pool.fetchval("SELECT template_total FROM webhook_health WHERE org_id = 'org-1'") == 99
    await run(accept_differences=True)
    assert await rows(pool) == live


async def test_what_an_earlier_release_has_counted_is_no_difference_and_counts_no_second_time(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish(HISTORY))
    ids = [row[0] for row in await pool.fetch("DELETE FROM counted_messages RETURNING event_id")]
    await pool.execute(
        "INSERT INTO counted_events SELECT event_id, 0, $2 FROM unnest($1::uuid[]) AS old(event_id)",
        ids,
        datetime.now(UTC).date(),
    )
    async with projecting(topics, pool):
        await run()
        assert await pool.fetchval("SELECT count(*) FROM counted_messages") == 3000
        partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'counted_messages'::regclass"
        assert await pool.fetchval(partitions) > 30
        assert await reached(pool, await publisher.publish(HISTORY))
    assert await pool.fetchval("SELECT sum(count)::int FROM message_counts") == 3000


async def test_only_one_rebuild_runs_and_its_remains_can_be_thrown_away(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish(HISTORY[:30]))
    said: asyncio.Queue[str] = asyncio.Queue()
    async with pool.acquire() as reader, reader.transaction():
        await reader.execute("LOCK TABLE webhook_health IN ACCESS SHARE MODE")
        first = asyncio.create_task(run(said.put_nowait))
        while "swapping has to wait" not in await asyncio.wait_for(said.get(), WAIT):
            pass
        with pytest.raises(RebuildFailed, match="another rebuild"):
            await run()
    await first
    await pool.execute("UPDATE webhook_health SET template_total = 99")
    with pytest.raises(RebuildFailed):
        await run()
    assert await schemas(pool) == ["rebuild_health_projector"]
    await discard(load(RebuildSettings), projector.PROJECTION)
    assert await schemas(pool) == []


@pytest.mark.long
async def test_the_command_killed_at_any_moment_leaves_the_live_rows_and_finishes_later(
    topics: KafkaSettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        assert await reached(pool, await publisher.publish(HISTORY))
        live = await rows(pool)
        command = [sys.executable, "-c", "from wabus_cli.main import main; main()", "rebuild", "health"]
        for delay in (1.0, 1.5, 2.0):
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
            await asyncio.sleep(delay)
            if process.returncode is None:
                process.kill()
            await process.wait()
            assert await rows(pool) == live
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        assert (process.returncode, b"swapped" in said) == (0, True)
    assert await rows(pool) == live
