"""Projections: rows and consumed offsets are written in one PostgreSQL transaction, so each record counts once.

On assignment the consumer seeks to the offsets in PostgreSQL and writes its own id beside them; a zombie that lost
the partition finds another id there and can write nothing. (Akka Projections, "Messages from and to Kafka".)
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError
from prometheus_client import Counter, Histogram
from wabus_events import Record, UndecodableRecord, UnknownEventType
from wabus_events.kafka import with_values

from wabus_runtime.kafka.clients import SESSION_TIMEOUT_MS, new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.kafka.dead_letters import DeadLetters
from wabus_runtime.observe import tracing
from wabus_runtime.observe.liveness import watched
from wabus_runtime.pauses import growing_pauses
from wabus_runtime.postgres.database import DATABASE_AWAY, Connection
from wabus_runtime.postgres.offsets import Offsets, channel, offsets
from wabus_runtime.projection.claims import LostPartition, Place, claim, move
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.erasing import is_of_the_forgotten
from wabus_runtime.projection.lag import LagGauges, observe_latency
from wabus_runtime.projection.ownership import Ownership
from wabus_runtime.projection.recorded import TURN_RECORDS, Recorded, Write, logged_at, recorded_event
from wabus_runtime.projection.replay import forget_first
from wabus_runtime.settings import IdentitySettings

POLL_MS = 500
FIRST_POLL_MS = 50  # until it is ready: where nothing is left to fold, a process would wait to be ready for nothing
POLL_INTERVAL_MAX_MS = 120_000  # a batch that takes longer gives the partitions to another process
HANDLED_EVERY = 5.0  # seconds between two looks at what is done for good
APPLY_TIMEOUT = 60.0  # seconds for one transaction
CLAIM_TIMEOUT = 30.0  # seconds for one attempt to claim partitions
CLAIM_PAUSES = (0.3, 1.0)  # seconds between attempts, and at most
RETRY_DELAYS = (0.1, 0.3)  # seconds before a refused record is tried again alone; then it is set aside

APPLIED = Counter("wabus_projection_records_total", "Records folded into tables.", ["projection"])
BATCH_SECONDS = Histogram("wabus_projection_batch_seconds", "One transaction of a projection.", ["projection"])

log = structlog.get_logger()


Fetched = Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]


@dataclass(slots=True)
class _Fetch:
    """What fetches of one assignment brought, decoded, and how far each partition has come with it."""

    assignment: int
    """Which of our assignments it belongs to: after a rebalance these records are read again, by whoever has them."""
    ends: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])
    fetched: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = field(
        default_factory=dict[TopicPartition, list[ConsumerRecord[Any, Any]]]
    )
    records: list[Recorded] = field(default_factory=list[Recorded])
    undecodable: list[tuple[ConsumerRecord[Any, Any], UndecodableRecord]] = field(
        default_factory=list[tuple[ConsumerRecord[Any, Any], UndecodableRecord]]
    )

    def __len__(self) -> int:
        return sum(map(len, self.fetched.values()))

    def followed_by(self, later: "_Fetch") -> "_Fetch":
        """Both as one; only the later where the partitions have been given out anew between them."""
        if later.assignment != self.assignment:
            return later
        self.ends |= later.ends
        for partition, records in later.fetched.items():
            self.fetched.setdefault(partition, []).extend(records)
        self.records += later.records
        self.undecodable += later.undecodable
        return self


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is written together, and what writes it."""

    assignment: int
    ends: Mapping[TopicPartition, int]
    fetched: Fetched
    records: Sequence[Recorded]
    write: Write
    undecodable: Sequence[tuple[ConsumerRecord[Any, Any], UndecodableRecord]]


async def project(
    settings: IdentitySettings,
    pool: asyncpg.Pool,
    projection: Projection,
    ready: Callable[[], None],
    *,
    session_timeout_ms: int = SESSION_TIMEOUT_MS,
    ownership: Ownership | None = None,
) -> None:
    """Fold the projection's topics into its tables for ever; returns only by an exception or cancellation.

    What folds gets records in the order of each partition, and what it returns a connection inside the transaction. A
    record that is no event, or that is refused on its own, goes to the dead-letter topic; an unknown event type is
    skipped. `ownership` is told which partitions are this process's.
    """
    with watched(f"projection {projection.name}") as beat:
        if projection.erase:
            await forget_first(settings, pool, projection)
        runner = _Run(settings, pool, projection, beat, session_timeout_ms, ownership or Ownership())
        try:
            await runner.run(ready)
        finally:
            await runner.close()


