"""How far the read model is behind Kafka, so that a reader knows how fresh an answer is."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pydantic import BaseModel
from wabus_runtime.kafka.clients import topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.postgres.offsets import Offsets, has_reached
from wabus_runtime.settings import KafkaSettings

from wabus_health_projector.worker.projector import TOPICS

MEASURE_EVERY = 1.0  # seconds
MEASURE_VALID = timedelta(seconds=15)
MEASURES_KEPT = 900
KAFKA_TIMEOUT = 10.0  # seconds

log = structlog.get_logger()


class Freshness(BaseModel):
    records: int
    """Records in Kafka that are not in the answer."""
    ms: int
    """0 when there are none; else at most how long the oldest of them has been waiting."""
    complete_until: datetime
    """Whatever Kafka had by then is in the answer."""


@dataclass(frozen=True, slots=True)
class Measure:
    at: datetime
    ends: Offsets


def freshness(measures: "deque[Measure]", reached: Offsets, now: datetime) -> Freshness | None:
    """How fresh rows at the offsets `reached` are, by measures of the log's ends; None without a fresh measure."""
    if not measures or now - measures[-1].at > MEASURE_VALID:
        return None
    newest = measures[-1]
    behind = sum(max(0, end - reached.get(place, 0)) for place, end in newest.ends.items())
    if behind == 0:
        return Freshness(records=0, ms=0, complete_until=newest.at)
    complete = complete_until(measures, reached) or measures[0].at
    return Freshness(records=behind, ms=int((now - complete).total_seconds() * 1000), complete_until=complete)


def complete_until(measures: Iterable[Measure], reached: Offsets) -> datetime | None:
    """The newest measure whose ends the offsets `reached` have all passed; None if there is none."""
    done = (each.at for each in measures if has_reached(reached, each.ends))
    return max(done, default=None)


class Lag:
    """Looks at the ends of the topics every second; without Kafka there is no answer, and nothing else suffers."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._measures: deque[Measure] = deque(maxlen=MEASURES_KEPT)

    def of(self, reached: Offsets, now: datetime) -> Freshness | None:
        """How fresh rows at these offsets are."""
        return freshness(self._measures, reached, now)

    def complete_until(self, reached: Offsets) -> datetime | None:
        """A moment such that rows at these offsets have whatever Kafka had then; None where none is known."""
        return complete_until(self._measures, reached)

    async def run(self, ready: Callable[[], None]) -> None:
        """Measure for ever."""
        ready()
        while True:
            try:
                await self._measure()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("the lag can't be measured", action="lag_unknown", error=type(error).__name__)
                await asyncio.sleep(random.uniform(1, 3))  # noqa: S311

    async def _measure(self) -> None:
        client = Ends(self._settings)
        try:
            await client.start()
            partitions = {
                TopicPartition(topic_name(self._settings, topic), number): (topic.name, number)
                for topic in TOPICS
                for number in range(topic.partitions)
            }
            while True:
                at = datetime.now(UTC)
                async with asyncio.timeout(KAFKA_TIMEOUT):
                    ends = await client.of(list(partitions))
                self._measures.append(Measure(at, {partitions[partition]: end for partition, end in ends.items()}))
                await asyncio.sleep(MEASURE_EVERY)
        finally:
            await client.stop()
