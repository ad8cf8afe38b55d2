"""Deletes what is known of deliveries of long ago, and pauses whom too much waits for."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import asyncpg
from prometheus_client import Gauge
from wabus_runtime.scheduler.deleting import look_after

from wabus_subscriptions.tables import deliveries, subscriptions
from wabus_subscriptions.telling.pausing import WAITING_MOST
from wabus_subscriptions.worker.receivers import pause

LOOK_EVERY = 20.0  # seconds between two passes
KEPT = timedelta(days=7)
DELETED_AT_ONCE = 5_000
PAUSE = 0.1  # seconds between two deletions

WAITING = Gauge("wabus_subscription_webhooks_waiting", "Events that wait for a receiver, of whom most wait for.")


async def run(
    pool: asyncpg.Pool,
    ready: Callable[[], None],
    *,
    waiting_most: int = WAITING_MOST,
    look_every: float = LOOK_EVERY,
) -> None:
    """Look after the tables for ever, as one of any number of workers."""

    async def look(_now: datetime, beat: Callable[[], None]) -> None:
        while await deliveries.delete_older(pool, KEPT, DELETED_AT_ONCE) == DELETED_AT_ONCE:
            beat()
            await asyncio.sleep(PAUSE)
        longest = 0
        for subscription_id in await subscriptions.all_told_at_once(pool):
            beat()
            waiting = await subscriptions.waiting(pool, subscription_id, waiting_most + 1)
            longest = max(longest, waiting)
            if waiting > waiting_most:
                await pause(pool, subscription_id, "too_far_behind")
        WAITING.set(longest)

    await look_after("subscriptions upkeep", look_every, look, ready)
