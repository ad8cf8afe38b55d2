"""Publishing all or nothing: Kafka's transactions (KIP-98), for what belongs together or follows from what was read."""

import asyncio
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced
from wabus_events import Event, Record, encode
from wabus_events.topics import MAX_RECORD_BYTES

from wabus_runtime import tracing
from wabus_runtime.kafka import KafkaUnavailable, client_options, close_broken, partition_of
from wabus_runtime.lanes import PUBLISH_FAILURES, PUBLISH_SECONDS, PUBLISHED, Position, about_bytes
from wabus_runtime.produce import ACK_TIMEOUT
from wabus_runtime.settings import KafkaSettings

TURN_RECORDS = 100  # of a transaction that are encoded before something else may run


class Fenced(Exception):
    """Another process has taken over this transactional id: stop, and write nothing more (KIP-98)."""


class TransactionalPublisher:
    """Publishes all or nothing, in one Kafka transaction at a time. The newest holder of an id fences the others."""

    def __init__(self, settings: KafkaSettings, source: str, transactional_id: str) -> None:
        self._settings = settings
        self._source = source
        self._id = settings.topic_prefix + transactional_id
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def start(self) -> None:
        """Take the transactional id over, ending whatever its former holder left open."""
        loop = asyncio.get_running_loop()
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(_report_but_fencing)
        await self._connected()

    async def stop(self) -> None:
        async with self._one_at_a_time:
            if self._producer:
                await close_broken(self._producer.stop())
                self._producer = None

    async def publish(self, items: Sequence[Event | Record]) -> list[Position]:
        """Return once the transaction is committed. Raises `Fenced` or `KafkaUnavailable`, then nothing is visible.

        One exception: when the answer to the commit itself is lost, the transaction may stand. Deterministic ids
        make a second attempt harmless.
        """
        with tracing.span("publish transaction", "producer"), PUBLISH_SECONDS.time():
            return await self._committed(items)

    async def _committed(self, items: Sequence[Event | Record]) -> list[Position]:
        async with self._one_at_a_time:
            producer = await self._connected()
            try:
                async with asyncio.timeout(ACK_TIMEOUT + len(items) / 500), producer.transaction():
                    positions = await self._sent(producer, items)
            except ProducerFenced:
                self._producer = None
                await close_broken(producer.stop())
                raise Fenced(self._id) from None
            except (KafkaError, OSError, TimeoutError) as error:
                PUBLISH_FAILURES.inc()
                self._producer = None
                await close_broken(producer.stop())
                raise KafkaUnavailable(f"Kafka did not take it: {type(error).__name__}") from error
        for topic, count in Tally(position.topic for position in positions).items():
            PUBLISHED.labels(topic).inc(count)
        return positions

    async def _sent(self, producer: AIOKafkaProducer, items: Sequence[Event | Record]) -> list[Position]:
        """Fill and send batches, encoding as they fill: a future for every record would cost more than all else."""
        places: dict[tuple[str, bytes], tuple[str, int]] = {}
        filling: dict[tuple[str, int], _Filling] = {}
        sent: list[_Filling] = []
        for index, item in enumerate(items):
            if index % TURN_RECORDS == TURN_RECORDS - 1:
                await asyncio.sleep(0)
            record = encode(item, self._source) if isinstance(item, Event) else item
            tracing.trace_records([record])
            place = places.get((record.topic, record.key))
            if place is None:
                partitions = await producer.partitions_for(self._settings.topic_prefix + record.topic)
                place = record.topic, partition_of(record.key, len(partitions))
                places[record.topic, record.key] = place
            batch = filling.get(place)
            if batch is None or not batch.takes(record, index):
                if batch is not None:
                    sent.append(await self._sending(producer, batch))
                batch = filling[place] = _Filling(*place, producer.create_batch())
                if not batch.takes(record, index):
                    raise MessageSizeTooLargeError
        sent += [await self._sending(producer, batch) for batch in filling.values()]
        stored = await asyncio.gather(*(batch.stored for batch in sent))
        positions: dict[int, Position] = {}
        for batch, metadata in zip(sent, stored, strict=True):
            for distance, index in enumerate(batch.indexes):
                positions[index] = Position(batch.topic, batch.partition, metadata.offset + distance)
        return [positions[index] for index in range(len(items))]

    async def _sending(self, producer: AIOKafkaProducer, batch: "_Filling") -> "_Filling":
        name = self._settings.topic_prefix + batch.topic
        batch.stored = await producer.send_batch(batch.builder, name, partition=batch.partition)
        return batch

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = new_producer(self._settings, transactional_id=self._id, transaction_timeout_ms=60_000)
            try:
                async with asyncio.timeout(ACK_TIMEOUT * 3):
                    await producer.start()
            except (KafkaError, OSError, TimeoutError) as error:
                await close_broken(producer.stop())
                raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
            except asyncio.CancelledError:
                await close_broken(producer.stop())
                raise
            self._producer = producer
        return self._producer


@dataclass(slots=True, eq=False)
class _Filling:
    """A batch for one partition, and which of a transaction's records are in it. `topic` has no prefix."""

    topic: str
    partition: int
    builder: Any
    indexes: list[int] = field(default_factory=list[int])
    stored: Any = None
    """To be awaited for where Kafka has put it."""

    def takes(self, record: Record, index: int) -> bool:
        if about_bytes(record) > MAX_RECORD_BYTES:
            return False
        added = self.builder.append(
            timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers
        )
        if added is None:
            return False
        self.indexes.append(index)
        return True


def new_producer(settings: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas."""
    return AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=MAX_RECORD_BYTES,
        max_batch_size=1024 * 1024,
        **options,
    )


def _report_but_fencing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The client keeps futures of its own that nobody awaits once it is fenced: `Fenced` has told of that already."""
    if not isinstance(context.get("exception"), ProducerFenced):
        loop.default_exception_handler(context)
