"""Publishing: an event counts as published once Kafka holds it on all in-sync replicas, never before.

Each partition has one batch on its way at a time, and a broker gets the next batches of its partitions together, once
it has answered: the more there is to do, the less each event costs. A broker that hangs holds up the partitions that it
leads and no others.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from wabus_events import TOPICS, Event, Record, encode

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import BUCKETS, PUBLISHED, Overloaded, Position, RecordRefused
from wabus_runtime.kafka.partition_buffer import BATCH_RECORDS, Done, PartitionBuffer, Publish
from wabus_runtime.kafka.producer_session import (
    ABOUT_ID,
    ABOUT_SIZE,
    ABOUT_TOPIC,
    ProducerSession,
    ProducerSessions,
    is_refusal,
)
from wabus_runtime.observe import tracing
from wabus_runtime.observe.timings import Timings
from wabus_runtime.settings import KafkaSettings

ACK_TIMEOUT = 3.0  # seconds without an answer until Kafka is taken to be away
MAX_WAITING = 50_000  # records in memory that Kafka does not have yet
WATCH_EVERY = 0.1  # seconds between looks at what has waited too long, or has no leader

BATCH_SECONDS = Timings("wabus_publish_batch_seconds", "From packing a batch to Kafka's answer.", buckets=BUCKETS)
_TAKEN = {topic.name: PUBLISHED.labels(topic.name) for topic in TOPICS}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long Kafka is waited for, in seconds."""

    publish: float | None = None
    """A publish that Kafka has not taken by then fails with `Overloaded`; None where only a silent Kafka ends it."""
    acknowledge: float = ACK_TIMEOUT
    """Without an answer for a partition Kafka is taken to be away: whoever waits for that is told."""
    stalled: float = 1.0
    """The same for letting more wait behind it, where each publish has its time."""
    outcome: float = 30.0
    """Without an outcome a batch is given up, and its producer with it."""

    @property
    def admit(self) -> float:
        """How long there may be no answer for a partition until nothing more is let in for it."""
        return self.acknowledge if self.publish is None else self.stalled


PATIENCE = Patience()


