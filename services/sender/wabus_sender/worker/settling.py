"""What becomes of sends without a call: their time is over, a status settles them, or who called them has ended."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Counter
from wabus_events import Event, SendExpired, SendRefused, SendSettled, SendUnknown
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.database import DATABASE_AWAY

from wabus_sender.sending.checks import NUMBER_STOPPED
from wabus_sender.tables import labels, sends
from wabus_sender.tables.labels import Kind
from wabus_sender.worker.telling import asked_of, made, tell

LOOK_EVERY = 0.5  # seconds
AT_ONCE = 500
RELEASES = 5  # of so many at once in a look, for the fastest numbers
ANSWER_TOLD_WITHIN = timedelta(seconds=5)
"""So long after a call's time is over its answer may still be on its way into Kafka."""
TOLD_KEPT = 20_000

TOLD = Counter(
    "wabus_sender_settled_total", "What became of sends without a call, by the event that tells it.", ["event"]
)
for _kind in (SendExpired, SendRefused, SendSettled, SendUnknown):
    TOLD.labels(_kind.__name__)  # from 0 on, so that the first one counts as an increase too

log = structlog.get_logger()


async def run(
    pool: asyncpg.Pool,
    publisher: Publisher,
    partitions: Sequence[int],
    under_way: Collection[str],
    unanswered: timedelta,
) -> None:
    """Look after the sends of these partitions until cancelled.

    `under_way` are those that this process is calling for, `unanswered` is how long one call may take.
    """
    told: dict[str, None] = {}
    looked_at: dict[int, Kind | None] = {}
    while True:
        try:
            await _settle(pool, publisher, partitions, under_way, unanswered, told)
            await _release(pool, partitions, looked_at)
        except DATABASE_AWAY as error:  # what is called for goes on meanwhile
            log.warning("sends without a call are not settled", action="not_settled", error=type(error).__name__)
        await asyncio.sleep(LOOK_EVERY)


async def _settle(
    pool: asyncpg.Pool,
    publisher: Publisher,
    partitions: Sequence[int],
    under_way: Collection[str],
    unanswered: timedelta,
    told: dict[str, None],
) -> None:
    events = await found(pool, partitions, under_way, datetime.now(UTC), unanswered + ANSWER_TOLD_WITHIN)
    fresh = [event for event in events if event.id not in told]
    if fresh:
        await tell(publisher, fresh)
        for event in fresh:
            TOLD.labels(type(event).__name__).inc()
        told |= dict.fromkeys(event.id for event in fresh)
    while len(told) > TOLD_KEPT:
        del told[next(iter(told))]


async def _release(pool: asyncpg.Pool, partitions: Sequence[int], looked_at: dict[int, Kind | None]) -> None:
    """Let go what waited for a label or template; `looked_at` is how far the kinds of each partition are looked at."""
    for partition in await labels.waited_for(pool, partitions):
        for _ in range(RELEASES):
            after = looked_at.get(partition)
            released, last = await labels.release(pool, partition, datetime.now(UTC), AT_ONCE, after)
            if released < AT_ONCE:
                looked_at[partition] = last
                break


async def found(
    pool: asyncpg.Pool,
    partitions: Sequence[int],
    under_way: Collection[str],
    now: datetime,
    unanswered: timedelta,
) -> list[Event]:
    """What is to be told now."""
    events: list[Event] = []
    for row in await sends.expired(pool, partitions, now, AT_ONCE):
        events.append(made(SendExpired, row, row["expires_at"], label=row["label"]))
    for row in await sends.stopped(pool, partitions, now, AT_ONCE):
        attempt, code = row["claimed"], NUMBER_STOPPED.code
        refused = {"stage": "check", "attempt": attempt, "code": code, "error_code": row["error_code"]}
        refused |= asked_of(row["wa_id"], row["user_id"])
        events.append(made(SendRefused, row, now, "stopped", attempt, label=row["label"], **refused))
    for row in await sends.overdue(pool, partitions, under_way, now - unanswered, AT_ONCE):
        attempt = row["claimed"]
        events.append(made(SendUnknown, row, now, attempt, attempt=attempt, reason="owner_gone", label=row["label"]))
    for row in await sends.settled(pool, partitions, now - unanswered, AT_ONCE):
        events.append(
            made(
                SendSettled,
                row,
                row["at"],
                row["wamid"],
                by="status",
                wamid=row["wamid"],
                wa_id=row["told_wa_id"],
                user_id=row["told_user_id"],
                kind=row["kind"],
                message=dict(row["message"]),
                label=row["label"],
            )
        )
    return events
