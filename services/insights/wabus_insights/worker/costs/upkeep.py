"""Deletes what is past its time: messages that no status comes of, the order of a month that is long over, days, what
Meta said of them, and what was told of budgets.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import asyncpg
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_runtime.scheduler.deleting import delete_all, look_after

from wabus_insights.tables.costs import charges, days, prices, tiers
from wabus_insights.tables.planning import budgets, pricing

MESSAGES_KEPT = PERSONAL_RETENTION + timedelta(days=10)
"""For longer than the log has what tells of them, so that what is folded again counts nothing twice."""
ORDER_KEPT = timedelta(days=75)
"""Of a whole month, and long enough for a rate card with other volume tiers to come late."""
DAYS_KEPT = timedelta(days=400)
LOOK_EVERY = 3600.0  # seconds
PAUSE = 0.2  # seconds between two deletions
AT_ONCE = 2_000


async def run(pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Look after the tables for ever, as one of any number of workers."""
    await look_after("insights costs upkeep", LOOK_EVERY, partial(look, pool), ready)


async def look(pool: asyncpg.Pool, now: datetime, beat: Callable[[], None]) -> None:
    """Delete all that is past its time now."""
    first = (now - DAYS_KEPT).date()
    for delete in (
        lambda: charges.delete_old(pool, now - MESSAGES_KEPT, AT_ONCE),
        lambda: charges.delete_old_sends(pool, now - MESSAGES_KEPT, AT_ONCE),
        lambda: tiers.delete_old(pool, now - ORDER_KEPT, AT_ONCE),
        lambda: days.delete_old(pool, first, AT_ONCE),
        lambda: tiers.delete_old_months(pool, first.replace(day=1), AT_ONCE),
        lambda: prices.delete_old_readings(pool, first - prices.LOOKED_BACK, AT_ONCE),
        lambda: pricing.delete_old(pool, first, AT_ONCE),
        lambda: budgets.delete_old_alerts(pool, now - DAYS_KEPT, AT_ONCE),
    ):
        await delete_all(delete, beat, PAUSE)
