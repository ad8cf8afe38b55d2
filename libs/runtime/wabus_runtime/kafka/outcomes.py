"""What becomes of what is published: where a record is, that a topic refuses it, that Kafka has not taken it in time.

The metrics of it are counted by `Publisher` and by `TransactionalPublisher` alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.observe.timings import Timings

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds

PUBLISHED = Counter("wabus_published_events_total", "Events that Kafka has taken.", ["topic"])
PUBLISH_FAILURES = Counter("wabus_publish_failures_total", "Publishes that Kafka did not take.")
PUBLISH_SECONDS = Timings("wabus_publish_seconds", "From publish to its end, waiting included.", buckets=BUCKETS)
REFUSED = Counter("wabus_records_refused_total", "Records that a topic refuses for good.", ["topic", "reason"])


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


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record is. `topic` has no prefix."""

    topic: str
    partition: int
    offset: int
