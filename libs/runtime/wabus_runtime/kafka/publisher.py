"""Publishing: an event counts as published once Kafka holds it on all in-sync replicas, never before.

Each partition has one batch on its way at a time, and what arrives meanwhile is its next: the more there is to do, the
less each event costs. A broker that hangs holds up the partitions that it leads and no others.
"""

import asyncio
import random
import time
from collections.abc import Sequence
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
from prometheus_client import Histogram
from wabus_events import TOPICS, Event, Record, encode
from wabus_events.models.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, close_producer, partition_of
from wabus_runtime.kafka.partition_buffer import (
    BUCKETS,
    PUBLISHED,
    Done,
    Entry,
    Overloaded,
    PartitionBuffer,
    Position,
    Publish,
    RecordRefused,
)
from wabus_runtime.observe import tracing
from wabus_runtime.settings import KafkaSettings

__all__ = ["Done", "Overloaded", "Position", "Publisher", "RecordRefused", "is_refusal", "new_producer"]

ACK_TIMEOUT = 3.0  # seconds until a batch without an answer means that Kafka is away
STALLED_AFTER = 1.0  # the same seconds for letting more wait behind it, where there is a patience
PRODUCER_TIMEOUT = 30.0  # seconds until a batch without an outcome is given up, and its producer with it
CONNECT_TIMEOUT = 10.0  # seconds for a producer to be ready
REQUEST_TIMEOUT_MS = 2_000  # for each step of a connection, and for the answer to each request
MAX_WAITING = 50_000  # records in memory that Kafka does not have yet
WATCH_EVERY = 0.1  # seconds between looks at what has waited too long
RETRY_DELAY = 0.1  # seconds between looks for a leader
RECOVERY_DELAY_MAX = 1.0  # seconds between attempts to come back
IDS_TRIED = 3  # producer ids for a batch, until something else must be wrong

ABOUT_ID = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerIdMapping, ProducerFenced)
ABOUT_SIZE = (MessageSizeTooLargeError, RecordListTooLargeError)
ABOUT_TOPIC = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, InvalidTopicError)
ABOUT_RECORD = (CorruptRecordException, InvalidTimestampError, PolicyViolationError, UnsupportedForMessageFormatError)

BATCH_SECONDS = Histogram("wabus_publish_batch_seconds", "From packing a batch to Kafka's answer.", buckets=BUCKETS)
_TAKEN = {topic.name: PUBLISHED.labels(topic.name) for topic in TOPICS}

log = structlog.get_logger()


class _Unsent(Exception):
    """A batch is not at Kafka, and may get there under another producer id."""


@dataclass(slots=True, eq=False)
class _Session:
    """A producer id, and what can be written under it. Topics have no prefix."""

    producer: AIOKafkaProducer
    partitions: dict[str, int]
    began: float  # by `time.perf_counter`
    spent: set[PartitionBuffer] = field(default_factory=set[PartitionBuffer])
    """To which nothing can be written any more: aiokafka counts what is refused or dropped
    (`MessageAccumulator._pop_batch`), so for Kafka the sequence numbers have a gap."""
    batches: set[asyncio.Future[Any]] = field(default_factory=set[asyncio.Future[Any]])  # without an outcome
    closed: bool = False

    async def close(self) -> None:
        """Send nothing any more; whoever waits for a batch hears that it may be there or not."""
        await close_producer(self.producer)
        self.closed = True
        for stored in self.batches:
            stored.cancel()


