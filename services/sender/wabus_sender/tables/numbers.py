"""How a number sends: why it stands, if it does, and how much waits for it."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

COUNTED_MOST = 10_000  # of a lane


async def pause(pool: asyncpg.Pool, phone_number_id: str, until: datetime, reason: str, error_code: int | None) -> None:
    """Write down that nothing is sent for a number until then."""
    await pool.execute(
        """
        INSERT INTO number_pauses AS known (phone_number_id, until, reason, error_code) VALUES ($1, $2, $3, $4)
        ON CONFLICT (phone_number_id) DO UPDATE SET
            until = excluded.until, reason = excluded.reason, error_code = excluded.error_code
        """,
        phone_number_id,
        until,
        reason,
        error_code,
    )


async def paused(pool: asyncpg.Pool, phone_number_id: str, now: datetime) -> asyncpg.Record | None:
    """Why nothing is sent for a number now; None if something is."""
    return await pool.fetchrow(
        "SELECT until, reason, error_code FROM number_pauses WHERE phone_number_id = $1 AND until > $2",
        phone_number_id,
        now,
    )


async def waiting(pool: asyncpg.Pool, phone_number_id: str, org_id: str) -> Sequence[asyncpg.Record]:
    """How much waits in each lane, counted up to `COUNTED_MOST`, and since when the oldest of it."""
    return await pool.fetch(
        """
        SELECT queues.lane, found.number, found.oldest FROM queues CROSS JOIN LATERAL (
            SELECT count(*) AS number, min(requested_at) AS oldest FROM (
                SELECT requested_at FROM sends WHERE sends.phone_number_id = queues.phone_number_id
                    AND sends.lane = queues.lane AND state = 'queued' AND org_id = $2
                ORDER BY next_at, sequence LIMIT $3
            ) AS first
        ) AS found
        WHERE queues.phone_number_id = $1
        """,
        phone_number_id,
        org_id,
        COUNTED_MOST,
    )
