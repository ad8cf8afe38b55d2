"""Produce requests by hand: idempotent, `acks=all`, the batches of many partitions in one request to each leader.

Connections, authentication and metadata are aiokafka's. Its producer is not used, because it makes futures, tasks and
generic encoders do for every partition what a few bytes in a row do for all of them (docs/decisions/0007).
Source: Kafka protocol guide, Produce version 7 and InitProducerId version 0; KIP-98 (idempotent producer).
"""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    DuplicateSequenceNumber,
    IncompatibleBrokerVersion,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NoError,
    NotLeaderForPartitionError,
    for_code,
)
from aiokafka.protocol.api import RequestHeader_v1, ResponseHeader_v0
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from wabus_events import TOPICS, Record
from wabus_events.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka import REQUEST_TIMEOUT_MS, client_options, topic_name
from wabus_runtime.settings import KafkaSettings

ACK_TIMEOUT = 3.0  # seconds until a round without an answer means that Kafka is away
RETRY_DELAY = 0.1  # seconds before asking a new leader

_ROOM = 4096  # bytes for what Kafka puts around a record, and for a trace
_AROUND_HEADER = 20  # bytes at most

_VERSION = 7
_NEVER = 2**31 - 1  # ms; InitProducerId demands a transaction time-out even where there are no transactions
_PARTITION = struct.Struct(">ii")  # partition, bytes of its batch
_OUTCOME = struct.Struct(">ihqqq")  # partition, error, base offset, log append time, log start offset


@dataclass(slots=True, eq=False)
class Batch:
    """What goes to one partition at once. `topic` has no prefix."""

    topic: str
    partition: int
    records: Sequence[Record]
    offset: int = -1
    """Of the first record, once Kafka has them all; the others follow it without a gap."""
    error: KafkaError | None = None
    """Why Kafka did not take it; None also where it did."""
    acknowledged: bool = False
    data: bytes = b""


def fits(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a record of these is one that the topics of wabus take (`MAX_RECORD_BYTES`)."""
    size = len(key or b"") + len(value or b"")
    size += sum(4 * len(name) + len(content) + _AROUND_HEADER for name, content in headers)
    return size <= MAX_RECORD_BYTES - _ROOM


class Producer:
    """One producer id. Not for concurrent use: a partition's batches must arrive one after the other."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: Any = AIOKafkaClient(**client_options(settings))
        self._sequences: dict[tuple[str, int], int] = {}
        self._id, self._epoch = -1, -1
        self.partitions: dict[str, int] = {}
        """How many each topic has, by its name without the prefix."""

    async def start(self) -> None:
        """Wait for the topics to exist and take a producer id. Raises KafkaError or OSError."""
        await self._client.bootstrap()
        names = {topic.name: topic_name(self._settings, topic) for topic in TOPICS}
        await self._client.set_topics(list(names.values()))
        for topic, name in names.items():
            while not (found := self._client.cluster.partitions_for_topic(name)):
                # Created a moment ago, perhaps, and not yet known to this broker; the caller's time-out ends this.
                await asyncio.sleep(RETRY_DELAY)
                await self._client.force_metadata_update()
            self.partitions[topic] = len(found)
        # The first records shall not wait for connections, least of all those of a round for all brokers.
        await asyncio.gather(*(self._client.ready(leader) for leader in self._leaders(names.values())))
        while True:
            asked: Any = InitProducerIdRequest(None, _NEVER)  # pyright: ignore[reportArgumentType]
            answer = await self._client.send(self._client.get_random_node(), asked)
            error = for_code(answer.error_code)
            if error is NoError:
                self._id, self._epoch = answer.producer_id, answer.producer_epoch
                return
            if not error.retriable:
                raise error()
            await asyncio.sleep(RETRY_DELAY)  # a broker that has just started is still loading

    def _leaders(self, names: Iterable[str]) -> set[int]:
        cluster = self._client.cluster
        places = [TopicPartition(name, number) for name in names for number in cluster.partitions_for_topic(name) or ()]
        return {leader for leader in map(cluster.leader_for_partition, places) if leader not in (None, -1)}

    async def close(self) -> None:
        await self._client.close()

    async def produce(self, batches: Sequence[Batch]) -> None:
        """Return when each batch is acknowledged or has an error; an error leaves the producer unfit for more.

        What may pass (a new leader, too few replicas in sync) is tried again for `ACK_TIMEOUT`, with the same
        sequence numbers, so that nothing is written twice. Raises TimeoutError after that.
        """
        for batch in batches:
            batch.data = self._encoded(batch)
        left = batches
        async with asyncio.timeout(ACK_TIMEOUT):
            while left := await self._attempt(left):
                await self._client.force_metadata_update()
                await asyncio.sleep(RETRY_DELAY)

    def _encoded(self, batch: Batch) -> bytes:
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=self._id,
            producer_epoch=self._epoch,
            base_sequence=self._sequences.get((batch.topic, batch.partition), 0),
            batch_size=MAX_RECORD_BYTES,
        )
        append = builder.append
        for offset, record in enumerate(batch.records):
            if append(offset, record.timestamp_ms, record.key, record.value, record.headers) is None:  # pyright: ignore
                raise MessageSizeTooLargeError
        return bytes(builder.build())

    async def _attempt(self, batches: Sequence[Batch]) -> list[Batch]:
        """Ask the leaders once; returns the batches to try again."""
        by_leader: dict[int, list[Batch]] = {}
        again: list[Batch] = []
        for batch in batches:
            name = self._settings.topic_prefix + batch.topic
            leader = self._client.cluster.leader_for_partition(TopicPartition(name, batch.partition))
            if leader is None or leader == -1:
                again.append(batch)
            else:
                by_leader.setdefault(leader, []).append(batch)
        if len(by_leader) == 1:
            ((leader, those),) = by_leader.items()
            return again + await self._ask(leader, those)
        for unsettled in await asyncio.gather(*(self._ask(leader, those) for leader, those in by_leader.items())):
            again += unsettled
        return again

    async def _ask(self, leader: int, batches: list[Batch]) -> list[Batch]:
        try:
            answer = await self._client.send(leader, _Request(self._settings.topic_prefix, batches))
        except KafkaError as error:
            if error.retriable:
                return batches
            for batch in batches:
                batch.error = error
            return []
        again: list[Batch] = []
        for batch in batches:
            code, offset = answer.outcomes.get((self._settings.topic_prefix + batch.topic, batch.partition), (-1, -1))
            error = for_code(code)
            if error is NoError or error is DuplicateSequenceNumber:
                lane = batch.topic, batch.partition
                self._sequences[lane] = (self._sequences.get(lane, 0) + len(batch.records)) & 0x7FFFFFFF
                batch.offset, batch.acknowledged = offset, True
            elif error.retriable or error in (NotLeaderForPartitionError, LeaderNotAvailableError):
                again.append(batch)
            else:
                batch.error = error()
        return again


