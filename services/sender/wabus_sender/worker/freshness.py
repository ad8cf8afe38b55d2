"""Says up to which moment all that people have written is in the tables: what is older than that is certain."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
from aiokafka import TopicPartition
from wabus_events import MESSAGES
from wabus_runtime.kafka.clients import topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.settings import KafkaSettings

from wabus_sender.tables.people import contacts
from wabus_sender.worker import projector

LOOK_EVERY = 0.5  # seconds
WAIT = 5.0  # seconds for the fold to get there; then it is asked anew


async def run(settings: KafkaSettings, pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Look for ever, as one of any number of workers. Raises what Kafka and PostgreSQL do."""
    places = [TopicPartition(topic_name(settings, MESSAGES), number) for number in range(MESSAGES.partitions)]
    ends = Ends(settings)
    try:
        await ends.start()
        ready()
        while True:
            moment = datetime.now(UTC)
            found = {(MESSAGES.name, place.partition): end for place, end in (await ends.of(places)).items() if end}
            if await wait_for(pool, projector.NAME, found, WAIT):
                await contacts.set_read_until(pool, moment)
            await asyncio.sleep(LOOK_EVERY)
    finally:
        await ends.stop()
