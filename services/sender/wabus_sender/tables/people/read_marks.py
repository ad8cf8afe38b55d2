"""What Meta is to be told was read."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import ReadMarkRequested
from wabus_runtime.postgres.database import Connection


class Mark(NamedTuple):
    """One that Meta is to be told."""

    mark_id: UUID
    org_id: str
    waba_id: str
    phone_number_id: str
    wamid: str
    typing: bool


async def insert(connection: Connection, asked: Iterable[tuple[ReadMarkRequested, int]]) -> None:
    """Write down what is asked for, each with its partition."""
    await connection.executemany(
        """
        INSERT INTO read_marks
            (mark_id, org_id, waba_id, phone_number_id, partition, wamid, typing, expires_at, next_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
        """,
        [
            (UUID(event.id), event.org_id, event.waba_id, event.phone_number_id, partition, event.wamid, event.typing,
             event.expires_at, event.time)
            for event, partition in asked
            if event.org_id
        ],
    )  # fmt: skip


async def due(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime, again: datetime, most: int) -> list[Mark]:
    """Some that are due, which are due once more at `again`. What nobody cares about any more is deleted.

    None is of a number that stands still: to go on calling for it makes that last longer.
    """
    await pool.execute("DELETE FROM read_marks WHERE expires_at <= $1 AND partition = ANY($2)", now, partitions)
    rows = await pool.fetch(
        """
        UPDATE read_marks SET next_at = $3 WHERE mark_id IN (
            SELECT mark_id FROM read_marks WHERE partition = ANY($1) AND next_at <= $2
                AND phone_number_id NOT IN (SELECT phone_number_id FROM number_pauses WHERE until > $2)
            ORDER BY next_at LIMIT $4
        )
        RETURNING mark_id, org_id, waba_id, phone_number_id, wamid, typing
        """,
        partitions,
        now,
        again,
        most,
    )
    return [Mark(*row) for row in rows]


async def done(pool: asyncpg.Pool, marks: Iterable[Mark]) -> None:
    """Meta knows these, or does not want to."""
    if mark_ids := [mark.mark_id for mark in marks]:
        await pool.execute("DELETE FROM read_marks WHERE mark_id = ANY($1)", mark_ids)
