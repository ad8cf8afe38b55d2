"""The worker on real Kafka and PostgreSQL: from a record to its row, through restarts, forgetting and time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from click.testing import CliRunner
from standby import PROGRAMS
from thread_rows import clear, held
from threads import ANNA, ANNA_ID, BEN, NOW, ORG, WABA, echoed, received, recent, status
from wabus_conversations.app import create_app
from wabus_conversations.commands import retention
from wabus_conversations.settings import ConversationsSettings
from wabus_conversations.tables import months
from wabus_conversations.threads.facts import Account
from wabus_conversations.worker import projector, upkeep
from wabus_conversations.worker.keeping import Keeping
from wabus_events import (
    MESSAGES,
    AccountConnected,
    AccountDisconnected,
    ContactForgotten,
    Event,
    OrganisationForgotten,
    fact_id,
    identity_of,
)
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.projection.replay_over import replay_over
from wabus_runtime.settings import IdentitySettings, load
from waiting import Eventually

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]

DAY = 86_400.0


def connected(seconds: float = -DAY, org_id: str = ORG, waba: str = WABA) -> AccountConnected:
    when = NOW - timedelta(hours=1) + timedelta(seconds=seconds)
    identity = fact_id(AccountConnected.type, waba, org_id, str(when))
    return AccountConnected(id=identity, time=when, org_id=org_id, waba_id=waba)


def forgotten(value: str, seconds: float, key: bytes) -> ContactForgotten:
    identity = identity_of(key, ContactForgotten, value, ORG)
    when = NOW - timedelta(hours=1) + timedelta(seconds=seconds)
    return ContactForgotten(id=fact_id(ContactForgotten.type, identity, str(when)), time=when, identity=identity)


@pytest.fixture
def settings(environment: dict[str, str]) -> ConversationsSettings:
    return load(ConversationsSettings)


class World:
    """A worker, what is published, and the rows."""

    def __init__(self, pool: asyncpg.Pool, publisher: Publisher, serve: Serve, settings: ConversationsSettings) -> None:
        self.pool = pool
        self._publisher = publisher
        self._serve = serve
        self._settings = settings

    async def publish(self, *events: Event) -> None:
        await self._publisher.publish(events)

    async def start(self) -> TestClient[web.Request, web.Application]:
        return await self._serve(create_app(self._settings, "worker"))

    async def folded(self, events: int) -> bool:
        """Whether so many records of messages and erasures are folded in all."""
        reached = await offsets(self.pool, projector.NAME)
        return sum(reached.values()) >= events

    async def texts(self) -> list[str]:
        return [row[0] for row in await self.pool.fetch("SELECT text FROM messages WHERE text IS NOT NULL ORDER BY at")]


@pytest.fixture
async def world(pool: asyncpg.Pool, publisher: Publisher, serve: Serve, settings: ConversationsSettings) -> World:
    return World(pool, publisher, serve, settings)


async def test_a_message_is_in_its_thread_and_its_owner_s_alone(world: World, eventually: Eventually) -> None:
    await world.publish(
        connected(),
        recent(received("1", 1, ANNA, ANNA_ID, name="Anna")),
        recent(echoed("2", 2, None, ANNA_ID)),
        recent(status("2", "read", 3, ANNA, ANNA_ID)),
        recent(received("nobody's", 1, waba="not connected"), org_id="somebody"),
        recent(received("too early", -2 * DAY)),
    )
    await world.start()
    await eventually(lambda: world.folded(5))

    assert await world.texts() == ["1"]
    (conversation,) = await world.pool.fetch("SELECT * FROM conversations")
    assert (conversation["org_id"], conversation["name"], conversation["unread"]) == (ORG, "Anna", 0)
    assert await world.pool.fetchval("SELECT count(*) FROM messages") == 2


async def test_an_account_that_moves_takes_no_thread_along(world: World, eventually: Eventually) -> None:
    await world.publish(
        connected(),
        connected(100, org_id="rival"),
        AccountDisconnected(id="d", time=NOW - timedelta(minutes=50), org_id="rival", waba_id=WABA, reason="over"),
        recent(received("ours", 99)),
        recent(received("theirs", 101), org_id="rival"),
        recent(status("sent", "read", 120), org_id="rival"),
        recent(received("nobody's", 3_000), org_id="rival"),
    )
    await world.start()
    await eventually(lambda: world.folded(4))

    rows = await world.pool.fetch("SELECT org_id, wamid, conversation_id FROM messages ORDER BY at")
    assert [(row["org_id"], row["wamid"]) for row in rows] == [(ORG, "ours"), ("rival", "theirs"), ("rival", "sent")]
    assert rows[0]["conversation_id"] != rows[1]["conversation_id"]


async def test_what_comes_after_the_start_is_unread_and_what_came_before_is_not(
    world: World, eventually: Eventually
) -> None:
    await world.publish(connected(), recent(received("before", 1)))
    await world.start()
    await eventually(lambda: world.folded(1))
    await world.publish(recent(received("after", 2 * 3600)))
    await eventually(lambda: world.folded(2))

    assert await world.pool.fetchval("SELECT unread FROM conversations") == 1


async def test_who_connects_while_the_worker_runs_loses_no_message(world: World, eventually: Eventually) -> None:
    await world.start()
    await world.publish(connected(waba="new"))
    await world.publish(recent(received("1", 1, waba="new")))

    await eventually(lambda: world.folded(1))

    assert await world.texts() == ["1"]


async def test_two_workers_and_a_restart_give_the_rows_of_one_fold(world: World, eventually: Eventually) -> None:
    history = [
        event
        for person in range(20)
        for event in (
            recent(received(f"a{person}", person, str(person))),
            recent(received(f"b{person}", person + 1, str(person), f"US.{person}")),
            recent(received(f"c{person}", person + 2, None, f"US.{person}")),
            recent(status(f"d{person}", "read", person + 3, None, f"US.{person}")),
        )
    ]
    await world.publish(connected(), *history)
    first = await world.start()
    await eventually(lambda: world.folded(40))
    second = await world.start()
    await first.close()
    await world.publish(*history)
    await eventually(lambda: world.folded(2 * len(history)))
    await second.close()

    found = await held(world.pool)
    assert len(found["conversations"]) == 20
    assert len(found["messages"]) == 80
    assert len(found["people"]) == 40


async def test_who_is_forgotten_is_in_no_table_and_does_not_come_back(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    history = [
        connected(),
        recent(received("1", 1, ANNA, name="Anna")),
        recent(received("2", 2, ANNA, ANNA_ID)),
        recent(received("3", 3, None, ANNA_ID)),
        recent(echoed("4", 4, None, ANNA_ID)),
        recent(received("5", 5, BEN)),
        recent(received("6", 60, ANNA)),
    ]
    await world.publish(*history)
    worker = await world.start()
    await eventually(lambda: world.folded(6))
    persons = {row[0] for row in await world.pool.fetch("SELECT person_id FROM persons")}
    await world.publish(forgotten(ANNA, 10, settings.identity_bytes))
    await eventually(lambda: world.folded(7))
    after = await held(world.pool)

    assert await world.texts() == ["5", "6"]
    values = [row[0] for row in await world.pool.fetch("SELECT value FROM identifiers ORDER BY value")]
    assert values == sorted((ANNA, BEN))
    left = {row[0] for row in await world.pool.fetch("SELECT person_id FROM persons")}
    assert len(left) == 2
    assert len(left & persons) == 1, "who writes again is somebody new"
    await worker.close()
    # Everything once more, with late statuses: as in a rebuild.
    await world.pool.execute("UPDATE projection_offsets SET next_offset = 0")
    await world.publish(recent(status("4", "read", 90, None, ANNA_ID)), recent(status("1", "read", 91, ANNA)))
    await world.start()
    await eventually(lambda: world.folded(9))

    assert await held(world.pool) == after


async def test_a_rebuild_mends_rows_and_keeps_what_has_left_the_log(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    history = [recent(received("1", 1, ANNA, ANNA_ID)), recent(echoed("2", 2)), recent(status("2", "read", 3))]
    await world.publish(connected(), *history)
    await world.start()
    await eventually(lambda: world.folded(3))
    before = await held(world.pool)
    # Rows are damaged; and one is there that the log does not have any more.
    await world.pool.execute("DELETE FROM messages WHERE outgoing")
    await world.pool.execute("DELETE FROM message_places WHERE message_id NOT IN (SELECT message_id FROM messages)")
    await world.pool.execute("UPDATE conversations SET last_at = NULL, user_last_at = NULL")
    old = await world.pool.fetchrow("SELECT month, message_id FROM messages")
    assert old
    await world.pool.execute(
        """
        INSERT INTO message_places (message_id, month) VALUES ('00000000-0000-5000-8000-000000000000', $1)
        """,
        old["month"],
    )
    said: list[str] = []

    await replay_over(projector.TABLES, said.append)

    after = await held(world.pool)
    assert after["messages"] == before["messages"]
    assert after["conversations"] == before["conversations"]
    assert said[-1].startswith("done")
    assert await world.pool.fetchval("SELECT count(*) FROM message_places") == 3


async def test_a_rebuild_fills_empty_tables_where_no_worker_runs(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    history = [
        recent(received("1", 1, ANNA, name="Anna")),
        recent(received("2", 2, ANNA, ANNA_ID)),
        recent(echoed("3", 3, None, ANNA_ID)),
        recent(status("3", "read", 4, None, ANNA_ID)),
        recent(received("4", 5, BEN)),
    ]
    await world.publish(connected(), *history, forgotten(BEN, 10, settings.identity_bytes))
    worker = await world.start()
    await eventually(lambda: world.folded(6))
    before = await held(world.pool)
    await worker.close()
    await clear(world.pool)
    await world.pool.execute("TRUNCATE projection_offsets")
    said: list[str] = []

    await replay_over(projector.TABLES, said.append)

    assert await held(world.pool) == before
    assert await world.texts() == ["1", "2"]
    await world.start()
    await eventually(lambda: world.folded(6))
    assert await held(world.pool) == before, "and the workers, who begin at the beginning of the log, find it there"


@pytest.mark.long
async def test_messages_that_have_left_the_log_come_back_from_a_dump_and_who_was_forgotten_since_does_not(
    world: World,
    eventually: Eventually,
    settings: ConversationsSettings,
    topics: IdentitySettings,
    database_url: str,
    tmp_path: Path,
) -> None:
    await world.publish(
        connected(),
        recent(received("1", 1, ANNA, ANNA_ID, name="Anna")),
        recent(echoed("2", 2, None, ANNA_ID)),
        recent(received("3", 3, BEN)),
    )
    worker = await world.start()
    await eventually(lambda: world.folded(3))
    dump = str(tmp_path / "conversations.dump")
    await tool("pg_dump", "--format=custom", "--schema=conversations", f"--dbname={database_url}", f"--file={dump}")
    left_the_log = await offsets(world.pool, projector.NAME)
    await world.publish(
        recent(status("2", "read", 4, None, ANNA_ID)),
        recent(received("4", 5, None, ANNA_ID)),
        forgotten(BEN, 10, settings.identity_bytes),
    )
    await eventually(lambda: world.folded(6))
    before = await held(world.pool)
    assert await world.texts() == ["1", "4"]
    await worker.close()

    admin = AIOKafkaAdminClient(**client_options(topics))
    await admin.start()
    await admin.delete_records(
        {
            TopicPartition(topic_name(topics, topic), partition): RecordsToDelete(offset)
            for (topic, partition), offset in left_the_log.items()
            if topic == MESSAGES.name
        }
    )
    await admin.close()
    await world.pool.execute("DROP SCHEMA conversations CASCADE")
    # The runbook's, docs/operations.md, Restore.
    await tool("pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={database_url}", dump)
    await world.pool.expire_connections()
    assert await world.texts() == ["1", "3"]
    await world.start()
    await eventually(lambda: world.folded(6))

    async def as_before() -> bool:
        return await held(world.pool) == before

    assert await eventually(as_before)


async def tool(name: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(PROGRAMS / name, *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()


async def test_a_rebuild_that_was_stopped_goes_on_where_it_was(world: World, eventually: Eventually) -> None:
    await world.publish(connected(), *(recent(received(str(number), number)) for number in range(30)))
    stopped = asyncio.create_task(replay_over(projector.TABLES, lambda _: None))
    await eventually(lambda: _some_offset(world.pool, projector.REBUILDING))
    stopped.cancel()
    await asyncio.wait([stopped])

    await replay_over(projector.TABLES, lambda _: None)

    assert len(await world.texts()) == 30
    assert not await offsets(world.pool, projector.REBUILDING), "the next one begins at the beginning"


async def _some_offset(pool: asyncpg.Pool, name: str) -> bool:
    return bool(await offsets(pool, name))


async def test_a_tick_that_was_there_before_its_message_brings_nobody_back_who_was_forgotten(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    await world.publish(connected(), forgotten(ANNA_ID, 10, settings.identity_bytes))
    await world.start()
    await eventually(lambda: world.folded(1))
    await world.publish(recent(status("1", "read", 20, None, ANNA_ID)))
    await eventually(lambda: world.folded(2))
    assert await world.pool.fetchval("SELECT count(*) FROM messages") == 1, "of whom it is, nobody can know yet"

    await world.publish(recent(echoed("1", 5, None, ANNA_ID)))
    await eventually(lambda: world.folded(3))

    for table in ("conversations", "messages", "message_statuses"):
        assert await world.pool.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_what_is_past_its_retention_is_deleted_a_little_at_a_time(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    events = [recent(received(str(number), number, str(number % 4))) for number in range(12)]
    await world.publish(connected(), *events, recent(received("young", 5 * DAY, "0")))
    await world.start()
    await eventually(lambda: world.folded(13))

    keeping = Keeping(settings.identity_bytes, 3)
    await upkeep.look(world.pool, keeping, NOW + timedelta(days=4), lambda: None, at_once=3)

    assert await world.texts() == ["young"]
    conversation = await world.pool.fetchrow("SELECT * FROM conversations")
    assert conversation
    assert conversation["first_at"] == conversation["last_at"]
    assert await world.pool.fetchval("SELECT count(*) FROM persons") == 1
    assert await world.pool.fetchval("SELECT count(*) FROM message_places WHERE gone") == 12
    await upkeep.look(world.pool, keeping, NOW + timedelta(days=100), lambda: None, at_once=3)
    assert await world.pool.fetchval("SELECT count(*) FROM message_places WHERE gone") == 0


async def test_who_writes_in_groups_only_stays_somebody_for_as_long_as_that_is_kept(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    events = [
        recent(received("old, in a group", 1, "1", group="group")),
        recent(received("old", 2, "2")),
        recent(received("new, in a group", 5 * DAY, "1", group="group")),
        recent(received("new, in a group too", 5 * DAY, "3", "DE.3", group="group")),
    ]
    await world.publish(connected(), *events)
    await world.start()
    await eventually(lambda: world.folded(4))
    keeping = Keeping(settings.identity_bytes, 3)
    people = "SELECT DISTINCT value FROM identifiers JOIN persons USING (person_id) ORDER BY 1"

    await upkeep.look(world.pool, keeping, NOW + timedelta(days=4), lambda: None)
    assert [row[0] for row in await world.pool.fetch(people)] == ["1", "3", "DE.3"]

    await upkeep.look(world.pool, keeping, NOW + timedelta(days=9), lambda: None)
    assert [row[0] for row in await world.pool.fetch(people)] == []


async def test_an_organisation_keeps_its_messages_for_as_long_as_it_says(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    late = recent(received("late", 3, BEN))
    await world.publish(
        connected(),
        connected(org_id="other", waba="another"),
        recent(received("ours", 1)),
        recent(received("theirs", 2, waba="another"), org_id="other"),
    )
    await world.start()
    await eventually(lambda: world.folded(2))
    said = await asyncio.to_thread(CliRunner().invoke, retention, ["--org", ORG, "--days", "2"])
    assert said.output == f"{ORG}: 2 days\nall others: 30 days\n"

    keeping = Keeping(settings.identity_bytes, settings.conversations_retention_days)
    await upkeep.look(world.pool, keeping, NOW + timedelta(days=3), lambda: None)

    assert await world.texts() == ["theirs"]
    assert keeping.kept_from(Account(ORG, WABA, "number"), NOW + timedelta(days=3)) > late.time
    said = await asyncio.to_thread(CliRunner().invoke, retention, ["--org", ORG, "--default"])
    assert said.output == "all others: 30 days\n"


async def test_an_organisation_that_was_forgotten_is_in_no_table(
    world: World, eventually: Eventually, settings: ConversationsSettings
) -> None:
    await world.publish(connected(), recent(received("1", 1)), recent(received("2", 2, BEN)))
    await world.start()
    await eventually(lambda: world.folded(2))
    identity = identity_of(settings.identity_bytes, OrganisationForgotten, ORG)
    await world.publish(OrganisationForgotten(id="o", time=NOW, identity=identity))
    await eventually(lambda: world.folded(3))

    async def is_gone() -> bool:
        keeping = Keeping(settings.identity_bytes, 30)
        await upkeep.look(world.pool, keeping, NOW + timedelta(days=31), lambda: None)
        return not await world.pool.fetchval("SELECT count(*) FROM messages")

    await eventually(is_gone)
    for table in ("conversations", "persons", "identifiers", "message_statuses"):
        assert await world.pool.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_months_have_their_partitions_before_they_begin(pool: asyncpg.Pool) -> None:
    assert await months.make(pool, NOW.date(), (NOW + timedelta(days=70)).date())
    async with pool.acquire() as connection:
        found = await months.months(connection, "messages")

    assert found[0] == NOW.date().replace(day=1)
    assert len(found) >= 3
    assert await months.drop_empty(pool, found[-1])
    async with pool.acquire() as connection:
        assert await months.months(connection, "message_statuses") == found[-1:]


async def test_a_record_that_no_table_holds_stops_no_other(world: World, eventually: Eventually) -> None:
    lonely = received("\ud83d".encode("utf-8", "replace").decode(), 1, text={"body": "a\0b"})
    odd = received("2", 2, kind="x" * 300, contacts="no list", context=None)
    await world.publish(connected(), recent(lonely), recent(odd), recent(received("3", 3)))
    await world.start()
    await eventually(lambda: world.folded(3))

    assert await world.pool.fetchval("SELECT count(*) FROM messages") == 3
    assert await world.pool.fetchval("SELECT count(*) FROM messages WHERE altered") == 1
