"""What waits to be published to one partition, and what of it is at the broker. Pure.

A batch is at the broker until its outcome is known, and no other one of its partition beside it; so the order of a
partition holds whatever becomes of a batch. A publish ends when the last of its records has.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import Counter
from wabus_events import Record
from wabus_events.models.topics import MAX_RECORD_BYTES

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.observe.timings import Timings

BATCH_BYTES = 900_000  # about what goes out at once to a partition
BATCH_RECORDS = 1_000  # that go out at once: packing them takes some 4 ms, during which nothing else runs
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds

_ROOM = 4096  # bytes for what Kafka puts around a record, and for a trace
_AROUND_HEADER = 20  # bytes at most

PUBLISHED = Counter("wabus_published_events_total", "Events that Kafka has taken.", ["topic"])
PUBLISH_FAILURES = Counter("wabus_publish_failures_total", "Publishes that Kafka did not take.")
PUBLISH_SECONDS = Timings("wabus_publish_seconds", "From publish to its end, waiting included.", buckets=BUCKETS)
REFUSED = Counter("wabus_records_refused_total", "Records that a topic refuses for good.", ["topic", "reason"])

log = structlog.get_logger()


class Overloaded(KafkaUnavailable):
    """More is waiting for Kafka than memory should hold, or it waits for longer than somebody would."""


class RecordRefused(Exception):
    """Kafka refuses records for good: to publish them again is of no use. The others of the same publish are there.

    `reasons` has the name of Kafka's error for each of them, by its place in the publish.
    """

    def __init__(self, topic: str, reasons: Mapping[int, str]) -> None:
        super().__init__(f"{topic} refuses {len(reasons)} of the records: {', '.join(sorted(set(reasons.values())))}")
        self.topic = topic
        self.reasons = reasons


Done = Callable[[KafkaUnavailable | RecordRefused | None], None]
"""Told how a publish ended: None when Kafka has all of it. It must not raise."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record is. `topic` has no prefix."""

    topic: str
    partition: int
    offset: int


@dataclass(slots=True, eq=False)
class Publish:
    """Some records that are published when all of them are. `started` is of `time.perf_counter`."""

    left: int
    started: float
    done: Done
    positions: list[Position | None] | None
    error: KafkaUnavailable | None = None
    refused: RecordRefused | None = None

    def end_record(self, error: KafkaUnavailable | None) -> None:
        """Note the end of one of its records; with the last one it ends."""
        self.error = self.error or error
        self.left -= 1
        if not self.left:
            PUBLISH_SECONDS.observe(time.perf_counter() - self.started)
            _call(self.done, self.error or self.refused)

    def refuse(self, topic: str, index: int, reason: str) -> None:
        """Note that one of its records is refused for good."""
        reasons = self.refused.reasons if self.refused else {}
        self.refused = RecordRefused(topic, {**reasons, index: reason})
        self.end_record(None)

    def give_up_waiting(self) -> None:
        """End it before its records have ended, if that has not been done."""
        done, self.done = self.done, _called
        if done is not _called:
            PUBLISH_FAILURES.inc()
            _call(done, Overloaded("it waited too long for Kafka"))


def _call(done: Done, error: KafkaUnavailable | RecordRefused | None) -> None:
    try:
        done(error)
    except Exception as raised:  # the others of its batch would never be told
        log.error("telling of a publish failed", action="publish_untold", error=type(raised).__name__)


def _called(_error: KafkaUnavailable | RecordRefused | None) -> None:
    """Whoever waited for it does no more."""


Entry = tuple[Record, Publish, int]
"""A record, what it is published with, and its place in that."""


