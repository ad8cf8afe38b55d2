"""Publishing all or nothing: Kafka's transactions (KIP-98), for what belongs together or follows from what was read."""

import asyncio
from collections import Counter as Tally
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced, TopicAuthorizationFailedError
from wabus_events import Event, Record, encode
from wabus_events.models.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka.clients import KafkaUnavailable, close_producer, partition_of
from wabus_runtime.kafka.outcomes import PUBLISH_FAILURES, PUBLISH_SECONDS, PUBLISHED, REFUSED, Position, RecordRefused
from wabus_runtime.kafka.producer_session import is_refusal, new_producer
from wabus_runtime.kafka.publisher import ACK_TIMEOUT
from wabus_runtime.kafka.record_sizes import about_bytes
from wabus_runtime.observe import tracing
from wabus_runtime.settings import KafkaSettings

TURN_RECORDS = 100  # of a transaction that are encoded before something else may run

log = structlog.get_logger()


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
        self._refused_under: tuple[int, int] | None = None
        """After a refusal its producer can write no more (see `Publisher`), and another one is only ours to have if
        nobody has taken the id over since: the id and its epoch then."""

    async def start(self) -> None:
        """Take the transactional id over, ending whatever its former holder left open."""
        loop = asyncio.get_running_loop()
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(_report_but_fencing)
        await self._connected()

    async def stop(self) -> None:
        async with self._one_at_a_time:
            await self._close()

    async def publish(self, items: Sequence[Event | Record]) -> list[Position]:
        """Return once the transaction is committed. Raises `Fenced`, `RecordRefused` or `KafkaUnavailable`.

        After an error nothing is visible, with one exception: when the answer to the commit itself is lost, the
        transaction may stand. Deterministic ids make a second attempt harmless. `RecordRefused` names all records of
        the batch that Kafka will never take; the next transaction begins as if nothing had happened.
        """
        with tracing.span("publish transaction", "producer"), PUBLISH_SECONDS.time():
            return await self._committed(items)

    async def _committed(self, items: Sequence[Event | Record]) -> list[Position]:
        async with self._one_at_a_time:
            producer = await self._connected()
            try:
                async with asyncio.timeout(ACK_TIMEOUT + len(items) / 500):
                    positions = await self._in_transaction(producer, items)
            except RecordRefused:
                PUBLISH_FAILURES.inc()
                self._refused_under = _id_of(producer)
                await self._close()
                raise
            except ProducerFenced:
                await self._close()
                raise Fenced(self._id) from None
            except (KafkaError, OSError, TimeoutError) as error:
                PUBLISH_FAILURES.inc()
                if isinstance(error, TopicAuthorizationFailedError) and self._producer:
                    self._refused_under = _id_of(self._producer)
                await self._close()
                if isinstance(error, TopicAuthorizationFailedError):
                    raise _refusal("a topic", range(len(items)), error) from error
                raise KafkaUnavailable(f"Kafka did not take it: {type(error).__name__}") from error
        for topic, count in Tally(position.topic for position in positions).items():
            PUBLISHED.labels(topic).inc(count)
        return positions

    async def _in_transaction(self, producer: AIOKafkaProducer, items: Sequence[Event | Record]) -> list[Position]:
        await producer.begin_transaction()
        try:
            positions = await self._sent(producer, items)
        except BaseException as error:
            # Where a partition may not be written to, the client brings the others' batches to a transaction in which
            # they are not, and keeps the reason to itself (`AddPartitionsToTxnHandler`).
            reason = _reason_to_abort(producer)
            with suppress(Exception):  # then whoever takes the id over aborts it
                async with asyncio.timeout(ACK_TIMEOUT):
                    await producer.abort_transaction()
            if isinstance(error, KafkaError) and reason is not None:
                raise reason from error
            raise
        await producer.commit_transaction()
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
                    raise _refusal(record.topic, [index], MessageSizeTooLargeError())
        sent += [await self._sending(producer, batch) for batch in filling.values()]
        try:
            stored = await asyncio.gather(*(batch.stored for batch in sent))
        except KafkaError as error:
            for batch in sent:
                if is_refusal(error) and batch.stored.done() and batch.stored.exception() is error:
                    raise _refusal(batch.topic, batch.indexes, error) from error
            raise
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
        if self._producer is not None:
            return self._producer
        producer = new_producer(self._settings, transactional_id=self._id, transaction_timeout_ms=60_000)
        try:
            async with asyncio.timeout(ACK_TIMEOUT * 3):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await close_producer(producer)
            raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
        except BaseException:
            await close_producer(producer)
            raise
        before, self._refused_under = self._refused_under, None
        if before is not None and _id_of(producer) != (before[0], before[1] + 1):
            await close_producer(producer)
            raise Fenced(self._id)
        self._producer = producer
        return producer

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer:
            await close_producer(producer)


def _id_of(producer: AIOKafkaProducer) -> tuple[int, int]:
    """The producer id and its epoch. Each taking over of a transactional id makes that one more (KIP-98)."""
    inner: Any = producer
    return inner._txn_manager.producer_id, inner._txn_manager.producer_epoch


def _reason_to_abort(producer: AIOKafkaProducer) -> BaseException | None:
    inner: Any = producer
    ended = inner._txn_manager.wait_for_transaction_end()
    return ended.exception() if ended.done() and not ended.cancelled() else None


def _refusal(topic: str, indexes: Sequence[int], error: KafkaError) -> RecordRefused:
    reason = type(error).__name__
    REFUSED.labels(topic, reason).inc()
    log.error("kafka refuses a transaction", action="record_refused", topic=topic, count=len(indexes), reason=reason)
    return RecordRefused(topic, dict.fromkeys(indexes, reason))


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


def _report_but_fencing(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """The client keeps futures of its own that nobody awaits once it is fenced: `Fenced` has told of that already."""
    if not isinstance(context.get("exception"), ProducerFenced):
        loop.default_exception_handler(context)
