"""What waits to be published, by partition: what goes out together, and what has waited too long. Pure.

Everything that waits goes out in one round, as far as it fits; a publish ends when the last of its records has.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Histogram
from wabus_events import Record

from wabus_runtime.kafka import KafkaUnavailable

BATCH_BYTES = 900_000  # about what goes out at once to a partition
ROUND_RECORDS = 1_000  # that go out at once: packing them takes some 4 ms, during which nothing else runs
ROUND_BYTES = 8_000_000  # about what goes out at once
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds

PUBLISHED = Counter("wabus_published_events_total", "Events that Kafka has taken.", ["topic"])
PUBLISH_FAILURES = Counter("wabus_publish_failures_total", "Publishes that Kafka did not take.")
PUBLISH_SECONDS = Histogram("wabus_publish_seconds", "From publish to its end, waiting included.", buckets=BUCKETS)

log = structlog.get_logger()

Place = tuple[str, int]
"""A topic without prefix, and a partition."""

Done = Callable[[KafkaUnavailable | None], None]
"""Told how a publish ended: None when Kafka has all of it. It must not raise."""


class Overloaded(KafkaUnavailable):
    """More is waiting for Kafka than memory should hold, or it waits for longer than somebody would."""


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

    def settle(self, error: KafkaUnavailable | None) -> None:
        """Note the end of one of its records; with the last one it ends."""
        self.error = self.error or error
        self.left -= 1
        if not self.left:
            PUBLISH_SECONDS.observe(time.perf_counter() - self.started)
            _tell(self.done, self.error)

    def give_up(self) -> None:
        """End it before its records have ended, if that has not been done."""
        done, self.done = self.done, _told
        if done is not _told:
            PUBLISH_FAILURES.inc()
            _tell(done, Overloaded("it waited too long for Kafka"))


def _tell(done: Done, error: KafkaUnavailable | None) -> None:
    try:
        done(error)
    except Exception as raised:  # the others of its round would never be told
        log.error("telling of a publish failed", action="publish_untold", error=type(raised).__name__)


def _told(_error: KafkaUnavailable | None) -> None:
    """Whoever waited for it does no more."""


@dataclass(slots=True, eq=False)
class Lane:
    """What waits for one partition, in its order: each record, its publish and its place in that."""

    records: list[Record] = field(default_factory=list[Record])
    publishes: list[tuple[Publish, int]] = field(default_factory=list[tuple[Publish, int]])
    size: int = 0  # bytes, about

    def settle(self, error: KafkaUnavailable | None, base: Position | None = None) -> None:
        """The same end for all; `base` is where the first record is, and the others follow it without a gap."""
        for distance, (publish, index) in enumerate(self.publishes):
            if base is not None and publish.positions is not None:
                publish.positions[index] = Position(base.topic, base.partition, base.offset + distance)
            publish.settle(error)

    def give_up(self, before: float) -> None:
        """Give up each publish that was started earlier."""
        for publish, _ in self.publishes:
            if publish.started < before:
                publish.give_up()


class Lanes:
    """All that waits and was not taken yet; `count` is how many records that are."""

    def __init__(self) -> None:
        self._lanes: dict[Place, Lane] = {}
        self.count = 0

    def add(self, place: Place, record: Record, publish: Publish, index: int) -> None:
        """Let a record wait; `index` is its place in its publish."""
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = Lane()
        lane.records.append(record)
        lane.publishes.append((publish, index))
        lane.size += about_bytes(record)
        self.count += 1

    def take(self) -> list[tuple[Place, Lane]]:
        """What goes out now: all, or as much as fits into a round."""
        if self.count <= ROUND_RECORDS and sum(lane.size for lane in self._lanes.values()) <= BATCH_BYTES:
            taken = list(self._lanes.items())
            self._lanes, self.count = {}, 0
            return taken
        taken = []
        count = size = 0
        for place in list(self._lanes):
            lane = self._lanes.pop(place)
            fits, bytes_ = _fitting(lane, ROUND_RECORDS - count)
            count += fits
            size += bytes_
            if fits < len(lane.records):
                # Behind the others, so that no partition waits for ever.
                rest = Lane(lane.records[fits:], lane.publishes[fits:], lane.size - bytes_)
                lane = Lane(lane.records[:fits], lane.publishes[:fits], bytes_)
                self._lanes[place] = rest
            taken.append((place, lane))
            if count >= ROUND_RECORDS or size >= ROUND_BYTES:
                break
        self.count -= count
        return taken

    def give_up(self, before: float) -> None:
        """Give up each publish that was started earlier, and forget its records."""
        for place, lane in list(self._lanes.items()):
            young = [number for number, (publish, _) in enumerate(lane.publishes) if publish.started >= before]
            if len(young) == len(lane.records):
                continue
            lane.give_up(before)
            self.count -= len(lane.records) - len(young)
            records = [lane.records[number] for number in young]
            if records:
                publishes = [lane.publishes[number] for number in young]
                self._lanes[place] = Lane(records, publishes, sum(map(about_bytes, records)))
            else:
                del self._lanes[place]

    def fail(self, error: KafkaUnavailable) -> None:
        """End all of it."""
        lanes, self._lanes, self.count = self._lanes, {}, 0
        for lane in lanes.values():
            lane.settle(error)


def about_bytes(record: Record) -> int:
    """What a record takes in a batch, roughly."""
    return len(record.value or b"") + 400


def _fitting(lane: Lane, records: int) -> tuple[int, int]:
    """How many of a lane's first records fit into a batch, at least one, and their bytes."""
    count = size = 0
    for record in lane.records[: max(records, 1)]:
        if count and size + about_bytes(record) > BATCH_BYTES:
            break
        count += 1
        size += about_bytes(record)
    return count, size
