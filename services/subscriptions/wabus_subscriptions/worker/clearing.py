"""Deletes what is of who was forgotten, a little at a time: what waits to be told, and what became of what was told.

Much may wait, for receivers that are away; it is told to nobody from the moment on at which the line is folded, for the
outbox looks at the lines before each delivery.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import asyncpg
from wabus_events import OrganisationForgotten
from wabus_runtime.outbox import rows
from wabus_runtime.scheduler.deleting import look_after
from wabus_runtime.settings import IdentitySettings
from wabus_whatsapp.forgetting import Lines

from wabus_subscriptions.tables import cleared, deliveries, subscriptions

LOOK_EVERY = 1.0  # seconds between two looks for lines
PAUSE = 0.02  # seconds between two deletions
DELETED_AT_ONCE = 2_000  # deliveries


async def run(settings: IdentitySettings, pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Do so for ever, as one of any number of workers: only one of them is at it."""

    async def look(_now: datetime, beat: Callable[[], None]) -> None:
        await clear(settings, pool, beat)

    await look_after("subscriptions clearing", LOOK_EVERY, look, ready)


async def clear(settings: IdentitySettings, pool: asyncpg.Pool, beat: Callable[[], None]) -> None:
    """Delete what is of who was forgotten since it was done last."""
    found, revision = await cleared.newer(pool, await cleared.until(pool))
    if not found:
        return
    lines = Lines(settings.identity_bytes, found)
    until = await rows.last_id(pool, subscriptions.NAME)
    reached = 0
    while reached < until:
        async with pool.acquire() as connection, connection.transaction():
            if not await cleared.take_turn(connection):
                return
            reached = await rows.erase_some(connection, lines, outbox=subscriptions.NAME, after=reached, until=until)
        beat()
        await asyncio.sleep(PAUSE)
    known = {*await subscriptions.organisations(pool), *await deliveries.organisations(pool)}
    for org_id in sorted(known - {""}):
        if (line := lines.of(OrganisationForgotten, org_id)) is not None:
            while True:
                async with pool.acquire() as connection, connection.transaction():
                    if not await cleared.take_turn(connection):
                        return
                    if not await deliveries.delete_organisation(connection, org_id, line, DELETED_AT_ONCE):
                        await subscriptions.delete_organisation(connection, org_id, line)
                        break
                beat()
                await asyncio.sleep(PAUSE)
    await cleared.note(pool, revision)
