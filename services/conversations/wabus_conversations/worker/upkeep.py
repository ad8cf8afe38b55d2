"""Deletes what is past its retention, a little at a time, and looks after the partitions of the months."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import asyncpg
from prometheus_client import Counter, Gauge
from wabus_runtime.feed import changes
from wabus_runtime.feed.changes import begin_epoch
from wabus_runtime.scheduler.deleting import delete_all, look_after

from wabus_conversations.tables import conversations, messages, months, retention
from wabus_conversations.tables.locks import lock_everything
from wabus_conversations.tables.work import events, presence, state
from wabus_conversations.worker.changed import PROJECTION, Changed
from wabus_conversations.worker.keeping import Keeping

LOOK_EVERY = 600.0  # seconds between two passes
PAUSE = 0.2  # seconds between two deletions: those who fold wait for each
DELETED_AT_ONCE = 1_000  # messages
MENDED_AT_ONCE = 200  # conversations
PIECED_AT_ONCE = 1_000  # messages
PIECED_IN_A_PASS = 500_000  # messages: retention waits for that
BESIDE_MOST = timedelta(hours=1)  # that workers of before an upgrade run beside those of after it
NO_ID = "00000000-0000-0000-0000-000000000000"
AHEAD = timedelta(days=20)  # a month has its partition so long before it begins
BEHIND = timedelta(days=40)  # and so far back: what a first start folds
EVENTS_KEPT = timedelta(days=40)  # that one was folded: the topic has it for 30
UNSEEN_MOST = timedelta(days=1)  # that something is done with a conversation that is not there (yet)
LATE_MOST = timedelta(days=40)  # what comes later than that of a message that is gone, Meta does not send

DELETED = Counter("wabus_conversations_deleted_total", "Messages deleted because their time was over.")
KEPT_RIGHT_AT = Gauge(
    "wabus_conversations_kept_right_at", "When nothing was left that is past its time, in seconds since 1970."
)


async def run(pool: asyncpg.Pool, keeping: Keeping, ready: Callable[[], None]) -> None:
    """Look after the tables for ever, as one of any number of workers."""

    async def keep_right(now: datetime, beat: Callable[[], None]) -> None:
        await look(pool, keeping, now, beat)
        KEPT_RIGHT_AT.set_to_current_time()

    await look_after("conversations upkeep", LOOK_EVERY, keep_right, ready)


async def look(
    pool: asyncpg.Pool, keeping: Keeping, now: datetime, beat: Callable[[], None], at_once: int = DELETED_AT_ONCE
) -> None:
    """Delete all that is past its time now, `at_once` messages in a transaction, and make and drop partitions."""
    keeping.set_days(await retention.days_of(pool))
    await make_months(pool, now)
    await changes.keep(pool, now.date(), keeping.feed_days)
    for org_id in await retention.organisations(pool):
        await delete_all(partial(_delete, pool, org_id, keeping.in_time_from(org_id, now), at_once), beat, PAUSE)
    await delete_all(lambda: events.delete_old(pool, now - EVENTS_KEPT, DELETED_AT_ONCE), beat, PAUSE)
    await delete_all(lambda: presence.delete_old(pool, DELETED_AT_ONCE), beat, PAUSE)
    await delete_all(lambda: events.delete_orphans(pool, now - UNSEEN_MOST, DELETED_AT_ONCE), beat, PAUSE)
    oldest = keeping.longest_from(now)
    await delete_all(lambda: _delete_orphans(pool, oldest, at_once), beat, PAUSE)
    gone_before = months.month_of((now - LATE_MOST).date())
    await delete_all(lambda: retention.forget_places(pool, gone_before), beat, PAUSE)
    await months.drop_empty(pool, months.month_of((oldest - LATE_MOST).date()))
    await make_pieces(pool, now, beat)


async def make_months(pool: asyncpg.Pool, now: datetime) -> None:
    """Make the partitions that what comes now goes into."""
    await months.make(pool, (now - BEHIND).date(), (now + AHEAD).date())


async def make_pieces(
    pool: asyncpg.Pool, now: datetime, beat: Callable[[], None], at_once: int = PIECED_AT_ONCE
) -> None:
    """Make what texts without spaces are found by, of those that were written before there was that; not all at once:
    the next pass goes on.
    """
    for _ in range(PIECED_IN_A_PASS // at_once):
        if not await messages.make_pieces(pool, now - BESIDE_MOST, at_once):
            return
        beat()
        await asyncio.sleep(PAUSE)


async def mend(pool: asyncpg.Pool) -> None:
    """Sum up every conversation anew, some at a time: their rows may say something else than their messages do.

    Who follows loads all of it then.
    """
    after = NO_ID
    while True:
        async with pool.acquire() as connection, connection.transaction():
            await lock_everything(connection)
            ids = await conversations.some(connection, after, MENDED_AT_ONCE)
            await conversations.sum_up(connection, ids, {})
            # Their messages may have come after the marks: all at once then.
            await state.count_unread(
                connection, await state.mark_read(connection, await state.marks_of(connection, ids))
            )
        if not ids:
            break
        after = ids[-1]
        await asyncio.sleep(PAUSE)
    await begin_epoch(pool, PROJECTION)


async def _delete(pool: asyncpg.Pool, org_id: str, before: datetime, at_once: int) -> int:
    """Delete some messages; how many."""
    found = await retention.old(pool, org_id, before, at_once)
    if not found:
        return 0
    async with pool.acquire() as connection, connection.transaction():
        await lock_everything(connection)
        changed = Changed()
        changed.anew(await retention.delete(connection, found))
        await changed.write(connection)
    DELETED.inc(len(found))
    return len(found)


async def _delete_orphans(pool: asyncpg.Pool, before: datetime, at_once: int) -> int:
    async with pool.acquire() as connection, connection.transaction():
        await lock_everything(connection)
        return await retention.orphans(connection, before, at_once)
