"""Deletes what is past its time: sends with the log that they are made of, keys after two days."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import asyncpg
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_runtime.scheduler.deleting import delete_all, look_after

from wabus_sender.tables import keeping, keys, uploads

LOOK_EVERY = 600.0  # seconds
PAUSE = 0.2  # seconds between two deletions
AT_ONCE = 1_000
UPLOAD_LIVES = timedelta(hours=1)
"""Longer a file neither arrives nor waits for Meta."""


async def run(pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Look after the tables for ever, as one of any number of workers."""
    await look_after("sender upkeep", LOOK_EVERY, partial(look, pool), ready)


async def look(pool: asyncpg.Pool, now: datetime, beat: Callable[[], None]) -> None:
    """Delete all that is past its time now."""
    before = now - PERSONAL_RETENTION
    for delete in (
        lambda: keeping.delete_keys(pool, now - keys.KEPT, AT_ONCE),
        lambda: keeping.delete_sends(pool, before, AT_ONCE),
        lambda: keeping.delete_contacts(pool, before, AT_ONCE),
        lambda: keeping.delete_heard(pool, before, AT_ONCE),
        lambda: keeping.delete_arms(pool, before, AT_ONCE),
        lambda: uploads.delete_old(pool, before, now - UPLOAD_LIVES, AT_ONCE),
    ):
        await delete_all(delete, beat, PAUSE)
