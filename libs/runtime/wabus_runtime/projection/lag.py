"""How far a projection is behind: records and seconds for each partition, and from an event to its row.

Measured beside the projection, so that the numbers go on growing when it does not move.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Gauge, Histogram
from wabus_events import Event

MEASURE_EVERY = 5.0  # seconds
MEASURE_TIMEOUT = 10.0  # seconds
MEASURES_KEPT = 720  # an hour
MEASURE_VALID = timedelta(seconds=MEASURE_EVERY + MEASURE_TIMEOUT)
SAMPLE = 100  # records of one batch whose latency is counted, at most
LIVE = timedelta(hours=1)  # what was logged before is a replay: its age says nothing about us

PLACE = ("projection", "topic", "partition")
LAG_RECORDS = Gauge("wabus_projection_lag_records", "Records not yet folded.", PLACE)
LAG_SECONDS = Gauge(
    "wabus_projection_lag_seconds",
    "At most how long a record has waited to be folded; grows while Kafka can't be asked.",
    PLACE,
)
EVENT_TO_ROW = Histogram(
    "wabus_projection_event_to_row_seconds",
    "From the event's own time (Meta's, in whole seconds) to its committed row.",
    ["projection"],
    buckets=(0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 3600, 86400),
)
LOG_TO_ROW = Histogram(
    "wabus_projection_log_to_row_seconds",
    "From Kafka's record to the committed row.",
    ["projection"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)

log = structlog.get_logger()

Measure = tuple[datetime, int]
"""When the end of a partition was looked at, and where it was."""


class Logged(Protocol):
    @property
    def event(self) -> Event: ...
    @property
    def logged_at(self) -> datetime: ...


def waiting_seconds(
    measures: Sequence[Measure], next_offset: int, folded_until: datetime | None, now: datetime
) -> float:
    """How long the oldest record that is not folded has been waiting at most; 0 if none is known of.

    `folded_until` is the log time of the last folded record. Nothing before it waits, nor does what was there
    when the end was last seen to be no further than we are now. Once the newest measure is too old to say that
    nothing waits, records may have come right after it.
    """
    if not measures:
        return 0.0
    if measures[-1][1] <= next_offset and now - measures[-1][0] <= MEASURE_VALID:
        return 0.0
    complete = [at for at, end in measures if end <= next_offset]
    if folded_until is not None:
        complete.append(folded_until)
    return max(0.0, (now - max(complete, default=measures[0][0])).total_seconds())


def observe_latency(projection: str, records: Sequence[Logged], now: datetime) -> None:
    """Count how long records took that are in the tables now; of many only every second, third, …"""
    event_to_row, log_to_row = EVENT_TO_ROW.labels(projection), LOG_TO_ROW.labels(projection)
    for record in records[:: math.ceil(len(records) / SAMPLE) or 1]:
        waited = now - record.logged_at
        if waited < LIVE:
            log_to_row.observe(max(0.0, waited.total_seconds()))
            event_to_row.observe(max(0.0, (now - record.event.time).total_seconds()))


class LagGauges:
    """The lag of one projection's partitions in this process, as gauges that vanish with the partition."""

    def __init__(self, projection: str, topics: Mapping[str, str]) -> None:
        """`topics` has each topic's name without prefix by its name in Kafka."""
        self._projection = projection
        self._topics = topics
        self._measures: dict[TopicPartition, deque[Measure]] = {}
        self._folded_until: dict[TopicPartition, datetime] = {}

    def folded(self, partition: TopicPartition, until: datetime) -> None:
        """Everything logged until then is in the tables."""
        self._folded_until[partition] = until

    def measured(self, ends: Mapping[TopicPartition, int], at: datetime) -> None:
        """These were the ends of the partitions then."""
        for partition, end in ends.items():
            self._measures.setdefault(partition, deque(maxlen=MEASURES_KEPT)).append((at, end))

    async def watch(self, consumer: AIOKafkaConsumer, reached: Callable[[], Mapping[TopicPartition, int]]) -> None:
        """Measure until cancelled; `reached` tells the next offset of each partition that the projection has now."""
        try:
            while True:
                await self._measure_ends(consumer, list(reached()))
                self.show(reached(), datetime.now(UTC))
                await asyncio.sleep(MEASURE_EVERY)
        finally:
            self.show({}, datetime.now(UTC))

    def show(self, reached: Mapping[TopicPartition, int], now: datetime) -> None:
        """Set the gauges of the partitions that we have, and remove those of others."""
        for gone in self._measures.keys() - reached.keys():
            del self._measures[gone]
            self._folded_until.pop(gone, None)
            LAG_RECORDS.remove(*self._labels(gone))
            LAG_SECONDS.remove(*self._labels(gone))
        for partition, measures in self._measures.items():
            next_offset, folded_until = reached[partition], self._folded_until.get(partition)
            LAG_RECORDS.labels(*self._labels(partition)).set(max(0, measures[-1][1] - next_offset))
            waiting = waiting_seconds(measures, next_offset, folded_until, now)
            LAG_SECONDS.labels(*self._labels(partition)).set(waiting)

    async def _measure_ends(self, consumer: AIOKafkaConsumer, asked: list[TopicPartition]) -> None:
        if not asked:
            return
        at = datetime.now(UTC)
        try:
            async with asyncio.timeout(MEASURE_TIMEOUT):
                ends = await consumer.end_offsets(asked)
        except (KafkaError, OSError, TimeoutError) as error:
            log.debug("the lag can't be measured", action="lag_unknown", error=type(error).__name__)
            return
        self.measured(ends, at)

    def _labels(self, partition: TopicPartition) -> tuple[str, str, str]:
        return self._projection, self._topics[partition.topic], str(partition.partition)
