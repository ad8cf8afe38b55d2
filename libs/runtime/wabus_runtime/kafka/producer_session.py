"""A producer with an id of its own, for as long as Kafka lets it write, and the next one in its place.

aiokafka gives each batch of a partition its number, and counts on whatever became of it. So where a batch was refused
or dropped, the partition can be written to under another producer id only.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    CorruptRecordException,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownProducerId,
    UnsupportedForMessageFormatError,
)
from wabus_events import TOPICS, Record
from wabus_events.models.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, close_producer, partition_of
from wabus_runtime.kafka.partition_buffer import PartitionBuffer
from wabus_runtime.observe import tracing
from wabus_runtime.pauses import growing_pauses
from wabus_runtime.settings import KafkaSettings

CONNECT_TIMEOUT = 10.0  # seconds for a producer to be ready
CONNECT_PAUSES = (0.05, 1.0)  # seconds between attempts to connect, and at most
REQUEST_TIMEOUT_MS = 2_000  # for each step of a connection, and for the answer to each request

ABOUT_ID = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerIdMapping, ProducerFenced)
ABOUT_SIZE = (MessageSizeTooLargeError, RecordListTooLargeError)
ABOUT_TOPIC = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, InvalidTopicError)
ABOUT_RECORD = (CorruptRecordException, InvalidTimestampError, PolicyViolationError, UnsupportedForMessageFormatError)

log = structlog.get_logger()


def is_refusal(error: BaseException) -> bool:
    """Whether a broker refuses a batch for good: it is not written, and would not be if it came again."""
    return isinstance(error, (*ABOUT_SIZE, *ABOUT_TOPIC, *ABOUT_RECORD))


def new_producer(settings: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas; `options` go before our own."""
    all_options: dict[str, Any] = client_options(settings) | {"max_batch_size": 1024 * 1024} | options
    return AIOKafkaProducer(acks="all", enable_idempotence=True, max_request_size=MAX_RECORD_BYTES, **all_options)


@dataclass(slots=True, eq=False)
class ProducerSession:
    """A producer id, and what can be written under it. Topics have no prefix."""

    producer: AIOKafkaProducer
    prefix: str
    partitions: dict[str, int]
    began: float  # by `time.perf_counter`
    spent: set[PartitionBuffer] = field(default_factory=set[PartitionBuffer])
    """To which nothing can be written any more: aiokafka counts what is refused or dropped
    (`MessageAccumulator._pop_batch`), so for Kafka the sequence numbers have a gap."""
    batches: dict[asyncio.Future[Any], int] = field(default_factory=dict[asyncio.Future[Any], int])
    """Those without an outcome, and to which broker they went."""
    busy: dict[int, float] = field(default_factory=dict[int, float])
    """Brokers that have answered nothing yet of what they got last, and when that was. aiokafka, too, gives a broker no
    more until it has answered."""

    def partition(self, record: Record) -> int:
        """The partition that a record belongs to."""
        count = self.partitions.get(record.topic)
        if count is None:  # it was hidden from us, and may be still
            found = self.producer.client.cluster.partitions_for_topic(self.prefix + record.topic)
            count = len(found or [0])
            if found:
                self.partitions[record.topic] = count
        return partition_of(record.key, count)

    def leader(self, buffer: PartitionBuffer) -> int | None:
        """The broker that leads the partition; None while there is none."""
        place = TopicPartition(self.prefix + buffer.topic, buffer.partition)
        node = self.producer.client.cluster.leader_for_partition(place)
        return None if node == -1 else node

    def asked_at(self, buffer: PartitionBuffer, now: float) -> float:
        """Since when the partition's broker has not answered; now, if it has."""
        leader = self.leader(buffer) if self.busy else None
        return now if leader is None else self.busy.get(leader, now)

    def broker_for(self, buffer: PartitionBuffer) -> int | None:
        """The broker to write to; None while there is none. Raises `TopicAuthorizationFailedError`."""
        name = self.prefix + buffer.topic
        if buffer.topic not in self.partitions or name in self.producer.client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(name)
        # A batch without a leader aiokafka would ask for without a pause, and drop after a while, number and all
        # (`MessageAccumulator.drain_by_nodes`).
        leader = self.leader(buffer)
        if leader is None:
            self.producer.client.force_metadata_update()
        return leader

    async def send(self, buffer: PartitionBuffer, broker: int, now: float) -> asyncio.Future[Any]:
        """Give a buffer's batch to the producer; what this returns will know where the first record is."""
        builder = self.producer.create_batch()
        append = builder.append
        for record, _, _ in buffer.batch:
            append(timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers)
        if builder.record_count() < len(buffer.batch) or builder.size() > MAX_RECORD_BYTES:
            raise MessageSizeTooLargeError
        stored = await self.producer.send_batch(builder, self.prefix + buffer.topic, partition=buffer.partition)
        self.busy[broker] = now
        self.batches[stored] = broker
        return stored

    def end_batch(self, stored: asyncio.Future[Any]) -> None:
        """Note that a batch has its outcome."""
        self.busy.pop(self.batches.pop(stored), None)

    async def close(self, within: float = 0.0) -> None:
        """Send nothing any more; whoever still waits for a batch then hears that it may be there or not."""
        try:
            if within and self.batches:
                await asyncio.wait(self.batches, timeout=within)
        finally:
            await close_producer(self.producer)
            for stored in self.batches:
                stored.cancel()


