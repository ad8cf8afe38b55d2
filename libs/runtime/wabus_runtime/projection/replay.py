"""Replays: the fold of a projection over the same log once more, alone, up to given offsets, into tables of its own.

Rows and offsets are written in one transaction, as the projection itself does; a replay that was stopped goes on where
it was. It belongs to no consumer group and sets nothing aside: what the projection could not fold is skipped here too.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import Topic, UndecodableRecord

from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, stop_consumer, topic_name
from wabus_runtime.postgres.database import DATABASE_AWAY, Connection
from wabus_runtime.postgres.offsets import Offsets, offsets
from wabus_runtime.projection.engine import LostPartition
from wabus_runtime.projection.recorded import Apply, Recorded, recorded_event
from wabus_runtime.settings import KafkaSettings

REPLAY_BATCH = 2_000  # records in one transaction
STALLED_AFTER = 60.0  # seconds without a record

log = structlog.get_logger()


async def replay(
    settings: KafkaSettings,
    pool: asyncpg.Pool,
    *,
    name: str,
    topics: Sequence[Topic],
    apply: Apply,
    until: Offsets,
    progress: Callable[[Offsets], None] = lambda _: None,
) -> None:
    """Fold records from the offsets in the pool's `projection_offsets` until exactly the offsets given.

    Raises `KafkaUnavailable`, a database error, and `LostPartition` when another replay writes to the same tables.
    """
    by_name = {topic_name(settings, topic): topic.name for topic in topics}
    next_offsets = await offsets(pool, name)
    wanted = {
        TopicPartition(topic_name(settings, topic), partition): end
        for (topic, partition), end in until.items()
        if next_offsets.get((topic, partition), 0) < end
    }
    if not wanted:
        return
    position = {place: next_offsets.get((by_name[place.topic], place.partition), 0) for place in wanted}
    await _known(pool, name, position, by_name)
    consumer = new_consumer(settings, start="earliest")
    try:
        await consumer.start()
        consumer.assign(list(wanted))
        for place, offset in position.items():
            consumer.seek(place, offset)
        clock = asyncio.get_running_loop().time
        moved_at = clock()
        while wanted:
            fetched = await consumer.getmany(timeout_ms=500, max_records=REPLAY_BATCH)
            reached = {place: min(await consumer.position(place), end) for place, end in wanted.items()}
            moved = {place: end for place, end in reached.items() if end > position[place]}
            if not moved:
                if clock() - moved_at > STALLED_AFTER:
                    raise KafkaUnavailable("the log ends before the offsets that the live tables have reached")
                continue
            records = [
                recorded
                for place in sorted(moved.keys() & fetched.keys())
                for record in fetched[place]
                if position[place] <= record.offset < moved[place]
                if (recorded := _decoded(record, by_name[record.topic])) is not None
            ]
            moves = [(by_name[at.topic], at.partition, position[at], moved[at]) for at in sorted(moved)]
            await _write(pool, name, apply, records, moves)
            position.update(moved)
            moved_at = clock()
            progress({(by_name[place.topic], place.partition): offset for place, offset in position.items()})
            for place in [place for place, end in wanted.items() if position[place] >= end]:
                del wanted[place]
                consumer.pause(place)
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await stop_consumer(consumer)


async def _known(
    pool: asyncpg.Pool, name: str, position: Mapping[TopicPartition, int], by_name: Mapping[str, str]
) -> None:
    await pool.executemany(
        """
        INSERT INTO projection_offsets (projection, topic, partition, owner)
        VALUES ($1, $2, $3, gen_random_uuid()) ON CONFLICT (projection, topic, partition) DO NOTHING
        """,
        [(name, by_name[place.topic], place.partition) for place in sorted(position)],
    )


async def _write(
    pool: asyncpg.Pool,
    name: str,
    apply: Apply,
    records: Sequence[Recorded],
    moves: Sequence[tuple[str, int, int, int]],
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        updated = await connection.execute(
            """
            UPDATE projection_offsets AS stored SET next_offset = moved.reached
            FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[]) AS moved(topic, partition, expected, reached)
            WHERE stored.projection = $1 AND stored.topic = moved.topic AND stored.partition = moved.partition
                AND stored.next_offset = moved.expected
            """,
            name,
            *map(list, zip(*moves, strict=True)),
        )
        if updated != f"UPDATE {len(moves)}":
            raise LostPartition(name)
        await _apply(connection, apply, records)


async def _apply(connection: Connection, apply: Apply, records: Sequence[Recorded]) -> None:
    """Apply all, or all but those that are refused on their own."""
    try:
        async with connection.transaction():
            await apply(records)(connection)
        return
    except (TimeoutError, *DATABASE_AWAY):
        raise
    except Exception as error:
        log.warning("a batch was refused", action="batch_refused", error=type(error).__name__)
    for recorded in records:
        try:
            async with connection.transaction():
                await apply([recorded])(connection)
        except (TimeoutError, *DATABASE_AWAY):
            raise
        except Exception as error:
            place = {"topic": recorded.topic, "partition": recorded.partition, "offset": recorded.offset}
            log.warning("a record was refused", action="record_refused", error=type(error).__name__, **place)


def _decoded(record: ConsumerRecord[Any, Any], topic: str) -> Recorded | None:
    try:
        return recorded_event(record, topic)
    except UndecodableRecord:
        return None
