"""What waits to be published to one partition, and what of it is at the broker. It knows no client of Kafka.

A batch is at the broker until its outcome is known, and no other one of its partition beside it; so the order of a
partition holds whatever becomes of a batch. A publish ends when the last of its records has.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from wabus_events import Record

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import PUBLISH_FAILURES, PUBLISH_SECONDS, REFUSED, Overloaded, Position, RecordRefused
from wabus_runtime.kafka.record_sizes import about_bytes

BATCH_BYTES = 900_000  # about what goes out at once to a partition
BATCH_RECORDS = 1_000  # that go out at once: packing them takes some 4 ms, during which nothing else runs

Done = Callable[[KafkaUnavailable | RecordRefused | None], None]
"""Told how a publish ended: None when Kafka has all of it. It must not raise."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Publish:
    """Some records that are published when all of them are. `started` is of `time.perf_counter`."""

    left: int
    started: float
    done: Done | None
    """None once it has been called."""
    positions: list[Position | None] | None
    error: KafkaUnavailable | RecordRefused | None = None

    def fail_record(self, error: KafkaUnavailable | RecordRefused) -> None:
        """One of its records has failed; with the last one it ends. What may be there or not outweighs a refusal."""
        if not isinstance(self.error, KafkaUnavailable):
            if self.error and isinstance(error, RecordRefused):
                error = RecordRefused(error.topic, {**self.error.reasons, **error.reasons})
            self.error = error
        self.left -= 1
        if not self.left:
            self.end()

    def end(self) -> None:
        """Tell how it ended, now that none of its records is left."""
        PUBLISH_SECONDS.observe(time.perf_counter() - self.started)
        self.tell(self.error)

    def tell(self, error: KafkaUnavailable | RecordRefused | None) -> None:
        """Tell whoever waits how it ended, once."""
        done, self.done = self.done, None
        if done is None:
            return
        if isinstance(error, KafkaUnavailable):
            PUBLISH_FAILURES.inc()
        try:
            done(error)
        except Exception as raised:  # the others of its batch would never be told
            log.error("telling of a publish failed", action="publish_untold", error=type(raised).__name__)


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
    most: int = BATCH_BYTES
    """Bytes of a batch, about. Less after a refusal, until it is clear which record was meant."""
    _ceiling: int = BATCH_BYTES

    def add(self, records: Sequence[Record], publish: Publish, first: int, end: int) -> None:
        """Let those records of a publish wait that are from `first` to before `end`."""
        self.waiting += [(records[index], publish, index) for index in range(first, end)]

    def take(self, now: float) -> list[Entry]:
        """Make a batch of the first that wait: at least one, and as many as go out together."""
        count = size = 0
        for record, _, _ in self.waiting[:BATCH_RECORDS]:
            size += about_bytes(record)
            if count and size > self.most:
                break
            count += 1
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
        self.most = min(2 * self.most, self._ceiling)
        for distance, (_, publish, index) in enumerate(batch):
            if publish.positions is not None:
                publish.positions[index] = Position(self.topic, self.partition, offset + distance)
            publish.left -= 1  # here, for a call of its own takes longer than all the rest, and there are thousands
            if not publish.left:
                publish.end()
        return len(batch)

    def fail(self, error: KafkaUnavailable, now: float) -> int:
        """End the batch: Kafka may have it or not."""
        batch = self._empty_batch(now)
        for _, publish, _ in batch:
            publish.fail_record(error)
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
        place = {"topic": self.topic, "partition": self.partition, "count": len(batch)}
        log.error("kafka refuses records", action="record_refused", reason=reason, **place)
        for _, publish, index in batch:
            publish.fail_record(RecordRefused(self.topic, {index: reason}))
        return len(batch)

    def give_up_older(self, before: float) -> int:
        """Give up each publish that was started earlier, and forget its records that wait; returns how many."""
        old = [entry for entry in self.waiting if entry[1].started < before]
        if old:
            self.waiting = [entry for entry in self.waiting if entry[1].started >= before]
        for _, publish, _ in (*self.batch, *old):
            if publish.started < before:
                publish.tell(Overloaded("it waited too long for Kafka"))
        return len(old)

    def _empty_batch(self, now: float) -> list[Entry]:
        batch, self.batch, self.since = self.batch, [], now
        return batch