class Publisher:
    """Publishes from many tasks at once. Idempotent, `acks=all`, and a partition's records in their order."""

    def __init__(self, settings: KafkaSettings, source: str, patience: Patience = PATIENCE) -> None:
        self._source = source
        self._patience = patience
        self._admit_within = patience.admit
        self._due = asyncio.Event()
        self._sessions = ProducerSessions(settings, patience.acknowledge, self._due.set)
        self._buffers: dict[tuple[str, int], PartitionBuffer] = {}
        self._active: dict[PartitionBuffer, None] = {}
        """Those of which Kafka does not have everything, in the order in which they became so."""
        self._records = 0  # that Kafka does not have yet
        self._answered_at = 0.0  # when Kafka took or refused something last, by `time.perf_counter`
        self._idle = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def connected(self) -> bool:
        """Whether there is a Kafka to publish to, as far as that is known."""
        return self._sessions.current is not None

    @property
    def available(self) -> bool:
        """Whether Kafka takes what it is given, or at least some of it."""
        since = min((buffer.since for buffer in self._active), default=None)
        silent = since is not None and since > self._answered_at and time.perf_counter() - since > self._admit_within
        return self.connected and not silent

    async def start(self) -> None:
        """Connect; while Kafka is away this returns at once and goes on trying."""
        self._sender = asyncio.create_task(self._send(), context=tracing.detached())
        await self._sessions.start()

    async def stop(self) -> None:
        """Wait for what is under way, then close."""
        self._stopping = True
        if self._active:
            self._idle.clear()
            await asyncio.wait([asyncio.create_task(self._idle.wait())], timeout=self._patience.acknowledge)
        if self._sender:
            self._sender.cancel()
        await self._sessions.stop()
        if self._sender:
            await asyncio.wait([self._sender], timeout=self._patience.acknowledge)
        for buffer in list(self._active):
            self._records -= buffer.give_up_older(math.inf)

    async def publish(self, events: Sequence[Event]) -> list[Position]:
        """Return once Kafka has all of them. After an error some may be there: publish the same ids again.

        Raises `KafkaUnavailable`, at once if Kafka is known to be away; `Overloaded` above `MAX_WAITING`;
        `RecordRefused` if Kafka has all but those that it will never take.
        """
        return await self._positions([encode(event, self._source) for event in events], tracing.trace_encoded)

    async def publish_records(self, records: Sequence[Record]) -> list[Position]:
        """The same for records that there are already."""
        return await self._positions(records, tracing.trace_records)

    async def store(self, encoded: Sequence[Record]) -> None:
        """The same for what `encode` has just made, and without where it is, which for thousands takes some ms."""
        await self._publish(encoded, tracing.trace_encoded, None)

    async def _positions(self, records: Sequence[Record], trace: Callable[[Sequence[Record]], None]) -> list[Position]:
        positions: list[Position | None] = [None] * len(records)
        await self._publish(records, trace, positions)
        return [position for position in positions if position is not None]

    async def _publish(
        self,
        records: Sequence[Record],
        trace: Callable[[Sequence[Record]], None],
        positions: list[Position | None] | None,
    ) -> None:
        if not records:
            return
        with tracing.span("publish", "producer"):
            trace(records)
            published: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: KafkaUnavailable | RecordRefused | None) -> None:
                if published.done():
                    return
                if error:
                    published.set_exception(error)
                else:
                    published.set_result(None)

            self.submit(records, done, positions)
            await published

    def submit(self, records: Sequence[Record], done: Done, positions: list[Position | None] | None = None) -> None:
        """The same without a task: `done` is called later, never from here. There must be at least one record.

        Where each record is gets into `positions`, if there is such a list of the same length.
        """
        session = self._sessions.current
        if session is None or self._stopping:
            raise KafkaUnavailable("Kafka is away")
        if self._records + len(records) > MAX_WAITING:
            raise Overloaded("too many events are waiting for Kafka")
        now = time.perf_counter()
        runs = self._runs(records, session)
        distinct = dict.fromkeys(buffer for buffer, _, _ in runs)
        for buffer in distinct:
            silent_since = buffer.since if buffer in self._active else now
            if now - min(silent_since, session.asked_at(buffer, now)) > self._admit_within:
                raise KafkaUnavailable("Kafka does not answer for a partition")
        publish = Publish(len(records), now, done, positions)
        self._records += len(records)
        for buffer in distinct:
            if buffer not in self._active:
                self._active[buffer] = None
                buffer.since = now
        for buffer, first, end in runs:
            buffer.add(records, publish, first, end)
        # It is sent later, so that what this turn of the loop brings goes along.
        self._due.set()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY, self._expire_overdue)

    def _runs(self, records: Sequence[Record], session: ProducerSession) -> list[tuple[PartitionBuffer, int, int]]:
        """Where they go, from which to before which: of those with one key that follow each other it is asked once."""
        found: list[tuple[PartitionBuffer, int, int]] = []
        first, begun = 0, records[0]
        for index, record in enumerate(records):
            if record.key != begun.key or record.topic != begun.topic:
                found.append((self._buffer(begun.topic, session.partition(begun)), first, index))
                first, begun = index, record
        found.append((self._buffer(begun.topic, session.partition(begun)), first, len(records)))
        return found

    def _buffer(self, topic: str, partition: int) -> PartitionBuffer:
        buffer = self._buffers.get((topic, partition))
        if buffer is None:
            buffer = self._buffers[topic, partition] = PartitionBuffer(topic, partition)
        return buffer

    async def _send(self) -> None:
        """Send what waits whenever there is some, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                if self._sessions.current:
                    await self._send_round(self._sessions.current)
            except Exception:  # nobody else would go on
                log.exception("sending failed", action="publish_failed")
                await asyncio.sleep(WATCH_EVERY)

    async def _send_round(self, session: ProducerSession) -> None:
        """Give each broker that is not busy the next batches of its partitions."""
        now, packed = time.perf_counter(), 0
        for buffer in list(self._active):
            if buffer.batch or not buffer.waiting or session is not self._sessions.current:
                continue
            if buffer in session.spent:
                self._sessions.renew(session)
                continue
            try:
                broker = session.broker_for(buffer)
                if broker is None or session.busy.get(broker, now) != now:
                    continue
                packed += len(buffer.take(time.perf_counter()))
                stored = await session.send(buffer, broker, now)
            except Exception as error:  # whatever it is, those who wait for it are told
                self._take_failure(session, buffer, error)
                self._go_on_with(buffer)
            else:
                stored.add_done_callback(partial(self._take_outcome, session, buffer))
            if packed >= BATCH_RECORDS:
                packed = 0
                await asyncio.sleep(0)

    def _take_outcome(self, session: ProducerSession, buffer: PartitionBuffer, stored: asyncio.Future[Any]) -> None:
        """A batch has its outcome."""
        session.end_batch(stored)
        if stored.cancelled():
            self._take_failure(session, buffer, KafkaUnavailable("the producer is closed"))
        elif error := stored.exception():
            self._take_failure(session, buffer, error)
        else:
            now = self._answered_at = time.perf_counter()
            BATCH_SECONDS.observe(now - buffer.taken_at)
            if buffer.is_stalled:
                buffer.is_stalled = False
                log.info("kafka is back", action="kafka_back", topic=buffer.topic, partition=buffer.partition)
            count = buffer.acknowledge(stored.result().offset, now)
            self._records -= count
            _TAKEN[buffer.topic].inc(count)
        self._go_on_with(buffer)

    def _take_failure(self, session: ProducerSession, buffer: PartitionBuffer, error: BaseException) -> None:
        """A batch is not at Kafka, or may be there or not."""
        now, reason = time.perf_counter(), type(error).__name__
        if is_refusal(error):
            self._answered_at = now
            if not buffer.batch:
                buffer.take(now)
            about_size, about_topic = isinstance(error, ABOUT_SIZE), isinstance(error, ABOUT_TOPIC)
            self._records -= buffer.refuse(reason, now, about_size=about_size, about_topic=about_topic)
            return
        session.spent.add(buffer)
        if isinstance(error, ABOUT_ID):
            # Its number does not follow the one before. A refused batch leaves such a gap, which shows only here: many
            # that are refused one after the other need no new id. Whoever has waited too long is told all the same.
            buffer.put_back()
            return
        log.warning("kafka is away", action="kafka_away", topic=buffer.topic, partition=buffer.partition, error=reason)
        self._records -= buffer.fail(KafkaUnavailable(f"Kafka did not take it: {reason}"), now)

    def _go_on_with(self, buffer: PartitionBuffer) -> None:
        if not buffer.waiting and not buffer.batch:
            self._active.pop(buffer, None)
        if self._active:
            self._due.set()  # others may have waited for its broker
        else:
            self._idle.set()

    def _expire_overdue(self) -> None:
        """Give up what has waited too long. What was sent may still arrive: it is published again with the same ids."""
        now, session = time.perf_counter(), self._sessions.current
        for buffer in list(self._active):  # whoever is told may publish again at once
            silent_for = now - buffer.since
            if silent_for > self._patience.acknowledge:
                if not buffer.is_stalled:
                    buffer.is_stalled = True
                    place = {"topic": buffer.topic, "partition": buffer.partition}
                    log.warning("kafka is away", action="kafka_away", **place, error="TimeoutError")
                self._records -= buffer.give_up_older(now)
            elif self._patience.publish is not None:
                self._records -= buffer.give_up_older(now - self._patience.publish)
            if session and silent_for > self._patience.outcome < now - session.began:
                self._sessions.renew(session)
            self._go_on_with(buffer)
        again = self._active and not self._stopping
        self._watch = asyncio.get_running_loop().call_later(WATCH_EVERY, self._expire_overdue) if again else None
