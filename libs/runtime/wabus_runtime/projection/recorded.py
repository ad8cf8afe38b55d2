"""Events as they stand in Kafka, and what it means to apply them to tables."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord
from wabus_events import Event, UndecodableRecord, decode

from wabus_runtime.postgres.database import Connection


class Recorded(NamedTuple):
    """An event with its place in Kafka. `topic` has no prefix; `logged_at` is the record's timestamp."""

    event: Event
    topic: str
    partition: int
    offset: int
    logged_at: datetime


Write = Callable[[Connection], Awaitable[None]]
"""Writes the rows of some records, inside the transaction."""

Apply = Callable[[Sequence[Recorded]], Awaitable[Write]]
"""Gets records while the database is still busy with those before them: here belongs whatever needs no database.

What takes longer than some milliseconds is done `in_turns`, or the database waits in vain for its next statement.
"""

TURN_RECORDS = 50  # before something else may run, such as what PostgreSQL waits for


def unprepared(write: Callable[[Connection, Sequence[Recorded]], Awaitable[None]]) -> Apply:
    """Applies records all inside the transaction."""

    async def apply(records: Sequence[Recorded]) -> Write:
        return lambda connection: write(connection, records)

    return apply


async def in_turns(records: Sequence[Recorded]) -> AsyncGenerator[Sequence[Recorded]]:
    """Records in their order, some at a time; before the next ones something else runs that is due."""
    for first in range(0, len(records), TURN_RECORDS):
        if first:
            await asyncio.sleep(0)
        yield records[first : first + TURN_RECORDS]


def recorded_event(record: ConsumerRecord[Any, Any], topic: str) -> Recorded | None:
    """A record of the topic with this name, decoded; None for a tombstone. Raises `UndecodableRecord`."""
    if record.value is None:
        return None
    event = decode(record.headers, record.value)
    return Recorded(event, topic, record.partition, record.offset, logged_at(record))


def readable_event(record: ConsumerRecord[Any, Any], topic: str) -> Recorded | None:
    """The same; None too for what can't be decoded, where something else has set that aside."""
    try:
        return recorded_event(record, topic)
    except UndecodableRecord:
        return None


def logged_at(record: ConsumerRecord[Any, Any]) -> datetime:
    """When Kafka got a record."""
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)