async def open_session(settings: KafkaSettings) -> ProducerSession:
    """A producer with an id of its own that knows the topics. Raises `KafkaUnavailable`."""
    producer = new_producer(settings, request_timeout_ms=REQUEST_TIMEOUT_MS, max_batch_size=MAX_RECORD_BYTES)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await producer.start()
            names = {topic.name: settings.topic_prefix + topic.name for topic in TOPICS}
            await producer.client.set_topics(list(names.values()))
            partitions: dict[str, int] = {}
            for topic, name in names.items():
                try:
                    partitions[topic] = len(await producer.partitions_for(name))
                except TopicAuthorizationFailedError:
                    log.error("a topic may not be seen", action="topic_hidden", topic=topic)
    except BaseException as error:
        await close_producer(producer)
        if not isinstance(error, KafkaError | OSError | TimeoutError):
            raise
        log.warning("kafka is away", action="kafka_away", error=type(error).__name__)
        raise KafkaUnavailable(type(error).__name__) from error
    return ProducerSession(producer, settings.topic_prefix, partitions, time.perf_counter())


class ProducerSessions:
    """One session after the other: the next one is there before the last one is given up.

    A partition changes over between two batches, never with one on its way, so its order holds.
    """

    def __init__(self, settings: KafkaSettings, closed_within: float, opened: Callable[[], None]) -> None:
        self.current: ProducerSession | None = None
        """The one to write under; None while Kafka is away, as far as that is known."""
        self._settings = settings
        self._closed_within = closed_within  # seconds that a session's last batches have for their outcome
        self._opened = opened
        self._renewal: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; while Kafka is away this returns at once and goes on trying."""
        try:
            self.current = await open_session(self._settings)
        except KafkaUnavailable:
            self.renew(None)

    async def stop(self) -> None:
        """Close the session, and send nothing any more."""
        session, self.current = self.current, None
        if self._renewal:
            self._renewal.cancel()
        if session:
            await session.close()
        if self._renewal:
            await asyncio.wait([self._renewal], timeout=self._closed_within)

    def renew(self, old: ProducerSession | None) -> None:
        """Open another session in place of this one, under which no batch begins any more; once at a time."""
        if self.current is old and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renewed(old), context=tracing.detached())

    async def _renewed(self, old: ProducerSession | None) -> None:
        pauses = growing_pauses(*CONNECT_PAUSES)
        while True:
            try:
                self.current = await open_session(self._settings)
                break
            except Exception as error:  # whatever it is, nobody else would try again
                if not isinstance(error, KafkaUnavailable):
                    log.warning("connecting failed", action="kafka_connect", error=type(error).__name__, exc_info=True)
                await asyncio.sleep(next(pauses))
        self._opened()
        if old is None:
            log.info("kafka is back", action="kafka_back")
        else:
            await old.close(self._closed_within)
