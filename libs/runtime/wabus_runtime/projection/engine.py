"""Projections: rows and consumed offsets are written in one PostgreSQL transaction, so each record counts once.

On assignment the consumer seeks to the offsets in PostgreSQL and writes its own id beside them; a zombie that lost
the partition finds another id there and can write nothing. (Akka Projections, "Messages from and to Kafka".)
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Histogram
from wabus_events import Topic, UndecodableRecord, UnknownEventType
from wabus_events.kafka import with_values

from wabus_runtime.kafka.clients import new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.kafka.dead_letters import DeadLetters
from wabus_runtime.observe import tracing
from wabus_runtime.observe.liveness import watched
from wabus_runtime.postgres.database import DATABASE_AWAY, Connection
from wabus_runtime.postgres.offsets import channel
from wabus_runtime.projection.lag import Lag, observe_latency
from wabus_runtime.projection.recorded import Apply, Recorded, Write, logged_at, recorded_event
from wabus_runtime.settings import KafkaSettings

MAX_BATCH = 2_000  # records in one transaction
TURN_RECORDS = 50  # decoded before something else may run, such as what PostgreSQL waits for
POLL_MS = 500
SESSION_TIMEOUT_MS = 10_000
POLL_INTERVAL_MAX_MS = 120_000  # a batch that takes longer gives the partitions to another process
APPLY_TIMEOUT = 60.0  # seconds for one transaction
CLAIM_TIMEOUT = 30.0  # seconds for one attempt to claim partitions
RETRY_DELAYS = (0.1, 0.3)  # seconds before a refused record is tried again alone; then it is set aside

APPLIED = Counter("wabus_projection_records_total", "Records folded into tables.", ["projection"])
BATCH_SECONDS = Histogram("wabus_projection_batch_seconds", "One transaction of a projection.", ["projection"])

log = structlog.get_logger()


Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one fetch brought, decoded, and how far each partition has come with it."""

    assignment: int
    """Which of our assignments it belongs to: after a rebalance these records are read again, by whoever has them."""
    ends: Mapping[TopicPartition, int]
    fetched: Fetched
    records: Sequence[Recorded]
    write: Write
    undecodable: Sequence[tuple[ConsumerRecord[Any, Any], UndecodableRecord]]


class LostPartition(Exception):
    """Another process owns the partition now: nothing was written, the consumer joins its group again."""


async def project(
    settings: KafkaSettings,
    pool: asyncpg.Pool,
    *,
    name: str,
    topics: Sequence[Topic],
    apply: Apply,
    ready: Callable[[], None],
) -> None:
    """Fold `topics` into tables for ever; returns only by an exception or cancellation.

    `apply` gets records in the order of each partition, and what it returns a connection inside the transaction. A
    record that is no event, or that is refused on its own, goes to the dead-letter topic; an unknown event type is
    skipped.
    """
    with watched(f"projection {name}") as beat:
        runner = _Projection(settings, pool, name, topics, apply, beat)
        try:
            await runner.run(ready)
        finally:
            await runner.close()


