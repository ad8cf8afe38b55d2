"""A compacted topic in memory: read whole, then followed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import Event, Topic, UndecodableRecord, decode
from wabus_events.kafka import with_values

from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.settings import KafkaSettings

REFRESH_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 30.0  # seconds for a command to read the whole topic

log = structlog.get_logger()

Take = Callable[[ConsumerRecord[Any, Any]], None]
"""Gets each record once, in the order of its partition; a tombstone has no value. It must not raise."""


def event_of(record: ConsumerRecord[Any, Any], what: str, action: str, **about: Any) -> Event | None:
    """The event of a record that has a value. None where it is unreadable: then `what` it is is in the log."""
    try:
        return decode(with_values(record.headers), record.value)
    except UndecodableRecord as error:
        log.error(f"{what} is unreadable", action=action, **about, reason=str(error))
        return None


class Replica:
    """Gives every record of a topic to `take`, and knows when it has given all that there are."""

    def __init__(self, settings: KafkaSettings, topic: Topic, take: Take) -> None:
        self._settings = settings
        self._topic = topic
        self._take = take
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: Ends | None = None
        self._one_client = asyncio.Lock()
        self._partitions: list[TopicPartition] = []
        self._moved = asyncio.Event()
        self._whole = asyncio.Event()

    async def whole(self, within: float) -> None:
        """Return once everything that was there at the start is in; from then on at once.

        Raises `KafkaUnavailable` after `within` seconds.
        """
        if self._whole.is_set():
            return
        try:
            async with asyncio.timeout(within):
                await self._whole.wait()
        except TimeoutError:
            raise KafkaUnavailable(f"{self._topic.name} is not read yet") from None

    async def refresh(self) -> None:
        """Return when everything that Kafka has now is in. Raises `KafkaUnavailable`."""
        try:
            async with asyncio.timeout(REFRESH_TIMEOUT):
                while (consumer := self._consumer) is None:
                    self._moved.clear()
                    await self._moved.wait()
                ends = await (await self._asking()).of(self._partitions)
                while any([await consumer.position(place) < end for place, end in ends.items()]):
                    self._moved.clear()
                    await self._moved.wait()
        except (TimeoutError, KafkaError) as error:
            raise KafkaUnavailable(f"{self._topic.name} could not be read") from error

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        consumer = new_consumer(self._settings, start="earliest")
        try:
            await consumer.start()
            name = topic_name(self._settings, self._topic)
            partitions = self._partitions = [TopicPartition(name, n) for n in range(self._topic.partitions)]
            consumer.assign(partitions)
            # On the same connection: it has fetched nothing yet, so no fetch goes before the question.
            ends = await consumer.end_offsets(partitions)
            caught_up = False
            while True:
                if not caught_up:  # asked before each poll, for where nothing is left a poll would only wait
                    positions = [(await consumer.position(partition), ends[partition]) for partition in partitions]
                    caught_up = all(position >= end for position, end in positions)
                    if caught_up:
                        log.info("a topic is read", action="replica_ready", topic=self._topic.name)
                        self._whole.set()
                        ready()
                        self._consumer = consumer
                        self._moved.set()
                fetched = await poll(consumer, timeout_ms=250)
                for batch in fetched.values():
                    for record in batch:
                        self._take(record)
                self._moved.set()
        finally:
            self._consumer, client, self._ends = None, self._ends, None
            await stop_consumer(consumer)
            if client:
                await client.stop()

    async def _asking(self) -> Ends:
        """A client that is asked where the topic ends; made when it is first needed. Raises `KafkaError`."""
        async with self._one_client:
            if self._ends is None:
                client = Ends(self._settings)
                try:
                    await client.start()
                except BaseException:
                    await client.stop()
                    raise
                self._ends = client
            return self._ends


@asynccontextmanager
async def following(run: Callable[[Callable[[], None]], Any]) -> AsyncGenerator[None]:
    """Follow a replica for the length of a command, whole from the start. Raises `KafkaUnavailable`."""
    read = asyncio.Event()
    task = asyncio.create_task(run(read.set))
    reading = asyncio.create_task(read.wait())
    try:
        await asyncio.wait([task, reading], timeout=READ_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not read.is_set():
            cause = task.exception() if task.done() else None
            raise KafkaUnavailable("what a command must know could not be read") from cause
        yield
    finally:
        task.cancel()
        reading.cancel()
        await asyncio.wait([task, reading])
