"""How every client reaches Kafka, and the topics: created where missing, refused where they are not as declared."""

import asyncio
import ssl
import struct
from collections.abc import Awaitable, Collection, Sequence
from functools import lru_cache, wraps
from typing import Any, Literal

import structlog
import wabus_events.kafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from wabus_events import TOPICS, Topic
from wabus_events.subscriber.source import KafkaAway

from wabus_runtime.settings import KafkaSettings

REQUEST_TIMEOUT_MS = 5_000
SESSION_TIMEOUT_MS = 10_000  # after which the partitions of a member that says nothing are given to others
HEARTBEAT_MS = 2_000
METADATA_MAX_AGE_MS = 5_000
"""A group's leader that does not know a topic yet - just created, or the broker just started - gives nobody its
partitions until it looks again. aiokafka does not ask again for what was missing; its default is 5 minutes."""
STOP_TIMEOUT = 3.0  # seconds for a consumer to leave its group

log = structlog.get_logger()


class KafkaUnavailable(Exception):
    """Kafka did not take it, or not in time. Nothing may be acknowledged; trying again is safe."""


class TopicMismatch(Exception):
    """A topic exists with another number of partitions than declared: keys would change places."""


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """The connection arguments that every aiokafka client takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
        "client_id": "wabus",
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": 100,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ca_file)
        if settings.kafka_cert_file and settings.kafka_key_file:
            options["ssl_context"].load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file)
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = (
            settings.kafka_sasl_password.get_secret_value() if settings.kafka_sasl_password else None
        )
    return options


def new_consumer(
    settings: KafkaSettings,
    *,
    group: str | None = None,
    start: Literal["earliest", "latest", "none"] = "latest",
    **options: Any,
) -> AIOKafkaConsumer:
    """A client that reads what is committed (KIP-98) and commits offsets only when it is told to; not started yet.

    `group` has no prefix yet. Where it has no offset of a partition it begins at `start`. `options` are aiokafka's, and
    come before those that all consumers share.
    """
    shared: dict[str, Any] = {
        "group_id": group and f"{settings.topic_prefix}{group}",
        "auto_offset_reset": start,
        "enable_auto_commit": False,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "heartbeat_interval_ms": HEARTBEAT_MS,
        "isolation_level": "read_committed",
        "fetch_max_wait_ms": 250,
    }
    return AIOKafkaConsumer(**client_options(settings) | shared | options)


def topic_name(settings: KafkaSettings, topic: Topic | str) -> str:
    """The topic's name in Kafka, with this deployment's prefix."""
    return settings.topic_prefix + (topic if isinstance(topic, str) else topic.name)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's own default partitioner has it (murmur2)."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: bytes) -> int:
    """MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils), in half of aiokafka's time."""
    length = len(key)
    whole = length & ~3
    hashed = 0x9747B28C ^ length
    for word in struct.unpack_from(f"<{whole >> 2}I", key):
        word = word * 0x5BD1E995 & 0xFFFFFFFF
        hashed = (hashed * 0x5BD1E995 ^ (word ^ word >> 24) * 0x5BD1E995) & 0xFFFFFFFF
    if whole < length:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & 0xFFFFFFFF
    hashed = (hashed ^ hashed >> 13) * 0x5BD1E995 & 0xFFFFFFFF
    return hashed ^ hashed >> 15


