"""Replays: the fold of a projection over the same log once more, alone, up to given offsets, into tables of its own.

Rows and offsets are written in one transaction, as the projection itself does; a replay that was stopped goes on where
it was. It belongs to no consumer group and sets nothing aside: what the projection could not fold is skipped here too.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import uuid4

import asyncpg
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import ERASURES

from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, stop_consumer, topic_name
from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.postgres.database import DATABASE_AWAY, Connection
from wabus_runtime.postgres.offsets import Offsets, offsets
from wabus_runtime.projection.claims import claim, move
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.recorded import Apply, Recorded, readable_event
from wabus_runtime.settings import IdentitySettings, KafkaSettings

STALLED_AFTER = 60.0  # seconds without a record

log = structlog.get_logger()


async def forget_first(settings: IdentitySettings, pool: asyncpg.Pool, projection: Projection) -> None:
    """Let a projection take in all lines that there are before it folds anything: then it folds nothing in vain.

    A line that comes when facts of after it are in the rows already can not tell the first of these from older ones.
    Raises `KafkaUnavailable`, a database error, and `LostPartition` where another process does the same.
    """
    await replay(settings, pool, projection, await end_positions(settings, ERASURES))


async def replay(
    settings: IdentitySettings,
    pool: asyncpg.Pool,
    projection: Projection,
    until: Offsets,
    progress: Callable[[Offsets], None] = lambda _: None,
) -> None:
    """Fold records from the offsets in the pool's `projection_offsets` until exactly the offsets given.

    Who was forgotten comes before all else, or much would be folded in vain, and some of it told as older than it is.
    Raises `KafkaUnavailable`, a database error, and `LostPartition` when another replay writes to the same tables.
    """
    apply = projection.applying(settings)
    lines = {place: end for place, end in until.items() if place[0] == ERASURES.name}
    for part in (lines, until):
        await _replay(settings, pool, projection, apply, part, progress)


async def _replay(
    settings: KafkaSettings,
    pool: asyncpg.Pool,
    projection: Projection,
    apply: Apply,
    until: Offsets,
    progress: Callable[[Offsets], None],
) -> None:
    name, owner = projection.name, uuid4()
    found = await offsets(pool, name)
    behind = [place for place, end in until.items() if found.get(place, 0) < end]
    if not behind:
        return
    position = await claim(pool, name, owner, behind)
    places = {TopicPartition(topic_name(settings, topic), number): (topic, number) for topic, number in behind}
    consumer = new_consumer(settings, start="earliest")
    try:
        await consumer.start()
        consumer.assign(list(places))
        for at, place in places.items():
            consumer.seek(at, position[place])
        clock = asyncio.get_running_loop().time
        moved_at = clock()
        while places:
            fetched = await consumer.getmany(timeout_ms=500, max_records=projection.max_batch)
            reached = {place: min(await consumer.position(at), until[place]) for at, place in places.items()}
            moved = {place: end for place, end in reached.items() if end > position[place]}
            if not moved:
                if clock() - moved_at > STALLED_AFTER:
                    raise KafkaUnavailable("the log ends before the offsets that the live tables have reached")
                continue
            records = [
                recorded
                for at, batch in sorted(fetched.items())
                for record in batch
                if position[places[at]] <= record.offset < reached[places[at]]
                if (recorded := readable_event(record, places[at][0])) is not None
            ]
            async with pool.acquire() as connection, connection.transaction():
                await move(connection, name, owner, position, moved)
                await _apply(connection, apply, records)
            position.update(moved)
            moved_at = clock()
            progress(position)
            for at in [at for at, place in places.items() if position[place] >= until[place]]:
                del places[at]
                consumer.pause(at)
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await stop_consumer(consumer)


async def _apply(connection: Connection, apply: Apply, records: Sequence[Recorded]) -> None:
    """Apply all, or all but those that are refused on their own."""
    try:
        async with connection.transaction():
            await (await apply(records))(connection)
        return
    except (TimeoutError, *DATABASE_AWAY):
        raise
    except Exception as error:
        log.warning("a batch was refused", action="batch_refused", error=type(error).__name__)
    for recorded in records:
        try:
            async with connection.transaction():
                await (await apply([recorded]))(connection)
        except (TimeoutError, *DATABASE_AWAY):
            raise
        except Exception as error:
            place = {"topic": recorded.topic, "partition": recorded.partition, "offset": recorded.offset}
            log.warning("a record was refused", action="record_refused", error=type(error).__name__, **place)
