"""Produce requests by hand: idempotent, `acks=all`, the batches of many partitions in one request to each leader.

Authentication and metadata are aiokafka's. Its producer is not used, because it makes futures, tasks and generic
encoders do for every partition what a few bytes in a row do for all of them (docs/decisions/0007). As long as Kafka
answers, no task and no future is made here either.
Source: Kafka protocol guide, Produce version 7 and InitProducerId version 0; KIP-98 (idempotent producer).
"""

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    DuplicateSequenceNumber,
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NoError,
    NotLeaderForPartitionError,
    for_code,
)
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from wabus_events import TOPICS, Record
from wabus_events.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka import REQUEST_TIMEOUT_MS, client_options
from wabus_runtime.settings import KafkaSettings
from wabus_runtime.wire import Wire, take_over

ACK_TIMEOUT = 3.0  # seconds until a round without an answer means that Kafka is away
RETRY_DELAY = 0.1  # seconds before asking a new leader

_ROOM = 4096  # bytes for what Kafka puts around a record, and for a trace
_AROUND_HEADER = 20  # bytes at most

_PRODUCE, _VERSION = 0, 7
_NEVER = 2**31 - 1  # ms; InitProducerId demands a transaction time-out even where there are no transactions
_PARTITION = struct.Struct(">ii")  # partition, bytes of its batch
_FRONT = struct.Struct(">hhii")  # no transactional id, acks, the broker's own time-out, topics
_OUTCOME = struct.Struct(">ihqqq")  # partition, error, base offset, log append time, log start offset

Ended = Callable[[KafkaError | OSError | None], None]
"""Told why a round ended without an answer for all; None where each of its batches is acknowledged or has an error."""


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
    """One producer id. One round at a time: a partition's batches must arrive one after the other."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._prefix = settings.topic_prefix
        self._client: Any = AIOKafkaClient(**client_options(settings))
        self._wires: dict[int, Wire] = {}
        self._sequences: dict[tuple[str, int], int] = {}
        self._id, self._epoch = -1, -1
        self._ended: Ended | None = None
        self._time_out: asyncio.TimerHandle | None = None
        self._unanswered = 0  # brokers of this round
        self._again: list[Batch] = []
        self._retry: asyncio.Task[None] | None = None
        self.partitions: dict[str, int] = {}
        """How many each topic has, by its name without the prefix."""

    async def start(self) -> None:
        """Wait for the topics to exist and take a producer id. Raises KafkaError or OSError."""
        await self._client.bootstrap()
        names = {topic.name: self._prefix + topic.name for topic in TOPICS}
        await self._client.set_topics(list(names.values()))
        for topic, name in names.items():
            while not (found := self._client.cluster.partitions_for_topic(name)):
                # Created a moment ago, perhaps, and not yet known to this broker; the caller's time-out ends this.
                await asyncio.sleep(RETRY_DELAY)
                await self._client.force_metadata_update()
            self.partitions[topic] = len(found)
        # The first records shall not wait for connections, least of all those of a round for all brokers.
        places = [(topic, number) for topic, count in self.partitions.items() for number in range(count)]
        await self._connect({self._leader(*place) for place in places})
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

    async def close(self) -> None:
        if self._retry:
            self._retry.cancel()
        await self._client.close()

    def produce(self, batches: Sequence[Batch], ended: Ended) -> None:
        """Send a round; `ended` is called later, never from here. An error leaves the producer unfit for more.

        What may pass (a new leader, too few replicas in sync) is tried again for `ACK_TIMEOUT`, with the same
        sequence numbers, so that nothing is written twice; after that the round ends with a TimeoutError.
        Raises MessageSizeTooLargeError.
        """
        for batch in batches:
            batch.data = self._encoded(batch)
        self._ended = ended
        self._time_out = asyncio.get_running_loop().call_later(ACK_TIMEOUT, self._end, TimeoutError())
        self._attempt(batches)

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

    def _leader(self, topic: str, partition: int) -> int:
        """The id of the broker that leads a partition, -1 where there is none."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(self._prefix + topic, partition))
        return -1 if leader is None else leader

    async def _connect(self, leaders: Iterable[int]) -> None:
        """Open what is not open. Raises IncompatibleBrokerVersion."""
        missing = [one for one in leaders if one != -1 and not ((wire := self._wires.get(one)) and wire.open)]
        opened = await asyncio.gather(*(take_over(self._client, leader, _PRODUCE, _VERSION) for leader in missing))
        self._wires.update({leader: wire for leader, wire in zip(missing, opened, strict=True) if wire})

    def _attempt(self, batches: Sequence[Batch]) -> None:
        """Ask the leaders once."""
        by_leader: dict[int, list[Batch]] = {}
        for batch in batches:
            by_leader.setdefault(self._leader(batch.topic, batch.partition), []).append(batch)
        self._unanswered, self._again = len(by_leader), []
        for leader, those in by_leader.items():
            wire = self._wires.get(leader)
            if wire is None:
                self._answered(those, None)
            else:
                wire.ask(_PRODUCE, _VERSION, _request(self._prefix, those), partial(self._answered, those))

    def _answered(self, batches: list[Batch], answer: bytes | None) -> None:
        """Note what a leader has answered, or None where it could not; the last one's answer ends the attempt."""
        if self._ended is None:
            return
        if answer is None:
            self._again += batches
        else:
            outcomes = _outcomes(answer)
            for batch in batches:
                self._note(batch, *outcomes.get((self._prefix + batch.topic, batch.partition), (-1, -1)))
        self._unanswered -= 1
        if self._unanswered:
            return
        if self._again:
            self._retry = asyncio.get_running_loop().create_task(self._try_again(self._again))
        else:
            self._end(None)

    def _note(self, batch: Batch, code: int, offset: int) -> None:
        error = for_code(code)
        if error is NoError or error is DuplicateSequenceNumber:
            lane = batch.topic, batch.partition
            self._sequences[lane] = (self._sequences.get(lane, 0) + len(batch.records)) & 0x7FFFFFFF
            batch.offset, batch.acknowledged = offset, True
        elif error.retriable or error in (NotLeaderForPartitionError, LeaderNotAvailableError):
            self._again.append(batch)
        else:
            batch.error = error()

    async def _try_again(self, batches: list[Batch]) -> None:
        try:
            await self._client.force_metadata_update()
            await asyncio.sleep(RETRY_DELAY)
            await self._connect({self._leader(batch.topic, batch.partition) for batch in batches})
        except (KafkaError, OSError) as error:
            self._end(error)
        else:
            if self._ended:
                self._attempt(batches)

    def _end(self, error: KafkaError | OSError | None) -> None:
        ended, self._ended = self._ended, None
        if self._time_out:
            self._time_out.cancel()
        if ended:
            ended(error)


def _request(prefix: str, batches: Sequence[Batch]) -> bytes:
    by_topic: dict[str, list[Batch]] = {}
    for batch in batches:
        by_topic.setdefault(prefix + batch.topic, []).append(batch)
    parts = [_FRONT.pack(-1, -1, REQUEST_TIMEOUT_MS, len(by_topic))]
    for topic, those in by_topic.items():
        name = topic.encode()
        parts.append(struct.pack(f">h{len(name)}si", len(name), name, len(those)))
        for batch in those:
            parts.append(_PARTITION.pack(batch.partition, len(batch.data)))
            parts.append(batch.data)
    return b"".join(parts)


def _outcomes(answer: bytes) -> dict[tuple[str, int], tuple[int, int]]:
    """By topic and partition: the error's code and the offset of the batch's first record."""
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
    return outcomes
