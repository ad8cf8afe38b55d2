"""Tells subscriptions what is in the log already: those that were paused, and those that ask for what was before.

One at a time in each process, in turns, so that none waits for another that is slow or far behind. When one was told
all that the others were, it is told at once from then on; until then nothing waits for it but what comes from here, so
that its events come in their order.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.observe.liveness import watched
from wabus_runtime.outbox.outbox import Outbox, entries_of
from wabus_runtime.outbox.rows import enqueue
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Apply, Recorded, readable_event, unprepared
from wabus_runtime.settings import KafkaSettings

from wabus_subscriptions.settings import SubscriptionsWorkerSettings
from wabus_subscriptions.tables import catching_up as table
from wabus_subscriptions.tables import deliveries, subscriptions
from wabus_subscriptions.tables.catching_up import CatchUp
from wabus_subscriptions.telling import positions
from wabus_subscriptions.telling.types import TOLD, wants
from wabus_subscriptions.worker.receivers import projection

LOOK_EVERY = 0.5  # seconds between two looks for what has to be told again
LEASE = timedelta(seconds=60)  # for one batch; then another process may go on
BATCH = 500  # records in one transaction
ROOM = 1_000  # events that wait for one receiver until it is told more of the log
AGAIN_AT_ONCE = 10
TURN = 10.0  # seconds for which one is told more, if others wait too
READ_TIMEOUT = 3.0  # seconds for one record
STALLED_AFTER = 30.0  # seconds without a record that there must be

log = structlog.get_logger()


async def run(
    settings: SubscriptionsWorkerSettings, pool: asyncpg.Pool, told: Outbox, ready: Callable[[], None]
) -> None:
    """Let those catch up who are behind, for ever, as one of any number of processes."""
    with watched("subscriptions catching up", LEASE.total_seconds() * 2) as beat:
        ready()
        while True:
            beat()
            busy = await _tell_again(settings, pool, told)
            owner = uuid4()
            if taken := await table.take(pool, owner, LEASE):
                busy = True
                try:
                    await _CatchingUp(settings, pool, told, taken, owner, beat).run()
                finally:
                    await table.leave(pool, taken, owner, timedelta(seconds=LOOK_EVERY))
            if not busy:
                await asyncio.sleep(LOOK_EVERY * random.uniform(0.8, 1))  # noqa: S311


class _CatchingUp:
    """One subscription, for as long as we are the one who lets it catch up."""

    def __init__(
        self,
        settings: SubscriptionsWorkerSettings,
        pool: asyncpg.Pool,
        told: Outbox,
        taken: CatchUp,
        owner: Any,
        beat: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._taken = taken
        self._owner = owner
        self._beat = beat
        self._position = dict(taken.position)
        self._apply = _applying(settings, told, taken.subscription_id)

    async def run(self) -> None:
        """Go on until it was told everything, has no room or had its turn, is another's, or there is none any more."""
        if not await self._has_room() or not await self._others_are_told():
            return
        consumer = new_consumer(self._settings, start="earliest")
        try:
            await consumer.start()
            await self._set_start(consumer)
            while await self._move():
                until = await subscriptions.folded(self._pool)
                places = positions.behind(self._position, until)
                if places:
                    if not await self._read(consumer, places, until):
                        return
                    continue
                async with self._pool.acquire() as connection, connection.transaction():
                    if await table.end(connection, self._taken, self._owner, self._position):
                        return
        except KafkaError as error:
            raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
        finally:
            await stop_consumer(consumer)

    async def _set_start(self, consumer: AIOKafkaConsumer) -> None:
        """Work out where to begin, where that was not done yet."""
        since = self._taken.since
        if since is None:
            return
        until = await subscriptions.folded(self._pool)
        at = {_stored(self._settings, place): place for place in until}
        moment = max(int(since.timestamp() * 1000), 0)
        found = await consumer.offsets_for_times(dict.fromkeys(at, moment)) if at else {}
        begin = {place: found[stored].offset if found.get(stored) else until[place] for stored, place in at.items()}
        self._position = positions.lowest(self._position, begin)

    async def _move(self) -> bool:
        return await table.move(self._pool, self._taken, self._owner, self._position, LEASE)

    async def _others_are_told(self) -> bool:
        """Whether it is known how far active ones were told: not before a worker has begun for the first time."""
        return {topic for topic, _ in await subscriptions.folded(self._pool)} >= {topic.name for topic in TOLD}

    async def _has_room(self) -> bool:
        """Whether its receiver has taken enough of what waits for it to be told more."""
        return await subscriptions.waiting(self._pool, self._taken.subscription_id, ROOM) < ROOM

    async def _read(self, consumer: AIOKafkaConsumer, places: positions.Positions, until: positions.Positions) -> bool:
        """Let wait what these places have until then. Whether to go on: not without room, or after its turn."""
        at = {_stored(self._settings, place): place for place in places}
        consumer.assign(list(at))
        for stored, place in at.items():
            consumer.seek(stored, places[place])
        clock = asyncio.get_running_loop().time
        begun_at = moved_at = clock()
        while at:
            self._beat()
            fetched = await poll(consumer, timeout_ms=500, max_records=BATCH)
            reached = {place: min(await consumer.position(stored), until[place]) for stored, place in at.items()}
            if all(end <= self._position.get(place, 0) for place, end in reached.items()):
                if clock() - moved_at > STALLED_AFTER:
                    raise KafkaUnavailable("the log ends before the offsets that were folded")
                continue
            records = [
                recorded
                for stored, batch in fetched.items()
                for record in batch
                if record.offset < reached[at[stored]]
                if (recorded := readable_event(record, at[stored][0])) is not None
                if self._is_told(recorded)
            ]
            records.sort(key=lambda recorded: recorded.logged_at)
            position = {**self._position, **reached}
            async with self._pool.acquire() as connection, connection.transaction():
                if not await table.move(connection, self._taken, self._owner, position, LEASE):
                    return False
                await (await self._apply(records))(connection)
            self._position, moved_at = position, clock()
            for stored in [stored for stored, place in at.items() if position[place] >= until[place]]:
                del at[stored]
                consumer.pause(stored)
            if not await self._has_room() or clock() - begun_at > TURN:
                return False
        return True

    def _is_told(self, recorded: Recorded) -> bool:
        return not self._taken.org_id or recorded.event.org_id == self._taken.org_id


