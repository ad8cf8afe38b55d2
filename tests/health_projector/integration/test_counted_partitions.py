"""Counting each message once over partitions that come and go, beside workers and releases that do the same."""

import asyncio
import random
from collections import Counter as Multiset
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from wabus_events import MESSAGES, MessageReceived, fact_id
from wabus_health_projector.health.traffic import EARLY_MOST, LATE_MOST, counted_on, identity, remembered_from
from wabus_health_projector.tables.counts import Counter
from wabus_health_projector.worker import partitions, projector
from wabus_health_projector.worker.lag import Lag
from wabus_health_projector.worker.projector import COUNTED
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import migrate, migrated_pool, open_pool
from wabus_runtime.postgres.day_partitions import days, make_days
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings, load
from waiting import Eventually

NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture
async def pool(environment: dict[str, str]) -> AsyncIterator[asyncpg.Pool]:
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        yield pool


@asynccontextmanager
async def running(endless: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    task = asyncio.create_task(endless)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def delivery(number: int, happened: datetime, logged: datetime | None = None, partition: int = 0) -> Recorded:
    """A delivery of the message with this number."""
    event = MessageReceived(
        id=fact_id(MessageReceived.type, str(number)),
        time=happened,
        waba_id="1",
        phone_number_id="9",
        wamid=str(number),
        contact="c",
        message_type="text",
        value={},
    )
    return Recorded(event, MESSAGES.name, partition, 0, logged or happened)


async def count(pool: asyncpg.Pool, records: Sequence[Recorded], counter: Counter | None = None) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await (counter or Counter()).counting(records)(connection)


async def counted(pool: asyncpg.Pool) -> int:
    return await pool.fetchval("SELECT coalesce(sum(count), 0)::int FROM message_counts")


async def remembered_apart(pool: asyncpg.Pool) -> int:
    """Ids that have no partition of their day."""
    return await pool.fetchval("SELECT count(*) FROM counted_messages_default")


async def test_deliveries_in_any_order_and_batches_count_as_the_plain_reference_has_it(pool: asyncpg.Pool) -> None:
    dice = random.Random(5)
    happened = {number: NOW - timedelta(hours=dice.uniform(-60, 700)) for number in range(150)}
    times = [*sorted(NOW - timedelta(hours=dice.uniform(0, 720)) for _ in range(900)), NOW]
    log = [delivery(number := dice.choice(list(happened)), happened[number], at) for at in times]
    counter, position, apart = Counter(), 0, 0
    while position < len(log):
        size = dice.choice([1, 7, 60])
        await count(pool, log[position : position + size], counter)
        position += size
        apart = max(apart, await remembered_apart(pool))
        if position < len(log):
            assert await partitions.forget(pool, remembered_from(log[position].logged_at))
            await make_days(pool, COUNTED, log[position].logged_at.date() - DAY, log[position].logged_at.date() + DAY)
    rows = await pool.fetch("SELECT hour, count FROM message_counts")
    assert {row["hour"]: row["count"] for row in rows} == hours_of(log)
    assert apart


def hours_of(log: Iterable[Recorded]) -> dict[datetime, int]:
    """The hours of all messages, each once, that were logged within nine days, and are not older than what is kept."""
    first: dict[str, datetime] = {}
    for record in log:
        days_late = (record.logged_at.date() - record.event.time.date()).days
        if -1 <= days_late <= 9:
            first.setdefault(record.event.id, min(record.event.time, record.logged_at))
    hours = (
        at.replace(minute=0, second=0, microsecond=0)
        for at in first.values()
        if at.date() >= TODAY - timedelta(days=28)
    )
    return dict(Multiset(hours))


async def test_a_message_logged_again_on_another_day_counts_once(pool: asyncpg.Pool) -> None:
    late = delivery(1, NOW - 8 * DAY, NOW - 8 * DAY)
    for logged in (NOW - 8 * DAY, NOW - DAY, NOW):
        await count(pool, [delivery(1, late.event.time, logged)])
    assert await counted(pool) == 1
    assert await remembered_apart(pool) == 0


async def test_a_day_without_a_partition_loses_nothing_and_is_forgotten_as_a_whole(pool: asyncpg.Pool) -> None:
    old = NOW - 20 * DAY
    for _ in range(2):
        await count(pool, [delivery(1, old), delivery(2, old + DAY)])
    assert (await counted(pool), await remembered_apart(pool)) == (2, 2)
    assert await make_days(pool, COUNTED, old.date(), old.date())
    async with pool.acquire() as connection:
        assert old.date() not in await days(connection, COUNTED)
    assert await partitions.forget(pool, old.date() + DAY)
    assert await remembered_apart(pool) == 2
    assert await partitions.forget(pool, old.date() + 2 * DAY)
    assert await remembered_apart(pool) == 0


async def test_partitions_are_made_ahead_and_dropped_behind(pool: asyncpg.Pool) -> None:
    await count(pool, [delivery(1, NOW - 9 * DAY), delivery(2, NOW)])
    assert await make_days(pool, COUNTED, TODAY - DAY, TODAY + 6 * DAY)
    assert await partitions.forget(pool, TODAY)
    async with pool.acquire() as connection:
        assert await days(connection, COUNTED) == [TODAY + number * DAY for number in range(7)]
    assert await pool.fetchval("SELECT count(*) FROM counted_messages") == 1


async def test_workers_that_keep_partitions_at_once_disturb_neither_each_other_nor_the_counting(
    pool: asyncpg.Pool,
) -> None:
    async def keep(number: int) -> None:
        for round_ in range(6):
            await make_days(pool, COUNTED, TODAY - 10 * DAY, TODAY + (3 + round_ + number % 2) * DAY)
            await partitions.forget(pool, TODAY - (10 - round_) * DAY)

    async def deliver(partition: int) -> None:
        counter = Counter()
        for round_ in range(20):
            numbers = range(100 * partition, 100 * partition + 5 * round_)
            await count(
                pool, [delivery(number, NOW - (number % 4) * DAY, NOW, partition) for number in numbers], counter
            )

    await asyncio.gather(*(keep(number) for number in range(3)), *(deliver(partition) for partition in range(3)))
    assert await counted(pool) == 3 * 95


async def test_dropping_waits_for_nobody_long_and_is_done_later(pool: asyncpg.Pool) -> None:
    await count(pool, [delivery(1, NOW - 9 * DAY), delivery(2, NOW)])
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetch("SELECT FROM counted_messages")
        forgetting = asyncio.create_task(partitions.forget(pool, TODAY - 8 * DAY))
        async with asyncio.timeout(10):
            await count(pool, [delivery(3, NOW)])
            assert not await forgetting
    assert await counted(pool) == 3
    assert await partitions.forget(pool, TODAY - 8 * DAY)
    assert await pool.fetchval("SELECT count(*) FROM counted_messages") == 2


async def test_nothing_is_forgotten_before_all_that_kafka_has_was_counted(
    topics: KafkaSettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    eventually: Eventually,
) -> None:
    lag = Lag(topics)
    await publisher.publish([delivery(1, NOW).event])
    await make_days(pool, COUNTED, TODAY - 14 * DAY, TODAY)

    async def first_day() -> date:
        async with pool.acquire() as connection:
            return (await days(connection, COUNTED))[0]

    async def a_look_is_over() -> bool:
        async with pool.acquire() as connection:
            return TODAY + projector.DAYS_AHEAD in await days(connection, COUNTED)

    async def measured() -> bool:
        return lag.of({}, datetime.now(UTC)) is not None

    async def forgotten() -> bool:
        return await first_day() >= TODAY - 10 * DAY

    async with running(lag.run(lambda: None)):
        await eventually(measured)
        async with running(partitions.run(pool, lag, lambda: None, look_every=0.05, look_again=0.05)):
            for _ in range(2):
                await pool.execute(f"DROP TABLE counted_messages_{TODAY + projector.DAYS_AHEAD:%Y%m%d}")
                await eventually(a_look_is_over)
            assert await first_day() == TODAY - 14 * DAY
            async with running(projector.run(load(IdentitySettings), pool, lambda: None)):
                await eventually(forgotten)


async def test_a_replay_from_long_ago_gets_partitions_for_its_days(
    topics: KafkaSettings,
    pool: asyncpg.Pool,
    publisher: Publisher,
    eventually: Eventually,
) -> None:
    lag = Lag(topics)
    await publisher.publish([delivery(number, NOW).event for number in range(3)])

    async def of_all_days_that_kafka_has() -> bool:
        async with pool.acquire() as connection:
            return await days(connection, COUNTED) == [TODAY + number * DAY for number in range(-28, 4)]

    keeping = partitions.run(pool, lag, lambda: None, replaying=1, look_again=0.05)
    async with running(lag.run(lambda: None)), running(keeping):
        await eventually(of_all_days_that_kafka_has)


async def earlier_release_counts(pool: asyncpg.Pool, numbers: Iterable[int], logged: datetime) -> int:
    """How many of these messages a release before `counted_messages` would count now: its own statement."""
    ids = [identity(delivery(number, logged).event) for number in numbers]
    rows = await pool.fetch(
        """
        INSERT INTO counted_events (event_id, partition, day)
        SELECT event_id, $2, $3 FROM unnest($1::uuid[]) AS new(event_id) ORDER BY event_id
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id
        """,
        ids,
        0,
        logged.date(),
    )
    return len(rows)


async def test_releases_that_change_places_count_nothing_twice(pool: asyncpg.Pool) -> None:
    assert await earlier_release_counts(pool, range(10), NOW - DAY) == 10
    await count(pool, [delivery(number, NOW - DAY, NOW) for number in range(20)])
    assert await counted(pool) == 10
    assert await earlier_release_counts(pool, range(30), NOW) == 10
    await count(pool, [delivery(number, NOW - DAY, NOW) for number in range(40)])
    assert await counted(pool) == 20


async def test_what_an_earlier_release_counted_is_forgotten_when_it_can_no_longer_come(pool: asyncpg.Pool) -> None:
    await earlier_release_counts(pool, [1], NOW)
    happened = NOW + EARLY_MOST
    last = next(NOW + number * DAY for number in range(30, 0, -1) if counted_on(happened, NOW + number * DAY))
    assert last.date() == happened.date() + LATE_MOST
    await partitions.forget(pool, remembered_from(last + DAY))
    assert await pool.fetchval("SELECT count(*) FROM counted_events") == 1
    await partitions.forget(pool, remembered_from(last + 2 * DAY))
    assert await pool.fetchval("SELECT count(*) FROM counted_events") == 0


async def test_a_rebuild_has_partitions_of_its_own(pool: asyncpg.Pool) -> None:
    settings = load(DatabaseSettings)
    await pool.execute("CREATE SCHEMA rebuild_test")
    await migrate(settings, "wabus_health_projector", "rebuild_test")
    beside = await open_pool(settings, "rebuild_test")
    try:
        assert await make_days(beside, COUNTED, TODAY - 29 * DAY, TODAY)
        await count(beside, [delivery(1, NOW - 25 * DAY)])
        assert (await remembered_apart(beside), await counted(beside), await counted(pool)) == (0, 1, 0)
        async with pool.acquire() as connection:
            assert TODAY - 25 * DAY not in await days(connection, COUNTED)
    finally:
        beside.terminate()
