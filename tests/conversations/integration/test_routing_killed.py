"""What gives conversations away, killed with SIGKILL around any statement: each is given once, to who has room."""

from collections import Counter

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from dying import dying_worker
from threads import received, recent
from wabus_conversations.worker.work import projector
from wabus_events import CONVERSATIONS
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually
from work_world import Desk

pytest_plugins = ["work_world"]
pytestmark = pytest.mark.long

WORKER = """
from wabus_conversations.settings import ConversationsFoldSettings
from wabus_conversations.worker.work.routing import Routing
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import open_pool
from wabus_runtime.settings import load

async def main():
    settings = load(ConversationsFoldSettings)
    publisher = Publisher(settings, "/wabus/test")
    await publisher.start()
    await Routing(await open_pool(settings), publisher).run(lambda: None)

asyncio.run(main())
"""
POINTS = [
    ("UPDATE work_settings AS taken", "after", 1),
    ("AS left_alone", "after", 1),
    ("UPDATE conversations AS c SET route_after", "before", 1),
    ("UPDATE conversations AS c SET route_after", "after", 1),
    ("projection_offsets", "before", 1),
    ("UPDATE work_settings SET leased_until = NULL", "before", 1),
    ("UPDATE work_settings SET leased_until = NULL", "after", 1),
]
"""Statements, and whether the worker is killed before or after PostgreSQL has answered the nth one of its life."""

AGENTS = ("anna", "ben")
CAPACITY, PEOPLE = 12, 3  # of an agent, and who writes in each round
TEAM = {
    "team_id": "orders",
    "name": "Orders",
    "capacity": CAPACITY,
    "members": [{"sub": sub} for sub in AGENTS],
}
RULE = {"name": "orders", "when": {"keywords": ["order"]}, "team": "orders", "strategy": "least_open"}


async def all_is_folded(desk: Desk, settings: KafkaSettings) -> None:
    """The lease of a worker that died is longer than folding what it has published takes."""
    consumer = AIOKafkaConsumer(**client_options(settings))
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            [TopicPartition(topic_name(settings, CONVERSATIONS), each) for each in range(CONVERSATIONS.partitions)]
        )
    finally:
        await consumer.stop()
    wanted = {(CONVERSATIONS.name, place.partition): end for place, end in ends.items() if end}
    assert await wait_for(desk.inbox.pool, projector.NAME, wanted, 60)


@pytest.mark.timeout(600)
async def test_each_conversation_is_given_once_whenever_workers_are_killed(
    desk: Desk, topics: KafkaSettings, eventually: Eventually
) -> None:
    pool = desk.inbox.pool
    await desk.call("PUT", "/teams", {"teams": [TEAM]}, role="admin")
    await desk.call("PUT", "/routing", {"rules": [RULE]}, role="admin")
    await pool.execute("UPDATE work_settings SET rules_since = now() - interval '2 days'")
    for sub in AGENTS:
        await pool.execute("INSERT INTO presence VALUES ('shop', $1, gen_random_uuid(), now() + interval '1 h')", sub)
    for number, point in enumerate(POINTS):
        events = [
            recent(received(f"{'order' if each else 'hello'} {number} {each}", number, f"1650555{number:02}{each:02}"))
            for each in range(PEOPLE + 1)
        ]
        await desk.inbox.fold(*events)
        async with dying_worker(WORKER, *point) as worker:
            assert await worker.wait() == -9, point
        await all_is_folded(desk, topics)
        await pool.execute("UPDATE work_settings SET leased_until = NULL, looked_at = NULL")

    async def shares() -> dict[str | None, int]:
        return dict(Counter([row[0] for row in await pool.fetch("SELECT agent FROM conversations")]))

    async def all_are_given() -> bool:
        found = await shares()
        return sum(found.get(sub, 0) for sub in AGENTS) == len(POINTS) * PEOPLE

    async with dying_worker(WORKER, "", "", 0):
        await eventually(all_are_given)
    found = await shares()
    assert found[None] == len(POINTS)  # of whom no rule says anything
    assert max(found[sub] for sub in AGENTS) <= CAPACITY
    assert abs(found["anna"] - found["ben"]) <= 1
    # Of whatever was published twice only the first counted.
    given = await pool.fetch(
        """
        SELECT conversation_id, count(*) FROM work_events WHERE outcome = 'done' AND conversation_id IS NOT NULL
        GROUP BY conversation_id
        """
    )
    assert {row["count"] for row in given} == {1}
