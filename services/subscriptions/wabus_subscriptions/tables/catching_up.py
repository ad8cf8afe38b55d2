"""Subscriptions that are told what is in the log already, and which process does it."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_subscriptions.tables.subscriptions import folded
from wabus_subscriptions.telling import positions


class CatchUp(NamedTuple):
    """A subscription that is behind."""

    subscription_id: str
    org_id: str
    since: datetime | None
    """From when on it has to be told, where that is not worked out yet."""
    position: dict[positions.Place, int]


async def take(pool: asyncpg.Pool, owner: UUID, lease: timedelta) -> CatchUp | None:
    """Take one that nobody works on, for the time of a lease."""
    row = await pool.fetchrow(
        """
        UPDATE subscriptions SET lease_owner = $1, lease_until = now() + $2 WHERE subscription_id = (
            SELECT subscription_id FROM subscriptions
            WHERE status = 'catching_up' AND (lease_until IS NULL OR lease_until < now())
            ORDER BY lease_until NULLS FIRST, created_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AND status = 'catching_up'
        RETURNING subscription_id::text, org_id, since, position
        """,
        owner,
        lease,
    )
    if row is None:
        return None
    return CatchUp(row["subscription_id"], row["org_id"], row["since"], positions.read(row["position"]))


async def move(
    connection: asyncpg.Pool | Connection,
    taken: CatchUp,
    owner: UUID,
    position: positions.Positions,
    lease: timedelta,
) -> bool:
    """Note how far it was told. Whether it is still ours to tell."""
    found = await connection.fetchval(
        """
        UPDATE subscriptions SET position = $3, since = NULL, lease_until = now() + $4
        WHERE subscription_id = $1 AND lease_owner = $2 AND status = 'catching_up' RETURNING true
        """,
        taken.subscription_id,
        owner,
        positions.stored(position),
        lease,
    )
    return bool(found)


async def leave(pool: asyncpg.Pool, taken: CatchUp, owner: UUID, rest: timedelta) -> None:
    """Let anybody go on with it after a rest, and after those that wait for longer."""
    await pool.execute(
        """
        UPDATE subscriptions SET lease_owner = NULL, lease_until = now() + $3
        WHERE subscription_id = $1 AND lease_owner = $2
        """,
        taken.subscription_id,
        owner,
        rest,
    )


async def end(connection: Connection, taken: CatchUp, owner: UUID, position: positions.Positions) -> bool:
    """Tell it at once from now on, if it was told all that active ones were. Needs a transaction."""
    until = await folded(connection, holding=True)
    if positions.behind(position, until):
        return False
    await connection.execute(
        """
        UPDATE subscriptions
        SET status = 'active', position = '[]', since = NULL, lease_owner = NULL, lease_until = NULL
        WHERE subscription_id = $1 AND lease_owner = $2 AND status = 'catching_up'
        """,
        taken.subscription_id,
        owner,
    )
    return True
