"""What the log still holds, and how much of it is in the tables."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import MESSAGES, SENDS, Topic
from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, stop_consumer, topic_name
from wabus_runtime.postgres.offsets import Offsets, has_reached, offsets
from wabus_runtime.settings import KafkaSettings

COUNTED: Sequence[Topic] = (SENDS, MESSAGES)
"""What messages are counted from."""


class First(NamedTuple):
    """The first record of a partition."""

    logged_at: datetime
    offset: int


async def first_records(settings: KafkaSettings) -> list[First]:
    """The first record of each partition that has one. Raises `KafkaUnavailable`."""
    async with _asking(settings) as consumer:
        found = await consumer.offsets_for_times(dict.fromkeys(_places(settings), 0))
        records = cast(list[Any], [each for each in found.values() if each])
        return [First(datetime.fromtimestamp(each.timestamp / 1000, UTC), each.offset) for each in records]


async def unfolded(settings: KafkaSettings, pool: asyncpg.Pool, projection: str, moments: Sequence[datetime]) -> int:
    """How many of some moments, the last one first, a projection has not taken in all that was logged before.

    Raises `KafkaUnavailable`.
    """
    if not moments:
        return 0
    reached = await offsets(pool, projection)
    async with _asking(settings) as consumer:
        for place, at in enumerate(moments):
            wanted = await _logged_before(settings, consumer, at)
            if has_reached(reached, {place: offset for place, offset in wanted.items() if offset}):
                return place
    return len(moments)


async def is_folded(settings: KafkaSettings, pool: asyncpg.Pool, projection: str, at: datetime) -> bool:
    """Whether a projection has taken in all that was logged before a moment. Raises `KafkaUnavailable`."""
    return await unfolded(settings, pool, projection, [at]) == 0


async def _logged_before(settings: KafkaSettings, consumer: AIOKafkaConsumer, at: datetime) -> Offsets:
    """Where each partition was at a moment: before these offsets is all that was logged until then."""
    places = _places(settings)
    names = {topic_name(settings, topic): topic.name for topic in COUNTED}
    found = await consumer.offsets_for_times(dict.fromkeys(places, int(at.timestamp() * 1000)))
    ends = await consumer.end_offsets(places)
    return {
        (names[place.topic], place.partition): each.offset if (each := found.get(place)) else ends[place]
        for place in places
    }


def beginning_of(firsts: Sequence[First], now: datetime) -> datetime:
    """From when on the log has everything. Pure.

    A partition that does not begin with its first record has lost what was before. One that does may be new, as may the
    whole cluster: so it is no earlier than the first record of all.

    >>> at = datetime(2026, 11, 1, tzinfo=UTC)
    >>> beginning_of([First(at.replace(day=3), 7), First(at, 0), First(at.replace(day=5), 0)], at.replace(day=9)).day
    3
    """
    earliest = min((first.logged_at for first in firsts), default=now)
    return max((first.logged_at for first in firsts if first.offset), default=earliest)


def _places(settings: KafkaSettings) -> list[TopicPartition]:
    return [
        TopicPartition(topic_name(settings, topic), number) for topic in COUNTED for number in range(topic.partitions)
    ]


@asynccontextmanager
async def _asking(settings: KafkaSettings) -> AsyncGenerator[AIOKafkaConsumer]:
    consumer = new_consumer(settings)
    try:
        await consumer.start()
        yield consumer
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await stop_consumer(consumer)
