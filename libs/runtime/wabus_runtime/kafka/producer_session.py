"""A producer with an id of its own, for as long as Kafka lets it write, and what Kafka's errors mean for its batches.

aiokafka gives each batch of a partition its number, and counts on whatever became of it. So where a batch was refused
or dropped, the partition can be written to under another producer id only.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
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
from wabus_events import TOPICS
from wabus_events.models.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, close_producer
from wabus_runtime.kafka.partition_buffer import PartitionBuffer
from wabus_runtime.settings import KafkaSettings

CONNECT_TIMEOUT = 10.0  # seconds for a producer to be ready
REQUEST_TIMEOUT_MS = 2_000  # for each step of a connection, and for the answer to each request

ABOUT_ID = (OutOfOrderSequenceNumber, UnknownProducerId, InvalidProducerIdMapping, ProducerFenced)
ABOUT_SIZE = (MessageSizeTooLargeError, RecordListTooLargeError)
ABOUT_TOPIC = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError, InvalidTopicError)
ABOUT_RECORD = (CorruptRecordException, InvalidTimestampError, PolicyViolationError, UnsupportedForMessageFormatError)

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class ProducerSession:
    """A producer id, and what can be written under it. Topics have no prefix."""

    producer: AIOKafkaProducer
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
    closed: bool = False

    async def close(self) -> None:
        """Send nothing any more; whoever waits for a batch hears that it may be there or not."""
        await close_producer(self.producer)
        self.closed = True
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
    except (KafkaError, OSError, TimeoutError) as error:
        await close_producer(producer)
        log.warning("kafka is away", action="kafka_away", error=type(error).__name__)
        raise KafkaUnavailable(type(error).__name__) from error
    except BaseException:
        await close_producer(producer)
        raise
    return ProducerSession(producer, partitions, time.perf_counter())


async def retire(session: ProducerSession, within: float) -> None:
    """Close a session once its batches have their outcome; what then has none is left to those who wait for it."""
    if session.batches:
        await asyncio.wait(session.batches, timeout=within)
    await session.close()


def is_refusal(error: BaseException) -> bool:
    """Whether a broker refuses a batch for good: it is not written, and would not be if it came again."""
    return isinstance(error, (*ABOUT_SIZE, *ABOUT_TOPIC, *ABOUT_RECORD))


def new_producer(settings: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas; `options` go before our own."""
    all_options: dict[str, Any] = client_options(settings) | {"max_batch_size": 1024 * 1024} | options
    return AIOKafkaProducer(acks="all", enable_idempotence=True, max_request_size=MAX_RECORD_BYTES, **all_options)