def _applying(settings: SubscriptionsWorkerSettings, told: Outbox, subscription_id: str) -> Apply:
    """What lets events wait for one subscription, as far as it wants them and nobody in them was forgotten since."""

    async def write(connection: Connection, records: Sequence[Recorded]) -> None:
        types = await connection.fetchval("SELECT types FROM subscriptions WHERE subscription_id = $1", subscription_id)
        wanted = [(record, [subscription_id]) for record in records if wants(types, record.event)]
        await enqueue(connection, told.name, entries_of(wanted))

    return replace(projection(told), folding=lambda: unprepared(write)).applying(settings)


async def _tell_again(settings: SubscriptionsWorkerSettings, pool: asyncpg.Pool, told: Outbox) -> bool:
    """Let wait what was asked for once more. Whether there was anything."""
    async with pool.acquire() as connection, connection.transaction():
        asked = await deliveries.asked_again(connection, AGAIN_AT_ONCE)
        if not asked:
            return False
        consumer = new_consumer(settings, start="earliest")
        try:
            await consumer.start()
            for row in asked:
                record = await _record_at(consumer, settings, row["topic"], row["partition"], row["log_offset"])
                recorded = readable_event(record, row["topic"]) if record is not None else None
                if recorded is not None and recorded.event.id == row["event_id"]:
                    write = await _applying(settings, told, row["subscription_id"])([recorded])
                    await write(connection)
                else:
                    log.info("what was asked for once more is in the log no more", action="not_told_again")
        except KafkaError as error:
            raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
        finally:
            await stop_consumer(consumer)
        await deliveries.answered_again(connection, [(row["subscription_id"], row["event_id"]) for row in asked])
    return True


async def _record_at(
    consumer: AIOKafkaConsumer, settings: KafkaSettings, topic: str, partition: int, offset: int
) -> ConsumerRecord[Any, Any] | None:
    """The record with this offset; None where it is not there any more. Raises `KafkaUnavailable`."""
    place = _stored(settings, (topic, partition))
    if not offset < (await consumer.end_offsets([place]))[place]:
        return None
    consumer.assign([place])
    consumer.seek(place, offset)
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            while not (fetched := await poll(consumer, timeout_ms=500, max_records=1)):
                if await consumer.position(place) > offset:
                    return None
    except TimeoutError:
        raise KafkaUnavailable("a record was not read in time") from None
    record = next(iter(fetched.values()))[0]
    return record if record.offset == offset else None


def _stored(settings: KafkaSettings, place: positions.Place) -> TopicPartition:
    return TopicPartition(topic_name(settings, place[0]), place[1])
