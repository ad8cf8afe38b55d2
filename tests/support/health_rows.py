"""The rows of the health projection, for tests that compare them: until when they are in, and all of them as text."""

from collections.abc import Sequence

import asyncpg
from wabus_health_projector.worker import projector
from wabus_runtime.kafka.outcomes import Position
from wabus_runtime.postgres.offsets import wait_for
from waiting import WAIT

TABLES = [table.name for table in projector.PROJECTION.tables]


async def reached(pool: asyncpg.Pool, positions: Sequence[Position]) -> bool:
    """Whether the rows soon have what was published there."""
    ends: dict[tuple[str, int], int] = {}
    for position in positions:
        place = position.topic, position.partition
        ends[place] = max(ends.get(place, 0), position.offset + 1)
    return await wait_for(pool, projector.NAME, ends, WAIT)


async def rows(pool: asyncpg.Pool) -> dict[str, list[str]]:
    """Every row of every table as text, to the byte."""
    return {
        table: [row[0] for row in await pool.fetch(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in TABLES
    }