class _Request:
    """In the form that aiokafka's connections take a request."""

    API_KEY = 0
    API_VERSION = _VERSION
    required_acks = -1

    def __init__(self, prefix: str, batches: Sequence[Batch]) -> None:
        self._topics: dict[str, list[Batch]] = {}
        for batch in batches:
            self._topics.setdefault(prefix + batch.topic, []).append(batch)

    def prepare(self, versions: dict[int, tuple[int, int]]) -> "_Request":
        lowest, highest = versions.get(self.API_KEY, (-1, -1))
        if not lowest <= _VERSION <= highest:
            raise IncompatibleBrokerVersion(f"the broker does not speak Produce version {_VERSION}")
        return self

    def build_request_header(self, correlation_id: int, client_id: str) -> RequestHeader_v1:
        return RequestHeader_v1(self, correlation_id, client_id)  # pyright: ignore[reportArgumentType]

    def encode(self) -> bytes:
        # No transactional id, acks=all, the broker's own time-out, the topics.
        parts = [struct.pack(">hhii", -1, self.required_acks, REQUEST_TIMEOUT_MS, len(self._topics))]
        for topic, batches in self._topics.items():
            name = topic.encode()
            parts.append(struct.pack(f">h{len(name)}si", len(name), name, len(batches)))
            for batch in batches:
                parts.append(_PARTITION.pack(batch.partition, len(batch.data)))
                parts.append(batch.data)
        return b"".join(parts)

    def parse_response_header(self, read_buffer: Any) -> ResponseHeader_v0:
        return ResponseHeader_v0.decode(read_buffer)

    @property
    def RESPONSE_TYPE(self) -> "type[_Answer]":  # noqa: N802 - aiokafka's name
        return _Answer


class _Answer:
    def __init__(self, outcomes: dict[tuple[str, int], tuple[int, int]]) -> None:
        self.outcomes = outcomes
        """By topic and partition: the error's code and the offset of the batch's first record."""

    @classmethod
    def decode(cls, data: Any) -> "_Answer":
        answer = data.read()
        outcomes: dict[tuple[str, int], tuple[int, int]] = {}
        (topics,) = struct.unpack_from(">i", answer)
        at = 4
        for _ in range(topics):
            (length,) = struct.unpack_from(">h", answer, at)
            topic = answer[at + 2 : at + 2 + length].decode()
            (partitions,) = struct.unpack_from(">i", answer, at + 2 + length)
            at += 6 + length
            for _ in range(partitions):
                partition, code, offset, _, _ = _OUTCOME.unpack_from(answer, at)
                outcomes[topic, partition] = code, offset
                at += _OUTCOME.size
        return cls(outcomes)