class _Projection(ConsumerRebalanceListener):
    def __init__(
        self,
        settings: KafkaSettings,
        pool: asyncpg.Pool,
        name: str,
        topics: Sequence[Topic],
        apply: Apply,
        beat: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._name = name
        self._topics = {topic_name(settings, topic): topic for topic in topics}
        self._apply = apply
        self._beat = beat
        self._lag = Lag(name, {stored: topic.name for stored, topic in self._topics.items()})
        self._measuring: asyncio.Task[None] | None = None
        self._owner: UUID = uuid4()
        self._next: dict[TopicPartition, int] = {}
        self._assignment = 0
        self._unclaimed: Exception | None = None
        """Why we could not take over what we were assigned."""
        self._writing = asyncio.Lock()
        self._dead_letters = DeadLetters(settings, name)
        self._consumer = new_consumer(
            settings,
            group=name,
            start="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=2_000,
            max_poll_interval_ms=POLL_INTERVAL_MAX_MS,
        )

    async def run(self, ready: Callable[[], None]) -> None:
        await self._consumer.start()
        self._consumer.subscribe(list(self._topics), listener=self)
        self._measuring = asyncio.create_task(self._lag.watch(self._consumer, lambda: self._next))
        batch = await self._fetch()
        while True:
            self._beat()
            if self._unclaimed:
                raise self._unclaimed
            # The next batch is fetched and decoded while PostgreSQL is busy with this one.
            following = asyncio.create_task(self._fetch())
            try:
                async with self._writing:
                    await self._write(batch)
                if self._consumer.assignment():
                    ready()
                batch = await following
            finally:
                following.cancel()
                await asyncio.wait([following])

    async def close(self) -> None:
        if self._measuring:
            self._measuring.cancel()
        try:
            await stop_consumer(self._consumer)
        finally:
            await self._dead_letters.close()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        async with self._writing:
            self._assignment += 1
            self._next.clear()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        partitions: list[TopicPartition] = sorted(assigned)
        if not partitions:
            return
        # An exception in this listener would be swallowed by the client, and we would hold partitions of which we
        # write nothing: so ride out a database that is away, however long it takes, and let `run` raise the rest.
        try:
            claimed = await self._claimed(partitions)
            for partition, offset in claimed.items():
                self._consumer.seek(partition, offset)
        except Exception as error:
            self._unclaimed = error
            return
        self._assignment += 1
        self._next = claimed
        log.info("partitions assigned", action="partitions_assigned", projection=self._name, count=len(claimed))

    async def _claimed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        while True:
            try:
                async with asyncio.timeout(CLAIM_TIMEOUT):
                    return await self._claim(partitions)
            except DATABASE_AWAY as error:
                self._beat()
                log.warning("database is away", action="database_away", error=type(error).__name__)
                await asyncio.sleep(random.uniform(0.2, 1))  # noqa: S311

    async def _claim(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Write our id beside the partitions' offsets and return these."""
        rows = await self._pool.fetch(
            """
            INSERT INTO projection_offsets (projection, topic, partition, owner)
            SELECT $1, topic, partition, $2 FROM unnest($3::text[], $4::int[]) AS claimed(topic, partition)
            ORDER BY topic, partition
            ON CONFLICT (projection, topic, partition) DO UPDATE SET owner = excluded.owner
            RETURNING topic, partition, next_offset
            """,
            self._name,
            self._owner,
            [self._topics[partition.topic].name for partition in partitions],
            [partition.partition for partition in partitions],
        )
        by_place = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return {tp: by_place[self._topics[tp.topic].name, tp.partition] for tp in partitions}

    async def _fetch(self) -> _Batch:
        """Wait for records and decode them. Nothing may be awaited between the fetch and reading the assignment."""
        fetched = await poll(self._consumer, timeout_ms=POLL_MS, max_records=MAX_BATCH)
        assignment = self._assignment
        ends: dict[TopicPartition, int] = {}
        for partition in list(self._next):
            try:
                ends[partition] = await self._consumer.position(partition)
            except KafkaError:
                # Taken away between the fetch and now: its new owner reads these records.
                continue
        records: list[Recorded] = []
        undecodable: list[tuple[ConsumerRecord[Any, Any], UndecodableRecord]] = []
        for partition, batch in sorted(fetched.items()):
            topic, first = self._topics[partition.topic].name, self._next.get(partition, 0)
            for record in batch:
                if record.offset < first:
                    continue  # fetched before the seek
                try:
                    decoded = recorded_event(record, topic)
                except UnknownEventType:
                    log.info("unknown event type skipped", action="event_skipped", topic=topic, offset=record.offset)
                except UndecodableRecord as error:
                    undecodable.append((record, error))
                else:
                    if decoded is not None:
                        records.append(decoded)
                if len(records) % TURN_RECORDS == TURN_RECORDS - 1:
                    await asyncio.sleep(0)
        return _Batch(assignment, ends, fetched, records, self._prepared(records), undecodable)

    def _prepared(self, records: Sequence[Recorded]) -> Write:
        try:
            return self._apply(records)
        except Exception as error:
            return _refusal(error)

    async def _write(self, batch: _Batch) -> None:
        """Write what was fetched, with the offsets it brings us to, in one transaction."""
        if batch.assignment != self._assignment:
            return
        moved = {partition: end for partition, end in batch.ends.items() if end > self._next[partition]}
        if not moved:
            return
        for record, error in batch.undecodable:
            with tracing.following(
                dict(with_values(record.headers)).get("ce_traceparent", b"").decode(errors="replace")
            ):
                await self._dead_letters.put(record, self._topics[record.topic].name, error)
        with (
            tracing.batch(self._name, (recorded.event.traceparent for recorded in batch.records)),
            BATCH_SECONDS.labels(self._name).time(),
        ):
            await self._commit(batch, moved)
        self._next.update(moved)
        APPLIED.labels(self._name).inc(len(batch.records))
        observe_latency(self._name, batch.records, datetime.now(UTC))
        for partition in moved.keys() & batch.fetched.keys():
            self._lag.folded(partition, logged_at(batch.fetched[partition][-1]))

    async def _commit(self, batch: _Batch, moved: Mapping[TopicPartition, int]) -> None:
        try:
            await self._transaction(batch.records, moved, batch.write)
            self._dead_letters.handled(len(batch.records))
        except (LostPartition, TimeoutError, *DATABASE_AWAY):
            raise
        except Exception as error:
            # Something in this batch can't be folded. One by one, only that record is set aside.
            log.warning(
                "a batch was refused", action="batch_refused", projection=self._name, error=type(error).__name__
            )
            await self._one_by_one(batch.records, batch.fetched)
            await self._transaction([], moved)

    async def _one_by_one(self, records: Sequence[Recorded], fetched: Fetched) -> None:
        originals = {(place, record.offset): record for place, batch in fetched.items() for record in batch}
        for recorded in records:
            partition = TopicPartition(topic_name(self._settings, recorded.topic), recorded.partition)
            reached = {partition: recorded.offset + 1}
            with tracing.following(recorded.event.traceparent):
                await self._alone(recorded, reached, originals[partition, recorded.offset])
            self._next.update(reached)
            self._beat()

    async def _alone(
        self, recorded: Recorded, reached: Mapping[TopicPartition, int], original: ConsumerRecord[Any, Any]
    ) -> None:
        for delay in (*RETRY_DELAYS, None):
            try:
                await self._transaction([recorded], reached, self._prepared([recorded]))
            except (LostPartition, TimeoutError, *DATABASE_AWAY):
                raise
            except Exception as error:
                if delay is not None:
                    await asyncio.sleep(delay)
                    continue
                await self._dead_letters.put(original, recorded.topic, error)
                await self._transaction([], reached)
            else:
                self._dead_letters.handled(1)
                return

    async def _transaction(
        self, records: Sequence[Recorded], moved: Mapping[TopicPartition, int], write: Write | None = None
    ) -> None:
        places = [(self._topics[tp.topic].name, tp.partition, self._next[tp], end) for tp, end in sorted(moved.items())]
        with tracing.span(
            f"write {self._name}", "client", {"db.system.name": "postgresql", "db.operation.batch.size": len(records)}
        ):
            await self._write_rows(write if records else None, places)

    async def _write_rows(self, write: Write | None, places: Sequence[tuple[str, int, int, int]]) -> None:
        async with asyncio.timeout(APPLY_TIMEOUT), self._pool.acquire() as connection, connection.transaction():
            updated = await connection.execute(
                """
                UPDATE projection_offsets AS stored SET next_offset = moved.next_offset
                FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[])
                    AS moved(topic, partition, expected, next_offset)
                WHERE stored.projection = $1 AND stored.owner = $2 AND stored.topic = moved.topic
                    AND stored.partition = moved.partition AND stored.next_offset = moved.expected
                """,
                self._name,
                self._owner,
                *map(list, zip(*places, strict=True)),
            )
            if updated != f"UPDATE {len(places)}":
                raise LostPartition(self._name)
            if write:
                await write(connection)
            await connection.execute("SELECT pg_notify($1, '')", channel(self._name))


def _refusal(error: Exception) -> Write:
    async def refuse(_: Connection) -> None:
        raise error

    return refuse