class _Run(ConsumerRebalanceListener):
    """One run of a projection, from joining the consumer group until something fails or it is cancelled."""

    def __init__(
        self,
        settings: IdentitySettings,
        pool: asyncpg.Pool,
        projection: Projection,
        beat: Callable[[], None],
        session_timeout_ms: int,
        ownership: Ownership,
    ) -> None:
        name = projection.name
        self._ownership = ownership
        self._settings = settings
        self._pool = pool
        self._name = name
        self._topics = {topic_name(settings, topic): topic for topic in projection.followed}
        self._apply = projection.applying(settings)
        self._projection = projection
        self._beat = beat
        self._lag = LagGauges(name, {stored: topic.name for stored, topic in self._topics.items()})
        self._beside: list[asyncio.Task[None]] = []
        self._fetching: asyncio.Task[_Fetch] | None = None
        """The fetch under way: it is never cancelled but at the end, or what it has taken would be missed."""
        self._owner: UUID = uuid4()
        self._next: dict[TopicPartition, int] = {}
        self._assignment = 0
        self._poll_ms = FIRST_POLL_MS
        self._unclaimed: Exception | None = None
        """Why we could not take over what we were assigned."""
        self._writing = asyncio.Lock()
        self._dead_letters = DeadLetters(settings, name)
        self._consumer = new_consumer(
            settings,
            group=name,
            start="earliest",
            session_timeout_ms=session_timeout_ms,
            max_poll_interval_ms=POLL_INTERVAL_MAX_MS,
        )

    async def run(self, ready: Callable[[], None]) -> None:
        await self._consumer.start()
        self._consumer.subscribe(list(self._topics), listener=self)
        self._beside = [asyncio.create_task(self._lag.watch(self._consumer, lambda: self._next))]
        if self._projection.handled:
            self._beside.append(asyncio.create_task(self._tell_kafka(self._projection.handled)))
        idle = asyncio.Event()
        idle.set()
        batch = await self._collect(idle)
        while True:
            self._beat()
            if self._unclaimed:
                raise self._unclaimed
            # The next batch is collected and decoded while PostgreSQL is busy with this one.
            idle.clear()
            following = asyncio.create_task(self._collect(idle))
            try:
                async with self._writing:
                    await self._write(batch)
                idle.set()
                if self._next:
                    ready()
                    self._poll_ms = POLL_MS
                batch = await following
            finally:
                following.cancel()
                await asyncio.wait([following])

    async def close(self) -> None:
        self._ownership.lose()
        tasks = [*self._beside, self._fetching] if self._fetching else self._beside
        for task in tasks:
            task.cancel()
        try:
            await stop_consumer(self._consumer)
        finally:
            await self._dead_letters.close()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._ownership.lose()
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
        self._ownership.take(self._owner, map(self._place, partitions))
        log.info("partitions assigned", action="partitions_assigned", projection=self._name, count=len(claimed))

    async def _claimed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        pauses = growing_pauses(*CLAIM_PAUSES)
        while True:
            try:
                async with asyncio.timeout(CLAIM_TIMEOUT):
                    begin = await self._begin_offsets(partitions)
                    claimed = await claim(self._pool, self._name, self._owner, map(self._place, partitions), begin)
                return {partition: claimed[self._place(partition)] for partition in partitions}
            except DATABASE_AWAY as error:
                self._beat()
                log.warning("database is away", action="database_away", error=type(error).__name__)
                await asyncio.sleep(next(pauses))

    async def _begin_offsets(self, partitions: Sequence[TopicPartition]) -> dict[Place, int]:
        """Where to begin in partitions of which nothing was ever folded, if that is not the beginning of the log."""
        if self._projection.handled is None:
            return {}
        known = await offsets(self._pool, self._name)
        new = [partition for partition in partitions if self._place(partition) not in known]
        begin = dict(await self._consumer.end_offsets(new)) if new else {}
        for partition in new:
            committed = await self._consumer.committed(partition)
            begin[partition] = begin[partition] if committed is None else committed
        return {self._place(partition): offset for partition, offset in begin.items()}

    async def _tell_kafka(self, handled: Callable[[asyncpg.Pool], Awaitable[Offsets]]) -> None:
        """Commit what is done for good, for ever."""
        told: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(HANDLED_EVERY)
            try:
                done = await handled(self._pool)
                reached = {tp: done[self._place(tp)] for tp in self._next if self._place(tp) in done}
                news = {tp: offset for tp, offset in reached.items() if told.get(tp) != offset}
                if news:
                    await self._consumer.commit(news)
                    told.update(news)
            except (KafkaError, IllegalStateError, TimeoutError, *DATABASE_AWAY) as error:
                log.info("offsets not committed", action="commit_failed", error=type(error).__name__)

    async def _collect(self, idle: asyncio.Event) -> _Batch:
        """Wait for records, and take what more comes until the database is `idle`, as many as are written together.

        What comes while a batch is written is all in the next one: none waits for two.
        """
        most = self._projection.max_batch
        found = await self._fetched(most)
        if not idle.is_set():
            until = asyncio.create_task(idle.wait())
            try:
                while len(found) < most and not idle.is_set():
                    fetching = self._fetch(most - len(found))
                    await asyncio.wait((fetching, until), return_when=asyncio.FIRST_COMPLETED)
                    if fetching.done():
                        found = found.followed_by(await self._fetched(most))
            finally:
                until.cancel()
        write = await self._prepared(found.records)
        return _Batch(found.assignment, found.ends, found.fetched, found.records, write, found.undecodable)

    def _fetch(self, most: int) -> "asyncio.Task[_Fetch]":
        """The fetch that is under way, or a new one."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once(most))
        return self._fetching

    async def _fetched(self, most: int) -> _Fetch:
        """What the fetch brings that is under way, or a new one. Whoever is cancelled here leaves it to the next."""
        fetching = self._fetch(most)
        await asyncio.wait([fetching])
        self._fetching = None
        return fetching.result()

    async def _fetch_once(self, most: int) -> _Fetch:
        """Wait for records and decode them. Nothing may be awaited between the fetch and reading the assignment."""
        fetched = await poll(self._consumer, timeout_ms=self._poll_ms, max_records=most)
        found = _Fetch(self._assignment, fetched=fetched)
        for partition in list(self._next):
            try:
                found.ends[partition] = await self._consumer.position(partition)
            except KafkaError:
                # Taken away between the fetch and now: its new owner reads these records.
                continue
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
                    found.undecodable.append((record, error))
                else:
                    if decoded is not None:
                        found.records.append(decoded)
                if len(found.records) % TURN_RECORDS == TURN_RECORDS - 1:
                    await asyncio.sleep(0)
        return found

    async def _prepared(self, records: Sequence[Recorded]) -> Write:
        try:
            return await self._apply(records)
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
                if not await self._is_forgotten(record):
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

    async def _is_forgotten(self, record: ConsumerRecord[Any, Any]) -> bool:
        """Whether a record that can't be read is of somebody who was forgotten: it was set aside before that."""
        if not self._projection.erase:
            return False
        plain = Record(
            self._topics[record.topic].name, record.key or b"", record.value, list(with_values(record.headers))
        )
        return await is_of_the_forgotten(self._pool, self._settings.identity_bytes, plain, logged_at(record))

    async def _commit(self, batch: _Batch, moved: Mapping[TopicPartition, int]) -> None:
        try:
            await self._transaction(batch.records, moved, batch.write)
            self._dead_letters.handled(recorded.event.org_id for recorded in batch.records)
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
                await self._write_alone(recorded, reached, originals[partition, recorded.offset])
            self._next.update(reached)
            self._beat()

    async def _write_alone(
        self, recorded: Recorded, reached: Mapping[TopicPartition, int], original: ConsumerRecord[Any, Any]
    ) -> None:
        for delay in (*RETRY_DELAYS, None):
            try:
                await self._transaction([recorded], reached, await self._prepared([recorded]))
            except (LostPartition, TimeoutError, *DATABASE_AWAY):
                raise
            except Exception as error:
                if delay is not None:
                    await asyncio.sleep(delay)
                    continue
                await self._dead_letters.put(original, recorded.topic, error)
                await self._transaction([], reached)
            else:
                self._dead_letters.handled([recorded.event.org_id])
                return

    async def _transaction(
        self, records: Sequence[Recorded], moved: Mapping[TopicPartition, int], write: Write | None = None
    ) -> None:
        before = {self._place(tp): self._next[tp] for tp in moved}
        after = {self._place(tp): end for tp, end in moved.items()}
        with tracing.span(
            f"write {self._name}", "client", {"db.system.name": "postgresql", "db.operation.batch.size": len(records)}
        ):
            async with asyncio.timeout(APPLY_TIMEOUT), self._pool.acquire() as connection, connection.transaction():
                await move(connection, self._name, self._owner, before, after, channel(self._name))
                if records and write:
                    await write(connection)

    def _place(self, partition: TopicPartition) -> Place:
        return self._topics[partition.topic].name, partition.partition


def _refusal(error: Exception) -> Write:
    async def refuse(_: Connection) -> None:
        raise error

    return refuse
