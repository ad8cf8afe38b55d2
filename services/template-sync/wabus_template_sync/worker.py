"""The worker: takes what asks for a sync from Kafka, runs several syncs at once, and answers for each of them once.

- At least once, and then not twice: an offset is committed when its sync and all before it in the partition have
  ended; a sync whose end is in the tables already is skipped when it is delivered again.
- One sync a WABA at a time: both topics have the same keys and partitions, and range assignment gives the same
  partitions of both to the same worker, which runs the syncs of one WABA one after the other.
- A worker that lost a partition without noticing can't publish: the new owner takes over the partition's
  transactional id (KIP-98), then waits until the tables hold all that was published before, then compares.
  A publisher that failed once is therefore never used again, for a new start of it would fence the rightful owner:
  the worker ends, joins the group anew and begins with what is not committed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import asyncpg
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from prometheus_client import Gauge
from pydantic import Field
from wabus_events import ACCOUNTS, TEMPLATES, UndecodableRecord, WabaEvent, decode
from wabus_runtime.kafka import KafkaUnavailable, client_options, topic_name
from wabus_runtime.projection import wait_for
from wabus_runtime.publisher import Fenced, TransactionalPublisher
from wabus_runtime.settings import KafkaSettings

from wabus_template_sync.facts import TRIGGERS, Sync, sync_for
from wabus_template_sync.queries import is_finished
from wabus_template_sync.store import PROJECTION
from wabus_template_sync.sync import Synchroniser, SyncSettings

SOURCE = "/wabus/template-sync"
WAITING_PER_SLOT = 8  # syncs taken from Kafka for each that can run
POLL_MS = 250
POLL_RECORDS = 200
SESSION_TIMEOUT_MS = 10_000
CATCH_UP_TIMEOUT = 120.0  # seconds for the tables to hold what was published before a sync
CATCHING_UP = 3  # one in so many of the pool's connections, for each such wait holds one, and the projection needs some
CLOSE_TIMEOUT = 2.0  # seconds
TRIGGERING = {event.type.encode() for event in TRIGGERS}

RUNNING = Gauge("wabus_template_syncs_running", "Syncs taken from Kafka and not ended.")

log = structlog.get_logger()


class WorkerSettings(SyncSettings, KafkaSettings):
    sync_concurrency: int = Field(default=8, ge=1)
    """Syncs that one worker runs at once."""


class NotCaughtUp(Exception):
    """The tables did not get to where a sync may begin: the projection is down or far behind."""


class Progress:
    """Which offset of a partition may be committed: the one after the last before which everything is done.

    >>> progress = Progress(); progress.take(4); progress.take(5); progress.done(5); progress.committable
    4
    """

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._next: int | None = None

    @property
    def committable(self) -> int | None:
        return min(self._open) if self._open else self._next

    def take(self, offset: int) -> None:
        self._open.add(offset)
        self._next = offset + 1

    def done(self, offset: int) -> None:
        self._open.discard(offset)


class Lane:
    """The transactional publisher of one partition of templates.v1, until it fails or is fenced for the first time."""

    def __init__(self, settings: KafkaSettings, partition: int) -> None:
        self._publisher = TransactionalPublisher(settings, SOURCE, f"template-sync-{partition}")
        self._turn = asyncio.Lock()
        self._open = False
        self._broken = False

    async def publish(self, events: Sequence[WabaEvent]) -> None:
        """All or nothing. Raises `KafkaUnavailable`, or `Fenced` if another worker has the partition now."""
        async with self._turn:
            if not self._open or self._broken:
                raise Fenced("this publisher has been given up")
            await self._or_break(self._publisher.publish(events))

    async def open(self) -> None:
        """Fence whoever published for this partition before."""
        async with self._turn:
            if self._broken:
                raise Fenced("this publisher has been given up")
            if not self._open:
                await self._or_break(self._publisher.start())
                self._open = True

    async def close(self) -> None:
        self._broken = True
        await self._publisher.stop()

    async def _or_break(self, action: Any) -> None:
        done = False
        try:
            await action
            done = True
        finally:
            # A cancelled one too: its transaction was cut off, and nobody knows how far it got.
            self._broken = self._broken or not done


class Worker(ConsumerRebalanceListener):
    """One run of the worker, from joining the consumer group until something fails or it is cancelled."""

    def __init__(self, settings: WorkerSettings, pool: asyncpg.Pool, synchroniser: Synchroniser) -> None:
        self._settings = settings
        self._pool = pool
        self._synchroniser = synchroniser
        self._topics = {topic_name(settings, topic): topic for topic in (ACCOUNTS, TEMPLATES)}
        self._slots = asyncio.Semaphore(settings.sync_concurrency)
        self._catching_up = asyncio.Semaphore(max(1, pool.get_max_size() // CATCHING_UP))
        self._most = settings.sync_concurrency * WAITING_PER_SLOT
        self._wabas: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._lanes: dict[int, Lane] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._progress: dict[TopicPartition, Progress] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._failure: BaseException | None = None
        self._ready: Callable[[], None] = lambda: None
        self._consumer = AIOKafkaConsumer(
            **client_options(settings),
            group_id=f"{settings.topic_prefix}template-sync",
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=2_000,
            fetch_max_wait_ms=POLL_MS,
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Work for ever. Raises what a sync could not answer for: `KafkaUnavailable`, `Fenced`, a database error, …"""
        self._ready = ready
        try:
            await self._consumer.start()
            self._consumer.subscribe(list(self._topics), listener=self)
            while self._failure is None:
                self._pause_when_full()
                fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                self._take(fetched)
                await self._commit()
            raise self._failure
        except KafkaError as error:
            raise KafkaUnavailable(type(error).__name__) from error
        finally:
            await self._close()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Stop everything: who gets the partitions, perhaps we ourselves, starts the unfinished syncs again."""
        await self._stop_jobs()
        await self._commit()
        self._progress.clear()
        self._committed.clear()
        await self._close_lanes()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        log.info("partitions assigned", action="partitions_assigned", count=len(assigned))
        self._ready()

    def _pause_when_full(self) -> None:
        """Read no further while enough is waiting; polling goes on, so that the group knows that we live."""
        assigned, paused = self._consumer.assignment(), self._consumer.paused()
        if len(self._jobs) >= self._most:
            self._consumer.pause(*(assigned - paused))
        elif paused:
            self._consumer.resume(*paused)

    def _take(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]) -> None:
        for partition, records in fetched.items():
            progress = self._progress.setdefault(partition, Progress())
            for record in records:
                progress.take(record.offset)
                sync = self._sync_of(record)
                if sync is None:
                    progress.done(record.offset)
                    continue
                job = asyncio.create_task(self._answer(sync, record.partition), name=f"sync {sync.sync_id}")
                self._jobs.add(job)
                RUNNING.inc()
                job.add_done_callback(
                    lambda job, done=progress.done, offset=record.offset: self._ended(job, done, offset)
                )

    def _sync_of(self, record: ConsumerRecord[Any, Any]) -> Sync | None:
        if dict(record.headers).get("ce_type") not in TRIGGERING:
            return None
        try:
            return sync_for(decode(record.headers, record.value))
        except UndecodableRecord:
            return None  # the projection reads it too, and sets it aside

    def _ended(self, job: "asyncio.Task[None]", done: Callable[[int], None], offset: int) -> None:
        RUNNING.dec()
        self._jobs.discard(job)
        if job.cancelled():
            return
        error = job.exception()
        if error is None:
            done(offset)
        elif self._failure is None or isinstance(self._failure, Fenced):
            self._failure = error

    async def _answer(self, sync: Sync, partition: int) -> None:
        """Run a sync to its end, unless it has ended before."""
        lock = self._wabas.setdefault(sync.waba_id, asyncio.Lock())
        async with lock, self._slots:
            lane = self._lanes.setdefault(partition, Lane(self._settings, partition))
            await lane.open()
            await self._catch_up(partition)
            if await is_finished(self._pool, sync.sync_id):
                log.info("already synced", action="sync_skipped", waba_id=sync.waba_id, sync_id=sync.sync_id)
                return
            await self._synchroniser.run(sync, lane.publish, partial(self._catch_up, partition))

    async def _catch_up(self, partition: int) -> None:
        """Wait until the tables hold all that has been published in this partition until now."""
        asked = {TopicPartition(name, partition): topic.name for name, topic in self._topics.items()}
        async with self._catching_up:
            ends = await self._consumer.end_offsets(list(asked))
            positions = {(asked[place], place.partition): end for place, end in ends.items()}
            if not await wait_for(self._pool, PROJECTION, positions, CATCH_UP_TIMEOUT):
                raise NotCaughtUp

    async def _commit(self) -> None:
        offsets = {
            partition: offset
            for partition, progress in self._progress.items()
            if (offset := progress.committable) is not None and offset != self._committed.get(partition)
        }
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
            self._committed.update(offsets)
        except KafkaError as error:
            # Whoever has the partition then sees some records again, and skips what has ended.
            log.info("offsets not committed", action="commit_failed", error=type(error).__name__)

    async def _stop_jobs(self) -> None:
        for job in self._jobs:
            job.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=CLOSE_TIMEOUT)

    async def _close_lanes(self) -> None:
        lanes = list(self._lanes.values())
        self._lanes.clear()
        await asyncio.gather(*(lane.close() for lane in lanes), return_exceptions=True)

    async def _close(self) -> None:
        await self._stop_jobs()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._commit()
                await self._consumer.stop()
                await self._close_lanes()
        except (TimeoutError, KafkaError) as error:
            log.warning("closing the worker failed", action="worker_close", error=type(error).__name__)
