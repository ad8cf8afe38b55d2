"""Waiting until what was published is in the tables: who asks next sees what they did."""

from collections.abc import Sequence

import asyncpg
from wabus_runtime.kafka.outcomes import Position
from wabus_runtime.postgres.offsets import wait_for

FOLDED_WITHIN = 5.0  # seconds


async def folded(pool: asyncpg.Pool, projection: str, positions: Sequence[Position]) -> bool:
    """Whether the fold has these records within a moment."""
    wanted = {(one.topic, one.partition): one.offset + 1 for one in positions}
    return await wait_for(pool, projection, wanted, FOLDED_WITHIN)
