"""The subscriber's way to Apache Kafka, through aiokafka (`pip install wabus-events[kafka]`)."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, MessageSizeTooLargeError

from wabus_events.models.topics import MAX_RECORD_BYTES
from wabus_events.subscriber.source import Headers, KafkaAway, NoSuchTopic, Received, Start

START_TIMEOUT = 30.0  # seconds until Kafka must have answered for the first time
TOPIC_TIMEOUT = 2.0  # seconds that a new topic may take until every broker knows of it
WRITE_TIMEOUT = 15.0  # seconds for a dead letter to be durable
CLOSE_TIMEOUT = 5.0  # seconds to leave the group
LEFT_OUT = "wabus_dead_left_out"
"""The header of a letter whose record was too large to be in it: how many bytes of key and value were left out."""
SMALL_HEADER = 1000  # bytes of a header that is kept where the record is too large to be
HEADERS_MOST = 50  # of them
JOIN_TIMEOUT = 90.0  # seconds to join a group; a member that has died keeps the others waiting for 10
HANDLING_MAX_MS = 300_000  # an event that takes longer costs the consumer its partitions

log = logging.getLogger("wabus_events")


@dataclass(frozen=True)
class Kafka:
    """How to reach Kafka. `options` go to every aiokafka client: `security_protocol`, `ssl_context`, `sasl_…`."""

    bootstrap_servers: str
    topic_prefix: str = "wabus."
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Kafka":
        """The same variables that wabus itself reads: `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_…`, `TOPIC_PREFIX`.

        Raises KeyError naming a variable that is missing.
        """
        protocol = environment.get("KAFKA_SECURITY_PROTOCOL") or "PLAINTEXT"
        options: dict[str, Any] = {"security_protocol": protocol}
        if protocol.endswith("SSL"):
            context = ssl.create_default_context(cafile=environment.get("KAFKA_CA_FILE") or None)
            if certificate := environment.get("KAFKA_CERT_FILE"):
                context.load_cert_chain(certificate, environment["KAFKA_KEY_FILE"])
            options["ssl_context"] = context
        if protocol.startswith("SASL"):
            options["sasl_mechanism"] = environment.get("KAFKA_SASL_MECHANISM") or "SCRAM-SHA-512"
            options["sasl_plain_username"] = environment["KAFKA_SASL_USERNAME"]
            options["sasl_plain_password"] = environment["KAFKA_SASL_PASSWORD"]
        return cls(environment["KAFKA_BOOTSTRAP_SERVERS"], environment.get("TOPIC_PREFIX", "wabus."), options)

    async def open(self, topics: Sequence[str], *, group: str, start: Start, writes: Sequence[str]) -> "KafkaReader":
        """Join a consumer group; see `Source.open`."""
        names = [self.topic_prefix + topic for topic in topics]
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset=start,
            max_poll_interval_ms=HANDLING_MAX_MS,
            **self.options,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await consumer.start()
                missing = await _missing(consumer, {*names, *writes})
            if missing:
                whose = (
                    f"topic_prefix is {self.topic_prefix!r}" if missing[0] in names else "create it for dead letters"
                )
                raise NoSuchTopic(
                    f"there is no topic {missing[0]!r} on {self.bootstrap_servers} ({whose}), "
                    "or this client may not see it"
                )
        except (KafkaError, OSError, TimeoutError) as error:
            await _close(consumer)
            raise KafkaAway(f"Kafka at {self.bootstrap_servers} did not answer: {type(error).__name__}") from error
        except BaseException:
            await _close(consumer)
            raise
        return KafkaReader(self, consumer, names)


class KafkaReader(ConsumerRebalanceListener):
    """A member of a consumer group; see `Reader`."""

    ended = False

    def __init__(self, kafka: Kafka, consumer: AIOKafkaConsumer, names: Sequence[str]) -> None:
        self._kafka = kafka
        self._consumer = consumer
        self._producer: AIOKafkaProducer | None = None
        self._handled: dict[TopicPartition, int] = {}
        consumer.subscribe(list(names), listener=self)

    async def next(self, timeout: float) -> Received | None:
        # One record at a time: the client itself drops what it has fetched of a partition that it loses.
        try:
            fetched = await poll(self._consumer, timeout_ms=int(timeout * 1000), max_records=1)
        except KafkaAway as error:
            raise KafkaAway(f"Kafka at {self._kafka.bootstrap_servers}: {error}; subscribe again") from error
        for (record,) in fetched.values():
            headers = tuple(with_values(record.headers))
            return Received(record.topic, record.partition, record.offset, record.key, record.value, headers)
        return None

    def handled(self, received: Received) -> None:
        self._handled[TopicPartition(received.topic, received.partition)] = received.offset + 1

    async def commit(self) -> None:
        owned = self._consumer.assignment()
        offsets = {partition: offset for partition, offset in self._handled.items() if partition in owned}
        try:
            if offsets:
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError):
            log.info("partitions were reassigned: their last events come again", extra={"action": "commit_lost"})
        except KafkaError as error:
            # Offsets only grow, so the next commit makes up for this one.
            log.warning("offsets not committed", extra={"action": "commit_failed", "error": type(error).__name__})
            return
        self._handled.clear()

    async def put(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                try:
                    await self._written(topic, key, value, headers)
                except MessageSizeTooLargeError:
                    # What is said about it makes a letter larger than its record, and a topic may take less than ours:
                    # better where the record is than the same record again for ever.
                    small = [(name, content) for name, content in headers if len(content) <= SMALL_HEADER]
                    left_out = len(key or b"") + len(value or b"")
                    await self._written(topic, None, None, [*small[-HEADERS_MOST:], (LEFT_OUT, str(left_out).encode())])
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaAway(f"Kafka did not take a record for {topic}: {type(error).__name__}") from error

    async def _written(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka.bootstrap_servers,
                acks="all",
                enable_idempotence=True,
                max_request_size=MAX_RECORD_BYTES,
                **self._kafka.options,
            )
            await producer.start()
            self._producer = producer
        if key is None and value is None:
            key = b""  # the client refuses what has neither
        try:
            await self._producer.send_and_wait(topic, value, key, headers=list(headers))
        except MessageSizeTooLargeError:
            # A producer whose record was refused has counted it, and would be refused all others.
            await _close(self._producer)
            self._producer = None
            raise

    async def close(self) -> None:
        await _close(self._consumer)
        if self._producer is not None:
            await _close(self._producer)

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await self.commit()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


async def poll(
    consumer: AIOKafkaConsumer,
    *partitions: TopicPartition,
    timeout_ms: int,
    max_records: int | None = None,
    join_timeout: float = JOIN_TIMEOUT,
) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
    """`getmany` of a client that may be broken and does not say so. Raises `KafkaAway` where it is.

    While its group is rebalanced aiokafka waits for the end of that, however long. And where a background task of it
    has ended, as under uvloop when a connection is reset, it keeps its partitions and gives no record any more.
    """
    try:
        async with asyncio.timeout(join_timeout):
            fetched = await consumer.getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
    except TimeoutError:
        raise KafkaAway(f"the client has not joined its group for {join_timeout:.0f} s") from None
    inner: Any = consumer
    for part, name in ((inner._fetcher, "error_future"), (inner._client, "_sync_task")):
        task: asyncio.Task[Any] | None = getattr(part, name, None)
        if task is not None and task.done():
            cause = None if task.cancelled() else task.exception()
            raise KafkaAway(f"the client has stopped reading: {type(cause).__name__}") from cause
    return fetched


async def close(closing: Awaitable[None], timeout: float) -> BaseException | None:
    """Close a client within `timeout` seconds; what kept it from that, if something did.

    Kafka may be away, and closing a consumer just then can end with the CancelledError of a fetch that it cancels
    itself (aiokafka's Fetcher.close). Taken for a cancellation of ours it would end the task that closes, silently.
    """
    try:
        async with asyncio.timeout(timeout):
            await closing
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
            raise
        return error
    return None


def with_values(headers: Iterable[tuple[str, bytes | None]]) -> Iterator[tuple[str, bytes]]:
    """A record's headers. Kafka has some without a value: here that is an empty one."""
    return ((name, content or b"") for name, content in headers)


async def _missing(consumer: AIOKafkaConsumer, names: set[str]) -> list[str]:
    """Which topics are not there, even after brokers had time to hear of them."""
    tries = 10
    for _ in range(tries):
        if not names - await consumer.topics():
            return []
        await asyncio.sleep(TOPIC_TIMEOUT / tries)
    return sorted(names - await consumer.topics())


async def _close(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    if error := await close(client.stop(), CLOSE_TIMEOUT):
        log.warning("closing failed", extra={"action": "kafka_close", "error": type(error).__name__})
