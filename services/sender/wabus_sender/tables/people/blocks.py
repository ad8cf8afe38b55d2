"""Whom a number does not want to hear of: as somebody asked for it, and as Meta has it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import BlockRefused, BlockRequested, ContactBlocked, ContactUnblocked
from wabus_runtime.postgres.database import Connection

Event = BlockRequested | ContactBlocked | ContactUnblocked | BlockRefused


class Wanted(NamedTuple):
    """One that Meta is to be asked for."""

    request_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    blocks: bool
    attempts: int
    """This one counted."""


class BlockFact(NamedTuple):
    """An event, its partition, and the names under which the person is forgotten."""

    event: Event
    partition: int
    forgotten_as: str
    forgotten_everywhere_as: str


async def write(connection: Connection, told: Iterable[BlockFact], *, over: bool = False) -> None:
    """Fold events in their order: of one number they are in one partition.

    Of a replay `over` the rows nothing is asked of Meta before its end, and what came of older requests is passed over.
    """
    for event, partition, forgotten_as, forgotten_everywhere_as in told:
        value = event.wa_id or event.user_id
        if not event.org_id or not value:
            continue
        match event:
            case BlockRequested():
                await connection.execute(
                    """
                    INSERT INTO blocks AS known (org_id, phone_number_id, value, forgotten_as, forgotten_everywhere_as,
                        waba_id, wa_id, user_id, partition, request_id, blocks, state, next_at, changed_at)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'asked',
                        CASE WHEN $13 THEN 'infinity' ELSE $12::timestamptz END, $12)
                    ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET request_id = excluded.request_id,
                        blocks = excluded.blocks, state = 'asked', next_at = excluded.next_at, attempts = 0,
                        changed_at = excluded.changed_at, code = NULL, error_code = NULL, waba_id = excluded.waba_id,
                        wa_id = excluded.wa_id, user_id = excluded.user_id, partition = excluded.partition
                    WHERE (excluded.changed_at, excluded.request_id) > (known.changed_at, known.request_id)
                    """,
                    event.org_id,
                    event.phone_number_id,
                    value,
                    forgotten_as,
                    forgotten_everywhere_as,
                    event.waba_id,
                    event.wa_id,
                    event.user_id,
                    partition,
                    UUID(event.id),
                    event.blocks,
                    event.time,
                    over,
                )
            case ContactBlocked() | ContactUnblocked():
                await connection.execute(
                    """
                    UPDATE blocks SET blocked = $5, inherited = false,
                        state = CASE WHEN request_id = $4 THEN 'done' ELSE state END
                    WHERE org_id = $1 AND phone_number_id = $2 AND value = $3 AND (NOT $6 OR request_id = $4)
                    """,
                    event.org_id,
                    event.phone_number_id,
                    value,
                    UUID(event.request_id),
                    isinstance(event, ContactBlocked),
                    over,
                )
                if isinstance(event, ContactUnblocked) and not over:
                    await _unblock_as_well(connection, event, value)
            case BlockRefused():
                await connection.execute(
                    """
                    UPDATE blocks SET code = $5, error_code = $6,
                        blocked = blocked AND NOT (inherited AND NOT blocks),
                        state = CASE WHEN inherited AND NOT blocks THEN 'done' ELSE 'refused' END
                    WHERE org_id = $1 AND phone_number_id = $2 AND value = $3 AND request_id = $4
                    """,
                    event.org_id,
                    event.phone_number_id,
                    value,
                    UUID(event.request_id),
                    event.code,
                    event.error_code,
                )


async def _unblock_as_well(connection: Connection, event: ContactUnblocked, value: str) -> None:
    """Whom Meta has off its list by one identifier is not blocked by another that they came with, either."""
    await connection.execute(
        """
        UPDATE blocks SET blocked = false, inherited = false
        WHERE org_id = $1 AND phone_number_id = $2 AND blocked AND state <> 'asked' AND changed_at < $5
            AND value IN (SELECT $4 UNION SELECT other FROM known_together WHERE org_id = $1 AND value = $3)
        """,
        event.org_id,
        event.phone_number_id,
        value,
        event.user_id,
        event.time,
    )


async def due(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime, again: datetime, most: int) -> list[Wanted]:
    """Some that are due, which are due once more at `again`.

    None is of a number that stands still, unless Meta would refuse these too until somebody has done something.
    """
    rows = await pool.fetch(
        """
        UPDATE blocks SET next_at = $3, attempts = attempts + 1 WHERE request_id IN (
            SELECT request_id FROM blocks WHERE partition = ANY($1) AND next_at <= $2 AND state = 'asked'
                AND phone_number_id NOT IN (
                    SELECT phone_number_id FROM number_pauses
                    WHERE until > $2 AND reason NOT IN ('account_stop', 'no_access')
                )
            ORDER BY next_at LIMIT $4
        )
        RETURNING request_id::text, org_id, waba_id, phone_number_id, wa_id, user_id, blocks, attempts
        """,
        partitions,
        now,
        again,
        most,
    )
    return [Wanted(*row) for row in rows]


async def uncount(pool: asyncpg.Pool, request_id: str) -> None:
    """The last attempt was none: Meta has looked at nothing."""
    await pool.execute("UPDATE blocks SET attempts = attempts - 1 WHERE request_id = $1", UUID(request_id))


async def release(pool: asyncpg.Pool) -> None:
    """Let Meta be asked for what a replay has brought back, now that all is folded that came of it."""
    await pool.execute("UPDATE blocks SET next_at = now() WHERE state = 'asked' AND next_at = 'infinity'")


async def state_of(pool: asyncpg.Pool, org_id: str, request_id: str) -> asyncpg.Record | None:
    """What became of a request; None where it is not known, or somebody has asked anew since."""
    return await pool.fetchrow(
        "SELECT state, blocked, code, error_code FROM blocks WHERE request_id = $1 AND org_id = $2",
        UUID(request_id),
        org_id,
    )


async def blocked(pool: asyncpg.Pool, org_id: str, phone_number_id: str, value: str) -> bool:
    """Whether a person is on the list of a number."""
    return await pool.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM blocks WHERE org_id = $1 AND phone_number_id = $2 AND blocked AND value IN (
                SELECT $3 UNION SELECT other FROM known_together WHERE org_id = $1 AND value = $3
            )
        )
        """,
        org_id,
        phone_number_id,
        value,
    )
