"""How a number sends: why it stands, if it does, how much waits, and how much comes in, which Meta counts too."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import asyncpg
from wabus_events import MessageReceived
from wabus_runtime.postgres.database import Connection

COUNTED_MOST = 10_000  # of a lane
ARRIVAL_SLOTS = 16  # seconds that are kept of what came in to a number
ARRIVAL_SPAN = 5  # seconds of which the mean is taken
NOT_THERE_YET = 1  # seconds of which not all may be folded
ARRIVED_OF_NOW = 60  # seconds: what was written longer ago is not counted any more


async def pause(pool: asyncpg.Pool, phone_number_id: str, until: datetime, reason: str, error_code: int | None) -> None:
    """Write down that nothing is sent for a number until then; a longer pause that is there already stands."""
    await pool.execute(
        """
        INSERT INTO number_pauses AS known (phone_number_id, until, reason, error_code) VALUES ($1, $2, $3, $4)
        ON CONFLICT (phone_number_id) DO UPDATE SET
            until = excluded.until, reason = excluded.reason, error_code = excluded.error_code
        WHERE excluded.until > known.until
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


async def paused_of(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime) -> list[tuple[str, datetime, str]]:
    """The numbers of these partitions for which nothing is sent now, until when, and why."""
    rows = await pool.fetch(
        """
        SELECT DISTINCT phone_number_id, until, reason FROM number_pauses JOIN queues USING (phone_number_id)
        WHERE until > $2 AND queues.partition = ANY($1)
        """,
        partitions,
        now,
    )
    return [(row["phone_number_id"], row["until"], row["reason"]) for row in rows]


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


async def count_arrivals(connection: Connection, messages: Iterable[MessageReceived]) -> None:
    """Count what has come in. What is counted is not to come again."""
    counted = Counter((each.phone_number_id, int(each.time.timestamp())) for each in messages)
    # Of two seconds that have the same slot the later one stands.
    latest = {(number, second % ARRIVAL_SLOTS): (second, counted[number, second]) for number, second in sorted(counted)}
    if not latest:
        return
    rows = [(number, slot, *found) for (number, slot), found in sorted(latest.items())]
    await connection.execute(
        """
        INSERT INTO arrivals AS known (phone_number_id, slot, second, messages)
        SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::int[])
            AS new(phone_number_id, slot, second, messages)
        WHERE abs(second - extract(epoch FROM now())) < $5
        ON CONFLICT (phone_number_id, slot) DO UPDATE SET second = excluded.second,
            messages = excluded.messages + CASE WHEN known.second = excluded.second THEN known.messages ELSE 0 END
        WHERE excluded.second >= known.second
        """,
        *map(list, zip(*rows, strict=True)),
        ARRIVED_OF_NOW,
    )


async def arrived_lately(pool: asyncpg.Pool, phone_number_ids: Collection[str], now: datetime) -> dict[str, int]:
    """How many came in to each number within the last `ARRIVAL_SPAN` seconds; those to which none came are left out."""
    until = int(now.timestamp()) - NOT_THERE_YET
    rows = await pool.fetch(
        """
        SELECT phone_number_id, sum(messages)::int AS messages FROM arrivals
        WHERE phone_number_id = ANY($1) AND second >= $2 AND second < $3 GROUP BY phone_number_id
        """,
        list(phone_number_ids),
        until - ARRIVAL_SPAN,
        until,
    )
    return {row["phone_number_id"]: row["messages"] for row in rows}
