"""Workers killed with SIGKILL around any statement, another folding the same people: the rows are as if none was."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import count

import asyncpg
import pytest
from dying import dying_worker
from thread_rows import clear, held
from threads import NOW, ORG, WABA, echoed, identity, received, recent, status
from wabus_conversations.worker import projector
from wabus_events import AccountConnected, ContactForgotten, Event, fact_id, identity_of
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.replay_over import replay_over
from wabus_runtime.settings import IdentitySettings

pytestmark = pytest.mark.long

PEOPLE = 12  # in a round; each turns up in partitions of two keys

WORKER = """
from dataclasses import replace
from wabus_conversations.settings import ConversationsFoldSettings
from wabus_conversations.worker.keeping import Keeping
from wabus_conversations.worker.projector import NAME, declared
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import open_pool
from wabus_runtime.projection.engine import project
from wabus_runtime.settings import load

async def main():
    settings = load(ConversationsFoldSettings)
    pool = await open_pool(settings)
    directory = Directory(settings)
    following = asyncio.create_task(directory.run(lambda: None))
    keeping = Keeping(settings.identity_bytes, settings.conversations_retention_days)
    projection = await declared(NAME, settings, pool, directory, keeping)
    in_small_batches = replace(projection, max_batch=25)
    await project(settings, pool, in_small_batches, lambda: None, session_timeout_ms=6_000)

asyncio.run(main())
"""
POINTS = [
    ("INSERT INTO projection_offsets", "after", 1),
    ("pg_advisory_xact_lock", "after", 2),
    ("INSERT INTO message_places", "after", 1),
    ("INSERT INTO identifiers", "after", 2),
    ("UPDATE identifiers SET cluster", "after", 1),
    ("UPDATE messages SET conversation_id", "after", 1),
    ("message_statuses", "after", 1),
    ("INSERT INTO conversations", "before", 2),
    ("COMMIT", "before", 2),
    ("COMMIT", "after", 2),
]
"""Statements, and whether the worker is killed before or after PostgreSQL has answered the nth one of its life."""


FIRST_STRANGERS = 20 + len(POINTS)  # the round


def round_of_events(number: int, chance: random.Random) -> list[Event]:
    """People who write with a number, with a user id too, and with that alone, in any order; some of it comes twice."""
    found: list[Event] = []
    for each in range(PEOPLE):
        who, when = f"{number % 3 if number < FIRST_STRANGERS else number}{each}", number * 50
        wa_id, user_id = f"1650555{who}", f"US.{who}"
        found += [
            received(f"a{number}-{who}", when, wa_id),
            received(f"b{number}-{who}", when + 1, wa_id, user_id, name=f"Person {number}"),
            received(f"c{number}-{who}", when + 2, None, user_id),
            echoed(f"d{number}-{who}", when + 3, None, user_id),
            *(status(f"d{number}-{who}", word, when + 4, wa_id, user_id) for word in ("sent", "delivered", "read")),
        ]
        if each % 4 == 0:
            found.append(identity(when + 5, (wa_id, user_id), (f"1650777{who}", f"US.9{who}")))
            found.append(received(f"e{number}-{who}", when + 6, None, f"US.9{who}"))
    found += chance.choices(found, k=10)
    chance.shuffle(found)
    return [recent(event) for event in found]


def forgotten(value: str, number: int, key: bytes) -> Event:
    named, when = identity_of(key, ContactForgotten, value, ORG), recent(received("-", number * 50 + 40)).time
    return ContactForgotten(id=fact_id(ContactForgotten.type, named), time=when, identity=named)


@pytest.mark.timeout(900)
async def test_rows_are_the_same_whenever_workers_are_killed(topics: IdentitySettings, pool: asyncpg.Pool) -> None:
    chance = random.Random(5)
    publisher = Publisher(topics, "/wabus/test")
    await publisher.start()
    ends: dict[tuple[str, int], int] = {}

    async def publish(events: Sequence[Event]) -> None:
        for position in await publisher.publish(events):
            place = position.topic, position.partition
            if place[0] != "accounts.v1":
                ends[place] = max(ends.get(place, 0), position.offset + 1)

    connected = AccountConnected(id="connected", time=NOW - timedelta(days=1), org_id=ORG, waba_id=WABA)
    await publish([connected])
    for number, point in enumerate(POINTS):
        await publish(round_of_events(number, chance))
        async with dying_worker(WORKER, *point) as process, dying_worker(WORKER, "", "", 0), asyncio.timeout(200):
            # Alone where the other one has all partitions; together they meet the same people. Strangers come until the
            # one that is to die has met some: on a busy machine the other has written all before it has a partition.
            dead = asyncio.create_task(process.wait())
            for more in count(number + 20, len(POINTS)):
                await publish(round_of_events(more, chance))
                if (await asyncio.wait([dead], timeout=10))[0]:
                    break
            assert await dead == -9, point
    await publish([forgotten("16505551", 40, topics.identity_bytes), forgotten("US.13", 40, topics.identity_bytes)])
    await publisher.stop()

    async with dying_worker(WORKER, "", "", 0), dying_worker(WORKER, "", "", 0):
        assert await wait_for(pool, projector.NAME, ends, 300)
    found = await held(pool)
    assert len(found["messages"]) > 500
    await clear(pool)
    await replay_over(projector.TABLES, lambda _: None)
    again = await held(pool)
    assert again == found
