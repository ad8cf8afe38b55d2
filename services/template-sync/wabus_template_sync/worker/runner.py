"""The worker: takes what asks for a sync from Kafka, runs several syncs at once, and answers for each of them once.

- At least once, and then not twice: an offset is committed when its sync and all before it in the partition have
  ended; a sync whose end is in the tables already is skipped when it is delivered again.
- One sync a WABA at a time: both topics have the same keys and partitions, and range assignment gives the same
  partitions of both to the same worker, which runs the syncs of one WABA one after the other.
- A worker that lost a partition without noticing can't publish: the new owner takes over the partition's
  transactional id (KIP-98), then waits until the tables hold all that was published before, then compares.
  A publisher that failed once is therefore never used again, for a new start of it would fence the rightful owner:
  the worker ends, joins the group anew and begins with what is not committed.
- Webhooks about single templates are followed beside the syncs, in places of their own: they don't wait for these.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from prometheus_client import Gauge
from pydantic import Field
from wabus_events import ACCOUNTS, ERASURES, TEMPLATES, Event, Record, Topic, UndecodableRecord, WabaEvent, decode
from wabus_runtime.kafka.clients import KafkaUnavailable, new_consumer, poll, stop_consumer, topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.transactions import Fenced
from wabus_runtime.postgres.offsets import NotCaughtUp, Offsets, ProjectionOffsets
from wabus_runtime.settings import KafkaSettings

from wabus_template_sync.tables.queries import is_finished
from wabus_template_sync.templates.facts import TRIGGERS, Sync, sync_for
from wabus_template_sync.worker.follow import FOLLOWED, AboutTemplate, FollowContext, Follower
from wabus_template_sync.worker.partition_publisher import PartitionPublisher
from wabus_template_sync.worker.slots import Slot
from wabus_template_sync.worker.sync import SyncContext, Synchroniser, SyncSettings
from wabus_template_sync.worker.workload import Progress, Workload

TAKEN_MOST = 2_000  # records taken from Kafka whose jobs have not ended; most of them only wait for their turn
LISTINGS_PER_SLOT = 4  # in memory for each sync that can call Graph: some are being published meanwhile
POLL_MS = 250
POLL_RECORDS = 500
CATCH_UP_TIMEOUT = 120.0  # seconds for the tables to hold what a sync must know
CATCH_UP_PATIENCE = 0.25  # seconds for what a sync should know, but can do without
CLOSE_TIMEOUT = 2.0  # seconds
TRIGGERING = {event.type.encode() for event in (*TRIGGERS, *FOLLOWED)}

RUNNING = Gauge("wabus_template_syncs_running", "Syncs taken from Kafka and not ended.")

log = structlog.get_logger()


class WorkerSettings(SyncSettings, KafkaSettings):
    sync_concurrency: int = Field(default=8, ge=1)
    """Syncs that one worker has calling Graph at once, and as many webhooks beside."""


class Worker(ConsumerRebalanceListener):
    """One run of the worker, from joining the consumer group until something fails or it is cancelled."""

    def __init__(
        self,
        settings: WorkerSettings,
        synchroniser: Synchroniser,
        follower: Follower,
        publisher: Publisher,
        tables: ProjectionOffsets,
        workload: Workload,
    ) -> None:
        self._settings = settings
        self._synchroniser = synchroniser
        self._follower = follower
        self._publisher = publisher
        self._tables = tables
        self._workload = workload
        self._topics = {topic_name(settings, topic): topic for topic in (ACCOUNTS, TEMPLATES)}
        self._slots = asyncio.Semaphore(settings.sync_concurrency)
        self._listings = asyncio.Semaphore(settings.sync_concurrency * LISTINGS_PER_SLOT)
        self._fetches = asyncio.Semaphore(settings.sync_concurrency)
        self._syncing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._comparing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._publishers: dict[int, PartitionPublisher] = {}
        self._published: dict[str, tuple[int, int]] = {}
        """By WABA, the partition and the offset after what was published about it last."""
        self._jobs: set[asyncio.Task[None]] = set()
        self._taken = 0  # records whose jobs have not ended
        self._progress: dict[TopicPartition, Progress] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._failure: BaseException | None = None
        self._log_ends = Ends(settings)
        self._ready: Callable[[], None] = lambda: None
        self._consumer = new_consumer(
            settings,
            group="template-sync",
            start="earliest",
            partition_assignment_strategy=[RangePartitionAssignor],
            fetch_max_wait_ms=POLL_MS,
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Work for ever. Raises what a sync could not answer for: `KafkaUnavailable`, `Fenced`, a database error, …"""
        self._ready = ready
        try:
            await self._log_ends.start()
            await self._consumer.start()
            self._consumer.subscribe(list(self._topics), listener=self)
            while self._failure is None:
                self._pause_when_full()
                fetched = await poll(self._consumer, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                self._take_records(fetched)
                await self._commit()
            raise self._failure
        except KafkaError as error:
            raise KafkaUnavailable(type(error).__name__) from error
        finally:
            self._workload.partitions.clear()
            await self._close()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Stop everything: who gets the partitions, perhaps we ourselves, starts the unfinished syncs again."""
        self._workload.partitions.clear()
        await self._stop_jobs()
        await self._commit()
        self._progress.clear()
        self._committed.clear()
        await self._close_publishers()

    async def on_partitions_assigned(self, assigned: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        log.info("partitions assigned", action="partitions_assigned", count=len(assigned))
        self._workload.partitions.update(place.partition for place in assigned)
        self._ready()

    def _pause_when_full(self) -> None:
        """Read no further while enough is waiting; polling goes on, so that the group knows that we live."""
        assigned, paused = self._consumer.assignment(), self._consumer.paused()
        if self._taken >= TAKEN_MOST:
            self._consumer.pause(*(assigned - paused))
        elif paused:
            self._consumer.resume(*paused)

    def _take_records(self, fetched: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]) -> None:
        for partition, records in fetched.items():
            progress = self._progress.setdefault(partition, Progress())
            webhooks: dict[str, list[tuple[AboutTemplate, ConsumerRecord[Any, Any]]]] = {}
            for record in records:
                progress.take(record.offset)
                event = _event_of(record)
                if isinstance(event, FOLLOWED):
                    webhooks.setdefault(event.waba_id, []).append((event, record))
                elif event and (sync := sync_for(event)):
                    self._start_job(self._sync(sync, event, record), progress, [record.offset])
                else:
                    progress.done(record.offset)
            for waba_id, followed in webhooks.items():
                offsets = [record.offset for _, record in followed]
                self._start_job(self._follow(waba_id, followed), progress, offsets)

    def _start_job(self, work: Coroutine[Any, Any, None], progress: Progress, offsets: Sequence[int]) -> None:
        job = asyncio.create_task(work)
        self._jobs.add(job)
        self._taken += len(offsets)
        job.add_done_callback(lambda job: self._end_job(job, progress, offsets))

    def _end_job(self, job: "asyncio.Task[None]", progress: Progress, offsets: Sequence[int]) -> None:
        self._jobs.discard(job)
        self._taken -= len(offsets)
        if job.cancelled():
            return
        error = job.exception()
        if error is None:
            for offset in offsets:
                progress.done(offset)
        elif isinstance(error, RecordRefused):
            # It would be refused again for ever. What it was about is repaired by the next scheduled sync.
            log.error("a job was given up", action="job_refused", error=str(error), offsets=list(offsets))
            for offset in offsets:
                progress.done(offset)
        elif self._failure is None or isinstance(self._failure, Fenced):
            self._failure = error

    async def _sync(self, sync: Sync, event: Event, record: ConsumerRecord[Any, Any]) -> None:
        """Run a sync to its end, unless it has ended before."""
        partition, waba_id = record.partition, sync.waba_id
        self._workload.syncs += 1
        RUNNING.inc()
        try:
            async with self._syncing.setdefault(waba_id, asyncio.Lock()), Slot(self._listings) as listing_slot:
                publisher = await self._publisher_of(partition)
                await self._catch_up_with_account(event, record)
                await self._catch_up_with_ourselves(waba_id)
                if await is_finished(self._synchroniser.access.pool, sync.sync_id):
                    log.info("already synced", action="sync_skipped", waba_id=waba_id, sync_id=sync.sync_id)
                    return
                context = SyncContext(
                    publish=partial(self._publish, publisher, partition, waba_id),
                    tell=self._publisher.publish,
                    catch_up=partial(self._catch_up_with_ourselves, waba_id, others=partition),
                    catch_up_fully=partial(self._catch_up_fully, partition),
                    comparing=self._comparing.setdefault(waba_id, asyncio.Lock()),
                    listing_slot=listing_slot,
                    slots=self._slots,
                )
                await self._synchroniser.run(sync, context)
        finally:
            self._workload.syncs -= 1
            RUNNING.dec()

    async def _follow(self, waba_id: str, followed: Sequence[tuple[AboutTemplate, ConsumerRecord[Any, Any]]]) -> None:
        """Do what follows from webhooks about a WABA's templates, which were read together."""
        last = followed[-1][1]
        publisher = await self._publisher_of(last.partition)
        await self._catch_up({(TEMPLATES.name, last.partition): last.offset + 1})
        context = FollowContext(
            publish=partial(self._publish, publisher, last.partition, waba_id),
            comparing=self._comparing.setdefault(waba_id, asyncio.Lock()),
            catch_up=partial(self._catch_up_with_ourselves, waba_id),
            fetches=self._fetches,
        )
        events = [(event, datetime.fromtimestamp(record.timestamp / 1000, UTC)) for event, record in followed]
        await self._follower.follow(events, context)

    async def _publisher_of(self, partition: int) -> PartitionPublisher:
        """The partition's publisher; the first time, when the tables hold all that others have published before."""
        publisher = self._publishers.setdefault(partition, PartitionPublisher(self._settings, partition))
        if await publisher.open():
            await self._catch_up_fully(partition)
            publisher.caught_up.set()
        await publisher.caught_up.wait()
        return publisher

    async def _publish(
        self, publisher: PartitionPublisher, partition: int, waba_id: str, events: Sequence[WabaEvent | Record]
    ) -> None:
        if events:
            positions = await publisher.publish(events)
            self._published[waba_id] = (partition, positions[-1].offset + 1)

    async def _catch_up_with_ourselves(self, waba_id: str, others: int | None = None) -> None:
        """Wait until the tables hold what we published about the WABA; a little also for what others did."""
        if waba_id in self._published:
            partition, offset = self._published[waba_id]
            await self._catch_up({(TEMPLATES.name, partition): offset})
        if others is not None:
            await self._tables.wait_for(await self._ends(others, *self._topics.values()), CATCH_UP_PATIENCE)

    async def _catch_up_with_account(self, event: Event, record: ConsumerRecord[Any, Any]) -> None:
        """Wait until the tables know the account, also where a request is read before the connect that it followed."""
        if event.topic == ACCOUNTS:
            await self._catch_up({(ACCOUNTS.name, record.partition): record.offset + 1})
        else:
            await self._catch_up(await self._ends(record.partition, ACCOUNTS))

    async def _catch_up_fully(self, partition: int) -> None:
        """Wait until the tables hold all that has been published in this partition until now, and who was forgotten."""
        await self._catch_up({**await self._ends(partition, *self._topics.values()), **await self._ends(0, ERASURES)})

    async def _catch_up(self, positions: Offsets) -> None:
        if not await self._tables.wait_for(positions, CATCH_UP_TIMEOUT):
            raise NotCaughtUp

    async def _ends(self, partition: int, *topics: Topic) -> dict[tuple[str, int], int]:
        asked = {TopicPartition(topic_name(self._settings, topic), partition): topic.name for topic in topics}
        ends = await self._log_ends.of(list(asked))
        return {(asked[place], place.partition): end for place, end in ends.items()}

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

    async def _close_publishers(self) -> None:
        publishers = list(self._publishers.values())
        self._publishers.clear()
        self._published.clear()
        await asyncio.gather(*(publisher.close() for publisher in publishers), return_exceptions=True)

    async def _close(self) -> None:
        await self._stop_jobs()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._commit()
                await self._close_publishers()
        except (TimeoutError, KafkaError) as error:
            log.warning("closing the worker failed", action="worker_close", error=type(error).__name__)
        finally:
            await stop_consumer(self._consumer)
            await self._log_ends.stop()


def _event_of(record: ConsumerRecord[Any, Any]) -> Event | None:
    """The event, if it is one that leads to something and can be read: what can't, the projection sets aside."""
    if dict(record.headers).get("ce_type") not in TRIGGERING:
        return None
    try:
        return decode(record.headers, record.value)
    except UndecodableRecord:
        return None
