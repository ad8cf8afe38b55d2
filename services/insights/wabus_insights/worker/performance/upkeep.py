"""Deletes messages after nine days, and counts after 400; what the log has not told yet waits for that."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import asyncpg
import structlog
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.postgres.offsets import offsets
from wabus_runtime.scheduler.deleting import delete_all, look_after
from wabus_runtime.settings import KafkaSettings

from wabus_insights.tables.performance import keeping
from wabus_insights.worker.performance import log as kafka_log

LOOK_EVERY = 600.0  # seconds
PAUSE = 0.2  # seconds between two deletions
AT_ONCE = 2_000  # rows of a table
MESSAGES_KEPT = timedelta(days=9)
"""Meta tries to tell a webhook for seven days."""
COUNTS_KEPT = timedelta(days=400)
MAY_BE_LATE = timedelta(hours=1)
"""Nothing is deleted while the tables lack what was logged longer ago: it may be of messages of then."""

logger = structlog.get_logger()


async def run(settings: KafkaSettings, pool: asyncpg.Pool, live: str, again: str, ready: Callable[[], None]) -> None:
    """Look after the tables for ever, as one of any number of workers. `live` folds into them, `again` once more."""
    await look_after("insights upkeep", LOOK_EVERY, partial(look, settings, pool, live, again), ready)


async def look(
    settings: KafkaSettings, pool: asyncpg.Pool, live: str, again: str, now: datetime, beat: Callable[[], None]
) -> None:
    """Delete all that is past its time now."""
    before = (now - COUNTS_KEPT).date()
    await delete_all(lambda: keeping.delete_counts(pool, before, AT_ONCE), beat, PAUSE)
    if await offsets(pool, again):
        return  # the log is folded again: messages of each of its days are wanted until it is through
    try:
        if not await kafka_log.is_folded(settings, pool, live, now - MAY_BE_LATE):
            return
    except KafkaUnavailable as error:
        logger.warning("messages are kept for longer", action="upkeep_put_off", error=type(error).__name__)
        return
    counted_from = now - MESSAGES_KEPT
    await keeping.count_from(pool, counted_from)
    await delete_all(lambda: keeping.delete_messages(pool, counted_from, AT_ONCE), beat, PAUSE)
