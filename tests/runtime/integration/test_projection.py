"""Projections on real Kafka and PostgreSQL: each record counts once, whatever is killed or repeated."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from structlog.testing import capture_logs
from wabus_cli.dead_letters import read_letters
from wabus_events import DEADLETTER, MESSAGES, Event, MessageReceived, Record, encode, fact_id
from wabus_events.models.topics import MAX_RECORD_BYTES
from wabus_runtime.kafka.clients import client_options, partition_of, topic_name
from wabus_runtime.kafka.outcomes import Position, RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.transactions import Fenced, TransactionalPublisher
from wabus_runtime.postgres.database import Connection, listening, migrate, open_pool
from wabus_runtime.postgres.offsets import channel, wait_for
from wabus_runtime.projection.claims import LostPartition
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Recorded, unprepared
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, load
from waiting import WAIT, Eventually

NAME = "counter"


def message(number: int, contact: str = "9") -> MessageReceived:
    return MessageReceived(
        id=fact_id(MessageReceived.type, str(number)),
        time=datetime(2026, 1, 1, tzinfo=UTC),
        waba_id="7",
        phone_number_id="8",
        wamid=str(number),
        contact=contact,
        message_type="text",
        value={},
    )


async def count(connection: Connection, records: Sequence[Recorded]) -> None:
    await connection.executemany(
        "INSERT INTO counted VALUES ($1, 1) ON CONFLICT (wamid) DO UPDATE SET times = counted.times + 1",
        [(recorded.event.wamid,) for recorded in records if isinstance(recorded.event, MessageReceived)],
    )


@pytest.fixture
async def pool(topics: IdentitySettings) -> AsyncIterator[asyncpg.Pool]:
    settings = load(DatabaseSettings)
    pool = await open_pool(settings)
    await migrate(settings, "wabus_runtime")
    await pool.execute("CREATE TABLE counted (wamid text PRIMARY KEY, times int)")
    yield pool
    await pool.close()


@asynccontextmanager
async def projecting(
    settings: IdentitySettings,
    pool: asyncpg.Pool,
    apply: Callable[[Connection, Sequence[Recorded]], Awaitable[None]] = count,
) -> AsyncGenerator["asyncio.Task[None]"]:
    ready = asyncio.Event()
    projection = Projection(NAME, [MESSAGES], lambda: unprepared(apply), "wabus_runtime")
    task = asyncio.create_task(project(settings, pool, projection, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], timeout=WAIT, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def after(positions: Sequence[Position]) -> dict[tuple[str, int], int]:
    reached: dict[tuple[str, int], int] = {}
    for position in positions:
        place = position.topic, position.partition
        reached[place] = max(reached.get(place, 0), position.offset + 1)
    return reached


async def test_a_reader_can_wait_for_what_it_wrote(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        positions = await publisher.publish([message(number, str(number)) for number in range(100)])
        assert await wait_for(pool, NAME, after(positions), WAIT)
        assert await pool.fetchval("SELECT count(*) FROM counted WHERE times = 1") == 100


async def test_a_wait_for_what_never_comes_ends(topics: IdentitySettings, pool: asyncpg.Pool) -> None:
    assert not await wait_for(pool, NAME, {("messages.v1", 0): 1_000}, 0.1)


@pytest.mark.long
async def test_a_projection_killed_again_and_again_counts_each_record_once(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    positions: list[Position] = []
    for round_ in range(4):
        positions += await publisher.publish([message(round_ * 200 + number, str(number)) for number in range(200)])
        async with projecting(topics, pool):
            first = positions[round_ * 200]
            await wait_for(pool, NAME, {(first.topic, first.partition): first.offset + 1}, 10)
    async with projecting(topics, pool):
        assert await wait_for(pool, NAME, after(positions), WAIT)
    assert await pool.fetchval("SELECT count(*) FROM counted") == 800
    assert await pool.fetchval("SELECT max(times) FROM counted") == 1


async def test_a_zombie_that_lost_its_partitions_can_write_nothing(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, eventually: Eventually
) -> None:
    async with projecting(topics, pool) as zombie:
        await pool.execute("UPDATE projection_offsets SET owner = gen_random_uuid()")
        await publisher.publish([message(1)])
        done, _ = await asyncio.wait([zombie], timeout=10)
        assert done
        assert isinstance(zombie.exception(), LostPartition)
    assert await pool.fetchval("SELECT count(*) FROM counted") == 0
    async with projecting(topics, pool):

        async def counted() -> object:
            return await pool.fetchval("SELECT count(*) FROM counted")

        assert await eventually(counted) == 1


async def test_two_instances_share_the_partitions_and_count_once(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    async with projecting(topics, pool):
        positions = await publisher.publish([message(number, str(number)) for number in range(200)])
        async with projecting(topics, pool):
            positions += await publisher.publish([message(200 + number, str(number)) for number in range(200)])
            assert await wait_for(pool, NAME, after(positions), WAIT)
    assert await pool.fetchval("SELECT count(*) FROM counted WHERE times = 1") == 400


async def test_a_record_that_cannot_be_folded_is_set_aside_and_the_rest_goes_on(
    topics: IdentitySettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    events_in: Callable[..., Awaitable[list[Event]]],
) -> None:
    async def refuse_the_third(connection: Connection, records: Sequence[Recorded]) -> None:
        await count(connection, records)
        if any(isinstance(recorded.event, MessageReceived) and recorded.event.wamid == "3" for recorded in records):
            raise ZeroDivisionError

    broken = Record(MESSAGES.name, b"8:9", b"no json", encode(message(99), "/wabus/test").headers)
    positions = await publisher.publish([message(number) for number in range(1, 6)])
    positions += await publisher.publish_records([broken])
    positions += await publisher.publish([message(6)])
    async with projecting(topics, pool, refuse_the_third):
        assert await wait_for(pool, NAME, after(positions), WAIT)
    rows = await pool.fetch("SELECT wamid FROM counted ORDER BY wamid")
    assert [row["wamid"] for row in rows] == ["1", "2", "4", "5", "6"]
    letters = await dead_letters(topics)
    assert sorted(letters) == [("UndecodableRecord", b"no json"), ("ZeroDivisionError", encode(message(3), "").value)]


async def test_what_comes_while_a_batch_is_written_waits_for_no_other_batch(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher, eventually: Eventually
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    batches: list[list[str]] = []

    async def apply(_: Connection, records: Sequence[Recorded]) -> None:
        batches.append([each.event.wamid for each in records if isinstance(each.event, MessageReceived)])
        begun.set()
        await may_end.wait()

    with capture_logs() as logs:

        async def skipped() -> int:
            return sum(each.get("action") == "event_skipped" for each in logs)

        async def publish(number: int) -> None:
            """Publish a message, and behind it what nobody knows: that this is skipped shows that both were read."""
            before = await skipped()
            await publisher.publish([message(number)])
            known = encode(message(number), "/test")
            headers = [(name, b"wabus.Unheard.v1" if name == "ce_type" else value) for name, value in known.headers]
            await publisher.publish_records([replace(known, headers=headers)])

            async def is_read() -> bool:
                return await skipped() > before

            assert await eventually(is_read)

        async with projecting(topics, pool, apply):
            await publisher.publish([message(1)])
            await asyncio.wait_for(begun.wait(), WAIT)
            await publish(2)
            await publish(3)
            may_end.set()

            async def written() -> list[list[str]] | None:
                return batches if len(batches) > 1 else None

            assert await eventually(written) == [["1"], ["2", "3"]]


async def test_who_waits_for_rows_is_woken_when_they_are_there(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    woken = asyncio.Event()
    async with listening(pool, channel(NAME), lambda *_: woken.set()), projecting(topics, pool):
        woken.clear()
        await publisher.publish([message(1)])
        await asyncio.wait_for(woken.wait(), WAIT)
        assert await pool.fetchval("SELECT count(*) FROM counted") == 1


async def test_headers_without_a_value_are_set_aside_listed_and_no_poison(
    topics: IdentitySettings, pool: asyncpg.Pool, publisher: Publisher
) -> None:
    nothing: Any = None
    headers = [(name, nothing if name == "ce_id" else value) for name, value in encode(message(99), "").headers]
    nameless = Record(MESSAGES.name, b"8:9", b"{}", [*headers, ("ce_traceparent", nothing)])
    positions = await publisher.publish([message(1)])
    positions += await publisher.publish_records([nameless])
    positions += await publisher.publish([message(2)])
    async with projecting(topics, pool):
        assert await wait_for(pool, NAME, after(positions), WAIT)
    assert await pool.fetchval("SELECT array_agg(wamid ORDER BY wamid) FROM counted") == ["1", "2"]
    (letter,) = await read_letters(topics)
    assert letter.about["reason"] == "UndecodableRecord"
    assert letter.record == replace(nameless, headers=[(name, value or b"") for name, value in nameless.headers])


async def dead_letters(settings: IdentitySettings) -> list[tuple[str, bytes | None]]:
    consumer = AIOKafkaConsumer(
        topic_name(settings, DEADLETTER), **client_options(settings), auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        letters: list[tuple[str, bytes | None]] = []
        while len(letters) < 2:
            record = await asyncio.wait_for(consumer.getone(), WAIT)
            letters.append((dict(record.headers)["wabus_dead_reason"].decode(), record.value))
        return letters
    finally:
        await consumer.stop()


async def test_the_newest_holder_of_a_transactional_id_fences_the_others(topics: IdentitySettings) -> None:
    old, new = (TransactionalPublisher(topics, "/wabus/test", "one") for _ in range(2))
    await old.start()
    await new.start()
    with pytest.raises(Fenced):
        await old.publish([message(1)])
    assert len(await new.publish([message(2), message(3)])) == 2
    await old.stop()
    await new.stop()


async def test_a_publisher_that_is_cancelled_while_it_connects_leaves_no_client_open(topics: IdentitySettings) -> None:
    left: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(context))
    starting = asyncio.create_task(TransactionalPublisher(topics, "/wabus/test", "cancelled").start())
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    del starting
    gc.collect()
    assert left == []


async def test_positions_are_where_kafka_has_the_records(topics: IdentitySettings, publisher: Publisher) -> None:
    batches = await asyncio.gather(
        *(publisher.publish([message(n, str(n % 7)), message(1000 + n, str(n % 5))]) for n in range(100))
    )
    positions = [position for batch in batches for position in batch]
    assert len(set(positions)) == 200
    assert {position.partition for position in positions} == {
        partition_of(f"8:{contact}".encode(), MESSAGES.partitions) for contact in range(7)
    }


async def test_a_transaction_of_many_batches_says_where_each_record_is(topics: IdentitySettings) -> None:
    publisher = TransactionalPublisher(topics, "/wabus/test", "many")
    await publisher.start()
    lone = Record(MESSAGES.name, b"8:3", b"x" * 2 * 1024 * 1024, [])  # more than a batch takes
    sent = [encode(message(number, str(number % 3)), "/wabus/test") for number in range(1_500)]
    sent = [replace(one, value=one.value + b" " * 3_000) for one in sent if one.value]
    sent.insert(700, lone)

    positions = await publisher.publish(sent)
    await publisher.stop()

    places = [TopicPartition(topic_name(topics, MESSAGES), number) for number in range(MESSAGES.partitions)]
    consumer = AIOKafkaConsumer(**client_options(topics), isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        stored: dict[tuple[int, int], Any] = {}
        async with asyncio.timeout(30):
            while len(stored) < len(sent):
                for place, records in (await consumer.getmany(timeout_ms=500)).items():
                    stored |= {(place.partition, one.offset): one.value for one in records}
    finally:
        await consumer.stop()
    assert [stored[one.partition, one.offset] for one in positions] == [one.value for one in sent]


async def test_a_record_that_kafka_would_refuse_leaves_nothing_of_its_transaction(topics: IdentitySettings) -> None:
    publisher = TransactionalPublisher(topics, "/wabus/test", "huge")
    await publisher.start()
    huge = Record(MESSAGES.name, b"8:3", b"x" * MAX_RECORD_BYTES, [])

    with pytest.raises(RecordRefused, match="MessageSizeTooLarge"):
        await publisher.publish([message(1), huge])

    positions = await publisher.publish([message(2)])
    await publisher.stop()
    assert len(positions) == 1
