"""Before the log is folded again: what it still holds whole is emptied and counted anew, what is older stays."""

from datetime import UTC, datetime, time, timedelta

import asyncpg
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.settings import KafkaSettings

from wabus_insights.tables.performance import keeping, since
from wabus_insights.worker.performance import log


async def begin(settings: KafkaSettings, pool: asyncpg.Pool, again: str) -> None:
    """Empty the counts of those days that the log has from their midnight on; a run that goes on has done so already.

    `again` is the name under which the log is folded again. Raises `KafkaUnavailable`.
    """
    if await offsets(pool, again):
        return
    at = midnight_after(log.beginning_of(await log.first_records(settings), datetime.now(UTC)))
    async with pool.acquire() as connection, connection.transaction():
        await since.lock(connection)
        await keeping.empty_from(connection, at)


def midnight_after(at: datetime) -> datetime:
    """The first midnight, UTC, that is not before a moment."""
    midnight = datetime.combine(at.astimezone(UTC).date(), time(), UTC)
    return midnight if midnight >= at else midnight + timedelta(days=1)
