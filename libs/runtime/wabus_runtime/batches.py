"""What goes to Kafka in one Produce request and what its answer says, as bytes. Pure.

Source: Kafka protocol guide, Produce version 7; KIP-98 (idempotent producer).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from wabus_events import Record
from wabus_events.topics import MAX_RECORD_BYTES

PRODUCE, VERSION = 0, 7  # the API and its version
REPLICAS_TIMEOUT_MS = 2_000
"""How long a leader waits for its replicas before it says so: less than `ACK_TIMEOUT`, so that it can be told from one
that hangs."""

_ROOM = 4096  # bytes for what Kafka puts around a record, and for a trace
_AROUND_HEADER = 20  # bytes at most
_PARTITION = struct.Struct(">ii")  # partition, bytes of its batch
_FRONT = struct.Struct(">hhii")  # no transactional id, acks, the broker's own time-out, topics
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
    attempts: int = 0


def fits(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a record of these is one that the topics of wabus take (`MAX_RECORD_BYTES`)."""
    size = len(key or b"") + len(value or b"")
    size += sum(4 * len(name) + len(content) + _AROUND_HEADER for name, content in headers)
    return size <= MAX_RECORD_BYTES - _ROOM


def encoded(batch: Batch, producer_id: int, epoch: int, sequence: int) -> bytes:
    """A batch as Kafka keeps it; `sequence` is that of its first record. Raises MessageSizeTooLargeError."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=MAX_RECORD_BYTES,
    )
    append = builder.append
    for offset, record in enumerate(batch.records):
        if append(offset, record.timestamp_ms, record.key, record.value, record.headers) is None:  # pyright: ignore
            raise MessageSizeTooLargeError
    return bytes(builder.build())


def request(prefix: str, batches: Sequence[Batch]) -> bytes:
    """The request for some batches of one leader; `prefix` comes before each topic's name."""
    by_topic: dict[str, list[Batch]] = {}
    for batch in batches:
        by_topic.setdefault(prefix + batch.topic, []).append(batch)
    parts = [_FRONT.pack(-1, -1, REPLICAS_TIMEOUT_MS, len(by_topic))]
    for topic, those in by_topic.items():
        name = topic.encode()
        parts.append(struct.pack(f">h{len(name)}si", len(name), name, len(those)))
        for batch in those:
            parts.append(_PARTITION.pack(batch.partition, len(batch.data)))
            parts.append(batch.data)
    return b"".join(parts)


def outcomes(answer: bytes) -> dict[tuple[str, int], tuple[int, int]]:
    """By topic and partition: the error's code and the offset of the batch's first record."""
    found: dict[tuple[str, int], tuple[int, int]] = {}
    (topics,) = struct.unpack_from(">i", answer)
    at = 4
    for _ in range(topics):
        (length,) = struct.unpack_from(">h", answer, at)
        topic = answer[at + 2 : at + 2 + length].decode()
        (partitions,) = struct.unpack_from(">i", answer, at + 2 + length)
        at += 6 + length
        for _ in range(partitions):
            partition, code, offset, _, _ = _OUTCOME.unpack_from(answer, at)
            found[topic, partition] = code, offset
            at += _OUTCOME.size
    return found