@dataclass(slots=True, eq=False)
class PartitionBuffer:
    """One partition's records that Kafka does not have yet, in their order. `topic` has no prefix."""

    topic: str
    partition: int
    waiting: list[Entry] = field(default_factory=list[Entry])
    batch: list[Entry] = field(default_factory=list[Entry])
    """What is at the broker, or on its way there."""
    taken_at: float = 0.0
    """When the batch was made of what waited, by `time.perf_counter`."""
    since: float = 0.0
    """When Kafka took or refused something of it last, or when it began to wait after there was nothing."""
    is_stalled: bool = False
    """Whether those who wait have been given up because Kafka says nothing."""
    ids_tried: int = 0
    """Producer ids under which its batch was turned down, one after the other."""
    node: int = -1
    """The broker that led it last, as far as that is known."""
    most: int = BATCH_BYTES
    """Bytes of a batch, about. Less after a refusal, until it is clear which record was meant."""
    _ceiling: int = BATCH_BYTES

    def add(self, record: Record, publish: Publish, index: int) -> None:
        """Let a record wait; `index` is its place in its publish."""
        self.waiting.append((record, publish, index))

    def take(self, now: float) -> list[Entry]:
        """Make a batch of the first that wait: at least one, and as many as go out together."""
        count = size = 0
        for record, _, _ in self.waiting[:BATCH_RECORDS]:
            size += about_bytes(record)
            if count and size > self.most:
                break
            count += 1
        if count == len(self.waiting):
            self.batch, self.waiting = self.waiting, []
        else:
            self.batch, self.waiting = self.waiting[:count], self.waiting[count:]
        self.taken_at = now
        return self.batch

    def put_back(self) -> None:
        """Let the batch wait again, before all else: Kafka does not have it."""
        self.batch, self.waiting = [], [*self.batch, *self.waiting]

    def acknowledge(self, offset: int, now: float) -> int:
        """Kafka has the batch, its first record at `offset` and the others behind it without a gap.

        Returns how many records have ended, as all that end some do.
        """
        batch = self._empty_batch(now)
        self.ids_tried = 0
        if self.most < self._ceiling:
            self.most = min(2 * self.most, self._ceiling)
        for distance, (_, publish, index) in enumerate(batch):
            if publish.positions is not None:
                publish.positions[index] = Position(self.topic, self.partition, offset + distance)
            publish.end_record(None)
        return len(batch)

    def fail(self, error: KafkaUnavailable, now: float) -> int:
        """End the batch: Kafka may have it or not."""
        PUBLISH_FAILURES.inc()
        batch = self._empty_batch(now)
        self.ids_tried = 0
        for _, publish, _ in batch:
            publish.end_record(error)
        return len(batch)

    def refuse(self, reason: str, now: float, *, about_size: bool = False, about_topic: bool = False) -> int:
        """Kafka refuses the batch for good: end its only record, or let all wait again, to go out in smaller batches.

        Where it is about the size no batch will be as large again; where it is about the topic all records end.
        """
        if len(self.batch) > 1 and not about_topic:
            self.most = sum(about_bytes(record) for record, _, _ in self.batch) // 2
            if about_size:
                self._ceiling = self.most
            self.put_back()
            self.since = now
            return 0
        batch = self._empty_batch(now)
        REFUSED.labels(self.topic, reason).inc(len(batch))
        place: dict[str, Any] = {"topic": self.topic, "partition": self.partition}
        log.error("kafka refuses records", action="record_refused", **place, count=len(batch), reason=reason)
        for _, publish, index in batch:
            publish.refuse(self.topic, index, reason)
        return len(batch)

    def give_up_older(self, before: float) -> int:
        """Give up each publish that was started earlier, and forget its records that wait; returns how many."""
        for _, publish, _ in self.batch:
            if publish.started < before:
                publish.give_up_waiting()
        if not self.waiting or all(publish.started >= before for _, publish, _ in self.waiting):
            return 0
        old, self.waiting = self.waiting, [entry for entry in self.waiting if entry[1].started >= before]
        count = len(old) - len(self.waiting)
        for _, publish, _ in old:
            if publish.started < before:
                publish.give_up_waiting()
        return count

    def _empty_batch(self, now: float) -> list[Entry]:
        batch, self.batch, self.since = self.batch, [], now
        return batch


def about_bytes(record: Record) -> int:
    """What a record takes in a batch, roughly."""
    return len(record.value or b"") + 400


def fits(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a record of these is one that the topics of wabus take (`MAX_RECORD_BYTES`)."""
    size = len(key or b"") + len(value or b"")
    for name, content in headers:
        size += 4 * len(name) + len(content) + _AROUND_HEADER
    return size <= MAX_RECORD_BYTES - _ROOM
