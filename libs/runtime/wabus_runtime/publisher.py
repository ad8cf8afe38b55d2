"""Publishing: an event counts as published once Kafka holds it on all in-sync replicas, never before.

Everything that waits goes out together, one request to each broker, and what arrives meanwhile is the next round: the
more there is to do, the less each event costs.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Histogram
from wabus_events import TOPICS, Event, Record, encode

from wabus_runtime import produce, tracing
from wabus_runtime.batches import Batch
from wabus_runtime.kafka import KafkaUnavailable, close_broken, partition_of
from wabus_runtime.lanes import (
    BUCKETS,
    PUBLISH_FAILURES,
    PUBLISHED,
    Done,
    Lane,
    Lanes,
    Overloaded,
    Position,
    Publish,
)
from wabus_runtime.produce import Producer
from wabus_runtime.settings import KafkaSettings

__all__ = ["Done", "Overloaded", "Position", "Publisher"]

MAX_WAITING = 50_000  # records in memory that Kafka does not have yet
WATCH_EVERY = 0.1  # seconds between looks at what has waited too long
RECOVERY_DELAY_MAX = 1.0  # seconds between attempts to come back

BATCH_SECONDS = Histogram(
    "wabus_publish_batch_seconds", "From handing a round of batches to the client to Kafka's answer.", buckets=BUCKETS
)
_TAKEN = {topic.name: PUBLISHED.labels(topic.name) for topic in TOPICS}

log = structlog.get_logger()


class Publisher:
    """Publishes from many tasks at once. Idempotent, `acks=all`; one round in flight at a time.

    With `patience`, in seconds, a publish that Kafka has not taken by then fails with `Overloaded`.
    """

    def __init__(self, settings: KafkaSettings, source: str, patience: float | None = None) -> None:
        self._settings = settings
        self._source = source
        self._patience = patience
        self._watch: asyncio.TimerHandle | None = None
        self._round_began: float | None = None
        self._producer: Producer | None = None
        self._lanes = Lanes()
        self._in_flight: list[Lane] = []
        self._sent = 0  # records in flight
        self._stalled = False  # whether the round takes so long that nothing more may wait for it
        self._sending = False  # whether a round is under way, or is about to be
        self._idle: asyncio.Event | None = None
        self._context = tracing.detached()
        self._recovery: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def available(self) -> bool:
        """Whether Kafka took what it was last given."""
        return self._producer is not None and not self._stalled

    def waited(self, now: float) -> float:
        """For how many seconds Kafka has not answered what it was given last; `now` is of `time.perf_counter`."""
        return 0.0 if self._round_began is None else now - self._round_began

    async def start(self) -> None:
        """Connect; while Kafka is away this returns at once and goes on trying."""
        try:
            await self._connect()
        except KafkaUnavailable:
            self._recover()

    async def stop(self) -> None:
        """Wait for what is in flight, then close."""
        self._stopping = True
        if self._recovery:
            self._recovery.cancel()
        if self._sending:
            self._idle = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(produce.ACK_TIMEOUT):
                    await self._idle.wait()
        if self._producer:
            await close_broken(self._producer.close())
            self._producer = None

    async def publish(self, events: Sequence[Event]) -> list[Position]:
        """Return once Kafka has all of them. After an error some may be there: publish the same ids again.

        Raises `KafkaUnavailable`, at once if Kafka is known to be away; `Overloaded` above `MAX_WAITING`.
        """
        return await self.publish_records([encode(event, self._source) for event in events])

    async def publish_records(self, records: Sequence[Record]) -> list[Position]:
        """The same for records that are encoded already."""
        if not records:
            return []
        with tracing.span("publish", "producer"):
            tracing.trace_records(records)
            published: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: KafkaUnavailable | None) -> None:
                if published.done():
                    return
                if error:
                    published.set_exception(error)
                else:
                    published.set_result(None)

            positions: list[Position | None] = [None] * len(records)
            self.submit(records, done, positions)
            await published
        return [position for position in positions if position is not None]

    def submit(self, records: Sequence[Record], done: Done, positions: list[Position | None] | None = None) -> None:
        """The same without a task: `done` is called later, never from here. There must be at least one record.

        Where each record is gets into `positions`, if there is such a list of the same length.
        """
        producer = self._producer
        if producer is None or self._stalled or self._stopping:
            raise KafkaUnavailable("Kafka is away")
        if self._lanes.count + self._sent + len(records) > MAX_WAITING:
            raise Overloaded("too many events are waiting for Kafka")
        publish = Publish(len(records), time.perf_counter(), done, positions)
        for index, record in enumerate(records):
            place = record.topic, partition_of(record.key, producer.partitions[record.topic])
            self._lanes.add(place, record, publish, index)
        if not self._sending:
            self._sending = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._begin, context=self._context)  # so that what this turn of the loop brings goes along
            if self._watch is None:
                self._watch = loop.call_later(WATCH_EVERY, self._look)

    def _begin(self) -> None:
        producer = self._producer
        if producer is None or not self._lanes.count:
            self._rest()
            return
        waited = self._lanes.count
        taken = self._lanes.take()
        self._sent = waited - self._lanes.count
        self._in_flight, self._round_began = [lane for _, lane in taken], time.perf_counter()
        batches = [Batch(topic, partition, lane.records) for (topic, partition), lane in taken]
        try:
            producer.produce(batches, partial(self._ended, producer, batches))
        except Exception as error:  # whatever it is, those who wait for it are told
            self._ended(producer, batches, error)

    def _ended(self, producer: Producer, batches: list[Batch], failure: Exception | None) -> None:
        lanes, began = self._in_flight, self._round_began
        self._in_flight, self._round_began, self._sent = [], None, 0
        if began is not None:
            BATCH_SECONDS.observe(time.perf_counter() - began)
        stalled, self._stalled = self._stalled, False
        failure = failure or next((batch.error for batch in batches if batch.error), None)
        if failure is not None and producer is self._producer:
            log.warning("kafka is away", action="kafka_away", error=type(failure).__name__)
            self._producer = None
            self._recover(producer)
        elif stalled:
            log.info("kafka is back", action="kafka_back")
        # First the next round, so that Kafka works on it while this one is answered.
        if self._lanes.count and self._producer:
            self._begin()
        else:
            self._rest()
        for batch, lane in zip(batches, lanes, strict=True):
            if batch.acknowledged:
                _TAKEN[batch.topic].inc(len(lane.records))
                lane.settle(None, Position(batch.topic, batch.partition, batch.offset))
            else:
                PUBLISH_FAILURES.inc()
                lane.settle(KafkaUnavailable(f"Kafka did not take it: {type(batch.error or failure).__name__}"))

    def _rest(self) -> None:
        """Nothing is under way, and what still waits will not be."""
        self._sending = False
        self._lanes.fail(KafkaUnavailable("Kafka is away"))
        if self._idle:
            self._idle.set()

    def _look(self) -> None:
        """Give up what has waited too long. What was sent may still arrive: it is published again with the same ids."""
        now = time.perf_counter()
        if self.waited(now) > produce.ACK_TIMEOUT:
            # The producer goes on with its round alone: once that is there the next can follow at once.
            if not self._stalled:
                log.warning("kafka is away", action="kafka_away", error="TimeoutError")
            self._stalled = True
            self._give_up(now)
        elif self._patience is not None:
            self._give_up(now - self._patience)
        again = self._sending and not self._stopping
        self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY, self._look) if again else None

    def _give_up(self, before: float) -> None:
        for lane in self._in_flight:
            lane.give_up(before)
        self._lanes.give_up(before)

    def _recover(self, broken: Producer | None = None) -> None:
        if not self._stopping and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.create_task(self._reconnect(broken), context=tracing.detached())

    async def _reconnect(self, broken: Producer | None) -> None:
        if broken is not None:
            await close_broken(broken.close())
        delay = 0.05
        while True:
            try:
                await self._connect()
                log.info("kafka is back", action="kafka_back")
                return
            except Exception as error:  # whatever it is, nobody else would try again
                if not isinstance(error, KafkaUnavailable):
                    log.warning("connecting failed", action="kafka_connect", error=type(error).__name__, exc_info=True)
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
                delay = min(delay * 2, RECOVERY_DELAY_MAX)

    async def _connect(self) -> None:
        producer = Producer(self._settings)
        try:
            async with asyncio.timeout(produce.ACK_TIMEOUT * 2):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await close_broken(producer.close())
            raise KafkaUnavailable(type(error).__name__) from error
        except asyncio.CancelledError:
            await close_broken(producer.close())
            raise
        self._producer = producer