class Publisher:
    """Publishes from many tasks at once. Idempotent, `acks=all`, and a partition's records in their order.

    With `patience`, in seconds, a publish that Kafka has not taken by then fails with `Overloaded`.
    """

    def __init__(self, settings: KafkaSettings, source: str, patience: float | None = None) -> None:
        self._settings = settings
        self._source = source
        self._patience = patience
        self._session: _Session | None = None
        self._buffers: dict[tuple[str, int], PartitionBuffer] = {}
        self._sending: dict[PartitionBuffer, asyncio.Task[None]] = {}
        self._stalled: set[PartitionBuffer] = set()
        self._records = 0  # that Kafka does not have yet
        self._answered_at = 0.0  # when Kafka took or refused something last, by `time.perf_counter`
        self._watch: asyncio.TimerHandle | None = None
        self._context = tracing.detached()
        self._one_renewal = asyncio.Lock()
        self._renewal: asyncio.Task[object] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def connected(self) -> bool:
        """Whether there is a Kafka to publish to, as far as that is known."""
        return self._session is not None

    @property
    def available(self) -> bool:
        """Whether Kafka takes what it is given, or at least some of it."""
        began = min((buffer.since for buffer in self._sending if buffer.since is not None), default=None)
        silent = began is not None and began > self._answered_at and time.perf_counter() - began > self._silence
        return self.connected and not silent

    @property
    def _silence(self) -> float:
        return ACK_TIMEOUT if self._patience is None else STALLED_AFTER

    async def start(self) -> None:
        """Connect; while Kafka is away this returns at once and goes on trying."""
        try:
            self._session = await self._opened()
        except KafkaUnavailable:
            self._renewal = asyncio.create_task(self._open_at_last(), context=tracing.detached())

    async def stop(self) -> None:
        """Wait for what is under way, then close."""
        self._stopping = True
        if self._renewal:
            self._renewal.cancel()
        if self._sending:
            await asyncio.wait(self._sending.values(), timeout=ACK_TIMEOUT)
        session, self._session = self._session, None
        if session:
            await session.close()
        if under_way := [*self._retiring, *self._sending.values(), *([self._renewal] if self._renewal else [])]:
            await asyncio.wait(under_way, timeout=ACK_TIMEOUT)

    async def publish(self, events: Sequence[Event]) -> list[Position]:
        """Return once Kafka has all of them. After an error some may be there: publish the same ids again.

        Raises `KafkaUnavailable`, at once if Kafka is known to be away; `Overloaded` above `MAX_WAITING`;
        `RecordRefused` if Kafka has all but those that it will never take.
        """
        return await self.publish_records([encode(event, self._source) for event in events])

    async def publish_records(self, records: Sequence[Record]) -> list[Position]:
        """The same for records that are encoded already."""
        if not records:
            return []
        with tracing.span("publish", "producer"):
            tracing.trace_records(records)
            published: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: KafkaUnavailable | RecordRefused | None) -> None:
                if published.done():
                    return
                if error:
                    published.set_exception(error)
                else:
                    published.set_result(None)

            positions: list[Position | None] = [None] * len(records)
            self.submit(records, done, positions)
            await published
        return [position for position in positions if position is not None]

    def submit(self, records: Sequence[Record], done: Done, positions: list[Position | None] | None = None) -> None:
        """The same without a task: `done` is called later, never from here. There must be at least one record.

        Where each record is gets into `positions`, if there is such a list of the same length.
        """
        session = self._session
        if session is None or self._stopping:
            raise KafkaUnavailable("Kafka is away")
        if self._records + len(records) > MAX_WAITING:
            raise Overloaded("too many events are waiting for Kafka")
        now = time.perf_counter()
        buffers = [self._buffer(session, record) for record in records]
        for buffer in buffers:
            if buffer.since is not None and now - buffer.since > self._silence:
                raise KafkaUnavailable("Kafka does not answer for a partition")
        publish = Publish(len(records), now, done, positions)
        self._records += len(records)
        for index, buffer in enumerate(buffers):
            buffer.add(records[index], publish, index)
            if buffer not in self._sending:
                # It begins later, so that what this turn of the loop brings goes along.
                self._sending[buffer] = asyncio.create_task(self._send_all(buffer), context=self._context)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY, self._expire_overdue)

    def _buffer(self, session: _Session, record: Record) -> PartitionBuffer:
        partitions = session.partitions.get(record.topic)
        if partitions is None:  # it was hidden from us, and may be still
            found = session.producer.client.cluster.partitions_for_topic(self._settings.topic_prefix + record.topic)
            partitions = len(found or [0])
            if found:
                session.partitions[record.topic] = partitions
        place = record.topic, partition_of(record.key, partitions)
        buffer = self._buffers.get(place)
        if buffer is None:
            buffer = self._buffers[place] = PartitionBuffer(*place)
        return buffer

    async def _send_all(self, buffer: PartitionBuffer) -> None:
        """Send one batch after the other until nothing waits for the partition."""
        ids_tried = 0
        try:
            while buffer.waiting:
                batch = buffer.take(time.perf_counter())
                try:
                    offset = await self._send(buffer, batch)
                except _Unsent as error:
                    ids_tried += 1
                    if ids_tried < IDS_TRIED:
                        buffer.put_back()
                    else:
                        self._fail(buffer, error)
                except Exception as error:  # whatever it is, those who wait for it are told
                    if is_refusal(error):
                        self._refuse(buffer, error)
                    else:
                        self._fail(buffer, error)
                else:
                    ids_tried = 0
                    self._acknowledge(buffer, offset)
        finally:
            del self._sending[buffer]

    async def _send(self, buffer: PartitionBuffer, batch: Sequence[Entry]) -> int:
        """Where the batch's first record is. Raises `_Unsent`, `KafkaUnavailable`, and KafkaError of all kinds."""
        session = await self._ready(buffer)
        producer = session.producer
        builder = producer.create_batch()
        append = builder.append
        for record, _, _ in batch:
            append(timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers)
        if builder.record_count() < len(batch) or builder.size() > MAX_RECORD_BYTES:
            raise MessageSizeTooLargeError
        name = self._settings.topic_prefix + buffer.topic
        stored: asyncio.Future[Any] | None = None
        try:
            stored = await producer.send_batch(builder, name, partition=buffer.partition)
            session.batches.add(stored)
            return (await stored).offset
        except ABOUT_ID as error:
            # Its number does not follow the one before. A refused batch leaves such a gap, which shows only here: many
            # that are refused one after the other need no new id.
            session.spent.add(buffer)
            raise _Unsent(type(error).__name__) from error
        except asyncio.CancelledError:
            if not session.closed:
                raise
            raise KafkaUnavailable("the producer is closed") from None
        except Exception as error:
            if not is_refusal(error):
                session.spent.add(buffer)
            raise
        finally:
            if stored is not None:
                session.batches.discard(stored)

    async def _ready(self, buffer: PartitionBuffer) -> _Session:
        """What the partition can be written under. Raises `KafkaUnavailable`, TopicAuthorizationFailedError."""
        name = self._settings.topic_prefix + buffer.topic
        while True:
            session = self._session
            if session is None:
                raise KafkaUnavailable("Kafka is away")
            if buffer in session.spent:
                session = await self._renewed(session)
            cluster = session.producer.client.cluster
            if buffer.topic not in session.partitions or name in cluster.unauthorized_topics:
                raise TopicAuthorizationFailedError(name)
            # For a batch without a leader aiokafka asks without a pause, and drops it after a while, number and all
            # (`MessageAccumulator.drain_by_nodes`).
            if cluster.leader_for_partition(TopicPartition(name, buffer.partition)) not in (None, -1):
                return session
            session.producer.client.force_metadata_update()
            await asyncio.sleep(RETRY_DELAY)

    def _acknowledge(self, buffer: PartitionBuffer, offset: int) -> None:
        self._answered_at = time.perf_counter()
        if buffer.since is not None:
            BATCH_SECONDS.observe(self._answered_at - buffer.since)
        if buffer in self._stalled:
            self._stalled.discard(buffer)
            log.info("kafka is back", action="kafka_back", topic=buffer.topic, partition=buffer.partition)
        count = buffer.acknowledge(offset)
        self._records -= count
        _TAKEN[buffer.topic].inc(count)

    def _refuse(self, buffer: PartitionBuffer, error: Exception) -> None:
        self._answered_at = time.perf_counter()
        about_size, about_topic = isinstance(error, ABOUT_SIZE), isinstance(error, ABOUT_TOPIC)
        self._records -= buffer.refuse(type(error).__name__, about_size=about_size, about_topic=about_topic)

    def _fail(self, buffer: PartitionBuffer, error: Exception) -> None:
        reason = str(error) if isinstance(error, _Unsent) else type(error).__name__
        self._stalled.discard(buffer)
        log.warning("kafka is away", action="kafka_away", topic=buffer.topic, partition=buffer.partition, error=reason)
        self._records -= buffer.fail(KafkaUnavailable(f"Kafka did not take it: {reason}"))

    def _expire_overdue(self) -> None:
        """Give up what has waited too long. What was sent may still arrive: it is published again with the same ids."""
        now = time.perf_counter()
        for buffer in list(self._sending):  # whoever is told may publish again at once
            silent_for = 0.0 if buffer.since is None else now - buffer.since
            if silent_for > ACK_TIMEOUT:
                if buffer not in self._stalled:
                    self._stalled.add(buffer)
                    place = {"topic": buffer.topic, "partition": buffer.partition}
                    log.warning("kafka is away", action="kafka_away", **place, error="TimeoutError")
                self._records -= buffer.give_up(now)
            elif self._patience is not None:
                self._records -= buffer.give_up(now - self._patience)
            session = self._session
            if session and silent_for > PRODUCER_TIMEOUT < now - session.began and not self._is_renewing:
                self._renewal = asyncio.create_task(self._renewed(session), context=tracing.detached())
        again = self._sending and not self._stopping
        self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY, self._expire_overdue) if again else None

    @property
    def _is_renewing(self) -> bool:
        return self._renewal is not None and not self._renewal.done()

    async def _renewed(self, old: _Session) -> _Session:
        """Another session in place of this one, under which no batch begins any more. Raises `KafkaUnavailable`."""
        async with self._one_renewal:
            if self._session is old:
                session = await self._opened()
                self._session = session
                retiring = asyncio.create_task(_retire(old))
                self._retiring.add(retiring)
                retiring.add_done_callback(self._retiring.discard)
            if self._session is None:
                raise KafkaUnavailable("Kafka is away")
            return self._session

    async def _open_at_last(self) -> None:
        delay = 0.05
        while True:
            try:
                self._session = await self._opened()
                log.info("kafka is back", action="kafka_back")
                return
            except Exception as error:  # whatever it is, nobody else would try again
                if not isinstance(error, KafkaUnavailable):
                    log.warning("connecting failed", action="kafka_connect", error=type(error).__name__, exc_info=True)
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
                delay = min(delay * 2, RECOVERY_DELAY_MAX)

    async def _opened(self) -> _Session:
        """A producer with an id of its own that knows the topics. Raises `KafkaUnavailable`."""
        producer = new_producer(self._settings, request_timeout_ms=REQUEST_TIMEOUT_MS, max_batch_size=MAX_RECORD_BYTES)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await producer.start()
                names = {topic.name: self._settings.topic_prefix + topic.name for topic in TOPICS}
                await producer.client.set_topics(list(names.values()))
                partitions: dict[str, int] = {}
                for topic, name in names.items():
                    try:
                        partitions[topic] = len(await producer.partitions_for(name))
                    except TopicAuthorizationFailedError:
                        log.error("a topic may not be seen", action="topic_hidden", topic=topic)
        except (KafkaError, OSError, TimeoutError) as error:
            await close_producer(producer)
            log.warning("kafka is away", action="kafka_away", error=type(error).__name__)
            raise KafkaUnavailable(type(error).__name__) from error
        except BaseException:
            await close_producer(producer)
            raise
        if self._stopping:
            await close_producer(producer)
            raise KafkaUnavailable("this publisher has been stopped")
        return _Session(producer, partitions, time.perf_counter())


async def _retire(session: _Session) -> None:
    """Close a session once its batches have their outcome; what then has none is left to those who wait for it."""
    deadline = time.perf_counter() + ACK_TIMEOUT
    while session.batches and time.perf_counter() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(RETRY_DELAY)
    await session.close()


def is_refusal(error: BaseException) -> bool:
    """Whether a broker refuses a batch for good: it is not written, and would not be if it came again."""
    return isinstance(error, (*ABOUT_SIZE, *ABOUT_TOPIC, *ABOUT_RECORD))


def new_producer(settings: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas; `options` go before our own."""
    all_options: dict[str, Any] = client_options(settings) | {"max_batch_size": 1024 * 1024} | options
    return AIOKafkaProducer(acks="all", enable_idempotence=True, max_request_size=MAX_RECORD_BYTES, **all_options)