async def poll(
    consumer: AIOKafkaConsumer, *partitions: TopicPartition, timeout_ms: int, max_records: int | None = None
) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
    """What a client has fetched; waits no longer than told, also while its group is rebalanced.

    Raises `KafkaUnavailable` where the client has stopped fetching, and the client's own errors.
    """
    try:
        return await wabus_events.kafka.poll(consumer, *partitions, timeout_ms=timeout_ms, max_records=max_records)
    except KafkaAway as error:
        raise KafkaUnavailable(str(error)) from error


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close, within `STOP_TIMEOUT`.

    What would go on after that is ended, or a member that reads nothing would keep its partitions with its heartbeats.
    """
    try:
        if error := await wabus_events.kafka.close(consumer.stop(), STOP_TIMEOUT):
            log.warning("closing a consumer failed", action="consumer_close", error=type(error).__name__)
    finally:
        inner: Any = consumer
        tasks = [inner._client._sync_task]
        if inner._fetcher:
            tasks += [inner._fetcher.error_future, *inner._fetcher._pending_tasks]
        if inner._coordinator:
            # Only a coordinator with a group has the tasks; the others have some of the attributes.
            names = "_coordination_task", "_heartbeat_task", "_commit_refresh_task"
            tasks += [getattr(inner._coordinator, name, None) for name in names]
        for task in tasks:
            if task is not None and not task.done():
                task.cancel()
        for connection in inner._client._conns.values():
            connection.close(reason=CloseReason.SHUTDOWN)


async def close_broken(closing: Awaitable[None]) -> None:
    """Close a client that may be broken, without waiting for what it can't send."""
    if error := await wabus_events.kafka.close(closing, 1):
        log.debug("closing a kafka client failed", action="kafka_close", error=type(error).__name__)


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Close a producer for good, whatever it has not delivered: from here on it sends nothing any more.

    aiokafka's `stop` waits until all is delivered, however long, and when it is cancelled its sender goes on.
    """
    inner: Any = producer
    inner._closed = True
    for _ in range(2):  # at first it still waits for the answers to what it has asked
        if (sending := inner._sender.sender_task) and not sending.done():
            sending.cancel()
            await asyncio.wait([sending], timeout=0.5)
    await close_broken(producer.client.close())


async def ensure_topics(settings: KafkaSettings, topics: Sequence[Topic] = TOPICS) -> None:
    """Create the topics that are missing; any number of processes may do so at once.

    Raises `TopicMismatch` where one exists with other partitions, `KafkaUnavailable` when Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        wanted = {topic_name(settings, topic): topic for topic in topics}
        there = [topic for topic in await admin.describe_topics() if topic["topic"] in wanted]
        missing = set(wanted) - {topic["topic"] for topic in there}
        if missing:
            replicas = settings.topic_replication
            durable = {"min.insync.replicas": "2" if replicas > 2 else "1"}
            response: Any = await admin.create_topics(
                [
                    NewTopic(name, topic.partitions, replicas, topic_configs=topic.config() | durable)
                    for name, topic in wanted.items()
                    if name in missing
                ]
            )
            errors = {name: for_code(code) for name, code, *_ in response.topic_errors if code}
            for name, error in errors.items():
                if error is not TopicAlreadyExistsError:
                    raise KafkaUnavailable(f"Kafka would not create the topic {name}: {error.__name__}")
            if created := sorted(missing - errors.keys()):
                log.info("topics created", action="topics_created", topics=created)
            if errors:
                there += await _made_by_others(admin, errors.keys())
        for topic in there:
            found, declared = len(topic["partitions"]), wanted[topic["topic"]].partitions
            if topic["error_code"] == 0 and found != declared:
                raise TopicMismatch(f"{topic['topic']} has {found} partitions, declared are {declared}")
    except KafkaError as error:
        raise KafkaUnavailable(f"Kafka did not answer: {type(error).__name__}") from error
    finally:
        await admin.close()


async def _made_by_others(admin: AIOKafkaAdminClient, names: Collection[str]) -> list[Any]:
    """Topics that were there already though the broker had not said so: it hears of one later than the controller."""
    for pause in (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6):
        await asyncio.sleep(pause)
        found = [topic for topic in await admin.describe_topics() if topic["topic"] in names]
        if len(found) == len(names):
            return found
    raise KafkaUnavailable(f"the broker has not heard yet of {', '.join(sorted(names))}")


def _learn_of_resets() -> None:
    """Let aiokafka take the error that uvloop raises on writing to a connection that was reset for what it is.

    asyncio's own loop raises none there; uvloop raises RuntimeError, until the reader has noticed the reset too.
    aiokafka expects OSError alone: its tasks that fetch records and keep the metadata would end for good.
    """

    def adapted(send: Any) -> Any:
        @wraps(send)
        def sending(connection: Any, *arguments: Any, **options: Any) -> Any:
            try:
                return send(connection, *arguments, **options)
            except RuntimeError as error:
                connection.close(reason=CloseReason.CONNECTION_BROKEN)
                raise KafkaConnectionError("the connection was reset") from error

        return sending

    inner: Any = AIOKafkaConnection
    inner.send, inner._send_sasl_token = adapted(inner.send), adapted(inner._send_sasl_token)


_learn_of_resets()
