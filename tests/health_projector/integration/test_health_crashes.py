"""Projectors killed with SIGKILL, around any statement and at random moments: the rows are as if none were."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from dying import dying_worker
from wabus_events import AccountConnected, Event, MessageReceived, TemplateStatusChanged, fact_id
from wabus_health_projector.worker import projector
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.rebuild import RebuildSettings, rebuild
from wabus_runtime.settings import DatabaseSettings, KafkaSettings, load
from waiting import Eventually

pytestmark = pytest.mark.long

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)

WORKER = """
from dataclasses import replace
from wabus_health_projector.worker.projector import PROJECTION
from wabus_runtime.postgres.database import open_pool
from wabus_runtime.projection.engine import project
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings, load

async def main():
    pool = await open_pool(load(DatabaseSettings))
    in_small_batches = replace(PROJECTION, max_batch=50)
    await project(load(IdentitySettings), pool, in_small_batches, lambda: None, session_timeout_ms=6_000)

asyncio.run(main())
"""
POINTS = [
    ("INSERT INTO projection_offsets", "after", 1),
    ("UPDATE projection_offsets", "before", 2),
    ("FROM waba_health WHERE waba_id = ANY($1) ORDER BY waba_id FOR UPDATE", "after", 1),
    ("UPDATE waba_health", "after", 1),
    ("INSERT INTO counted_messages", "after", 2),
    ("INSERT INTO message_counts", "after", 2),
    ("UPDATE projection_offsets", "after", 2),
    ("COMMIT", "before", 2),
    ("COMMIT", "after", 2),
]
"""Statements, and whether the worker is killed before or after PostgreSQL has answered the nth one of its life."""


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
            async with dying_worker(WORKER, *point) as process, asyncio.timeout(200):
                assert await process.wait() == -9
        for number in range(len(POINTS), len(POINTS) + 3):
            await publish(number)
            before = await progress(pool)

            async def moved(before: int = before) -> bool:
                return await progress(pool) > before

            async with dying_worker(WORKER, "", "", 0):
                await eventually(moved)
                await asyncio.sleep(chance.uniform(0, 0.2))
        async with dying_worker(WORKER, "", "", 0):
            assert await wait_for(pool, projector.NAME, ends, 300)
        await publisher.stop()
        rounds = len(POINTS) + 3
        assert await pool.fetchval("SELECT sum(count)::int FROM message_counts") == 300 * rounds
        assert await pool.fetchval("SELECT count(*) FROM waba_health WHERE org_id IS NOT NULL") == 10
        said: list[str] = []
        await rebuild(load(RebuildSettings), projector.PROJECTION, said.append)
        assert len([line for line in said if line.endswith("are the same")]) == len(projector.PROJECTION.tables)


async def progress(pool: asyncpg.Pool) -> int:
    return await pool.fetchval("SELECT coalesce(sum(next_offset), 0)::int FROM projection_offsets")
