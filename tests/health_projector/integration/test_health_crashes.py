"""Projectors killed with SIGKILL, between any two steps and at random moments: the rows are as if none were."""

import asyncio
import random
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from wabus_events import AccountConnected, Event, MessageReceived, TemplateStatusChanged, fact_id
from wabus_health_projector.worker import projector, rebuild
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.settings import DatabaseSettings, KafkaSettings, load
from waiting import Eventually

pytestmark = pytest.mark.long

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)

WORKER = """
import asyncio, os, signal, sys
from wabus_health_projector.tables import counts, store
from wabus_health_projector.worker import projector
from wabus_runtime.projection import engine as projection
from wabus_runtime.postgres.database import open_pool
from wabus_runtime.settings import DatabaseSettings, KafkaSettings, load

projection.SESSION_TIMEOUT_MS = 6_000
projection.MAX_BATCH = 50
owner, name, moment, nth = sys.argv[1:]
calls = 0

def dying(step):
    async def wrapped(*arguments, **named):
        global calls
        calls += 1
        if moment == "before" and calls == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        result = await step(*arguments, **named)
        if moment == "after" and calls == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

owners = {"store": store, "counts": counts, "Projection": projection._Projection}
if owner in owners:
    setattr(owners[owner], name, dying(getattr(owners[owner], name)))

async def main():
    pool = await open_pool(load(DatabaseSettings))
    await projector.run(load(KafkaSettings), pool, lambda: None)

asyncio.run(main())
"""
POINTS = [
    ("Projection", "_claim", "after", 1),
    ("Projection", "_transaction", "before", 2),
    ("store", "locked_wabas", "after", 1),
    ("store", "save_wabas", "after", 1),
    ("store", "refresh_organisations", "after", 1),
    ("counts", "_remember", "after", 2),
    ("counts", "_add", "after", 2),
    ("Projection", "_transaction", "after", 2),
]


def fact(kind: type[Event], waba_id: str, second: int, **details: Any) -> Event:
    event_id = fact_id(kind.type, waba_id, second, str(details))
    time = START + timedelta(seconds=second)
    return kind.model_validate({"waba_id": waba_id, "id": event_id, "time": time, "value": {}, **details})


def round_of_events(number: int) -> list[Event]:
    """Connections, template changes and messages of ten accounts; a tenth of the messages comes twice."""
    about = {"template_id": "t", "name": "offer", "language": "en"}
    wabas = [
        event
        for waba in range(10)
        for event in (
            fact(AccountConnected, str(waba), number, org_id=f"org-{waba % 3}"),
            fact(TemplateStatusChanged, str(waba), number, event="PAUSED" if number % 2 else "APPROVED", **about),
        )
    ]
    sender = {"phone_number_id": "9", "message_type": "text"}
    messages = [
        fact(MessageReceived, str(each % 10), 5, wamid=f"{number}-{each}", contact=str(each % 40), **sender)
        for each in range(300)
    ]
    return wabas + messages + messages[::10]


@asynccontextmanager
async def worker(*point: str | int) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, *map(str, point), stderr=asyncio.subprocess.DEVNULL, cwd=Path.cwd()
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.timeout(900)
async def test_rows_are_the_same_whenever_projectors_are_killed(topics: KafkaSettings, eventually: Eventually) -> None:
    settings = load(DatabaseSettings)
    chance = random.Random(3)
    publisher = Publisher(topics, "/wabus/test")
    await publisher.start()
    ends: dict[tuple[str, int], int] = {}

    async def publish(number: int) -> None:
        for position in await publisher.publish(round_of_events(number)):
            place = position.topic, position.partition
            ends[place] = max(ends.get(place, 0), position.offset + 1)

    async with migrated_pool(settings, "wabus_health_projector") as pool:
        for number, point in enumerate(POINTS):
            await publish(number)
            async with worker(*point) as process, asyncio.timeout(200):
                assert await process.wait() == -9
        for number in range(len(POINTS), len(POINTS) + 3):
            await publish(number)
            before = await progress(pool)

            async def moved(before: int = before) -> bool:
                return await progress(pool) > before

            async with worker("nobody", "", "", 0):
                await eventually(moved)
                await asyncio.sleep(chance.uniform(0, 0.2))
        async with worker("nobody", "", "", 0):
            assert await wait_for(pool, projector.NAME, ends, 300)
        await publisher.stop()
        rounds = len(POINTS) + 3
        assert await pool.fetchval("SELECT sum(count)::int FROM message_counts") == 300 * rounds
        assert await pool.fetchval("SELECT count(*) FROM waba_health WHERE org_id IS NOT NULL") == 10
        said: list[str] = []
        await rebuild.rebuild(load(rebuild.RebuildSettings), rebuild.MODELS["health"], said.append)
        assert len([line for line in said if line.endswith("are the same")]) == len(rebuild.MODELS["health"].tables)


async def progress(pool: asyncpg.Pool) -> int:
    return await pool.fetchval("SELECT coalesce(sum(next_offset), 0)::int FROM projection_offsets")
