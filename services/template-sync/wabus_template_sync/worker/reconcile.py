"""Asks for the syncs that are due, of the accounts in this worker's partitions; `schedule.py` says when that is.

At most a few more are open at a time than can run, so that whatever made many due at once, a person who asks for a
sync waits for a moment only, and Graph sees no more calls than ever.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import asyncpg
import structlog
from prometheus_client import Counter, Gauge
from wabus_events import TEMPLATES, TemplateSyncRequested, fact_id
from wabus_runtime.kafka.clients import KafkaUnavailable, partition_of
from wabus_runtime.kafka.publisher import Publisher

from wabus_template_sync.templates.schedule import Due, Schedule, due

OPEN_PER_SLOT = 2  # scheduled syncs for each that can run
LOOK_EVERY_MAX = 5.0  # seconds

OVERDUE = Gauge("wabus_template_sync_overdue_seconds", "How late the scheduled sync is that waits longest.")
SCHEDULED = Counter("wabus_template_syncs_scheduled_total", "Syncs asked for by the schedule.", ["reason"])

log = structlog.get_logger()


class Concurrency(Protocol):
    """What is asked of the settings."""

    @property
    def reconcile_interval(self) -> float: ...
    @property
    def sync_concurrency(self) -> int: ...


class Work(Protocol):
    """What is asked of the worker: its partitions, and how many syncs it has open."""

    partitions: set[int]
    syncs: int


async def reconcile(
    settings: Concurrency, pool: asyncpg.Pool, publisher: Publisher, work: Work, ready: Callable[[], None]
) -> None:
    """Look for ever who is due."""
    interval = timedelta(seconds=settings.reconcile_interval)
    most = settings.sync_concurrency * OPEN_PER_SLOT
    pause = min(max(settings.reconcile_interval / 60, 0.2), LOOK_EVERY_MAX)
    ready()
    while interval:
        now = datetime.now(UTC)
        waiting = await _waiting(pool, work.partitions, interval, now)
        OVERDUE.set((now - waiting[0][0].at).total_seconds() if waiting else 0)
        asked = [request(row, org_id, entry, now) for entry, row, org_id in waiting[: max(0, most - work.syncs)]]
        if asked:
            try:
                await publisher.publish(asked)
            except KafkaUnavailable:
                log.info("syncs not asked for", action="kafka_away", count=len(asked))
            else:
                for event in asked:
                    SCHEDULED.labels(event.reason).inc()
        await asyncio.sleep(pause)
    await asyncio.Event().wait()


def request(row: Schedule, org_id: str, entry: Due, now: datetime) -> TemplateSyncRequested:
    """A due sync. Its id follows from the sync before it, so that two workers, or one twice, ask for the same."""
    sync_id = fact_id(TemplateSyncRequested.type, row.waba_id, "scheduled", entry.after)
    return TemplateSyncRequested(
        id=fact_id(TemplateSyncRequested.type, sync_id),
        time=now,
        org_id=org_id,
        waba_id=row.waba_id,
        sync_id=sync_id,
        reason=entry.reason,
    )


async def _waiting(
    pool: asyncpg.Pool, partitions: set[int], interval: timedelta, now: datetime
) -> Sequence[tuple[Due, Schedule, str]]:
    """Who is due, the longest waiting first."""
    rows = await pool.fetch(
        """
        SELECT a.org_id, a.connected_at, a.waba_id, s.asked_at, s.asked_sync_id, s.ended_at, s.ended_sync_id,
            coalesce(s.failures, 0) AS failures, coalesce(s.retryable, false) AS retryable, s.retry_at
        FROM template_accounts AS a LEFT JOIN template_schedules AS s USING (waba_id)
        WHERE a.connected AND a.connected_at IS NOT NULL
        """
    )
    found: list[tuple[Due, Schedule, str]] = []
    for row in rows:
        if partition_of(row["waba_id"].encode(), TEMPLATES.partitions) not in partitions:
            continue
        known = dict(row)
        org_id, connected_at = known.pop("org_id"), known.pop("connected_at")
        schedule = Schedule(**known)
        entry = due(schedule, connected_at, interval)
        if entry.at <= now:
            found.append((entry, schedule, org_id))
    return sorted(found, key=lambda one: (one[0].at, one[1].waba_id))
