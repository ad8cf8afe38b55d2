"""Who is told of what."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, cast

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_subscriptions.telling import positions
from wabus_subscriptions.telling.pausing import Reason
from wabus_subscriptions.telling.signing import ROTATIONS_MOST
from wabus_subscriptions.telling.types import TOLD

NAME = "subscriptions"
"""Of the outbox, its projection and consumer group."""

OPERATOR = "00000000-0000-0000-0000-000000000000"
"""The subscription of the receiver that the operator names. Its organisation is the empty one, which nobody has."""

_COLUMNS = """
    subscription_id::text, org_id, url, types, description, status, reason, paused_at, failing_since, generation,
    rotations, created_at
"""


class Subscription(NamedTuple):
    """A row, without where it is in the log."""

    subscription_id: str
    org_id: str
    url: str
    types: Sequence[str] | None
    description: str
    status: str
    reason: Reason | None
    paused_at: datetime | None
    failing_since: datetime | None
    generation: int
    rotations: Sequence[datetime]
    """When its last secrets were replaced, the newest first."""
    created_at: datetime


async def create(
    pool: asyncpg.Pool,
    subscription_id: str,
    org_id: str,
    url: str,
    types: Sequence[str] | None,
    description: str,
    since: datetime | None,
    most: int,
) -> Subscription | None:
    """Add a subscription, which is told what is folded from now on; with `since` what was logged from then on.

    None where the organisation has as many as it may.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"subscriptions {org_id}")
        if await connection.fetchval("SELECT count(*) FROM subscriptions WHERE org_id = $1", org_id) >= most:
            return None
        row = await connection.fetchrow(
            f"""
            INSERT INTO subscriptions (subscription_id, org_id, url, types, description, status, since, position)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {_COLUMNS}
            """,  # noqa: S608
            subscription_id,
            org_id,
            url,
            None if types is None else list(types),
            description,
            "active" if since is None else "catching_up",
            since,
            [] if since is None else positions.stored(await folded(connection)),
        )
    return Subscription(*_there(row))


async def of_organisation(pool: asyncpg.Pool, org_id: str) -> list[Subscription]:
    """The oldest first."""
    rows = await pool.fetch(
        f"SELECT {_COLUMNS} FROM subscriptions WHERE org_id = $1 ORDER BY created_at, subscription_id",  # noqa: S608
        org_id,
    )
    return [Subscription(*row) for row in rows]


async def one(pool: asyncpg.Pool | Connection, org_id: str, subscription_id: str) -> Subscription | None:
    row = await pool.fetchrow(
        f"SELECT {_COLUMNS} FROM subscriptions WHERE org_id = $1 AND subscription_id = $2",  # noqa: S608
        org_id,
        subscription_id,
    )
    return Subscription(*row) if row else None


async def by_id(pool: asyncpg.Pool, subscription_id: str) -> Subscription | None:
    """A subscription that is told at once or catches up; None while it is paused, and where there is none."""
    row = await pool.fetchrow(
        f"SELECT {_COLUMNS} FROM subscriptions WHERE subscription_id = $1 AND status <> 'paused'",  # noqa: S608
        subscription_id,
    )
    return Subscription(*row) if row else None


async def told_at_once(connection: Connection, organisations: Sequence[str]) -> list[Subscription]:
    """The active subscriptions of organisations, and the operator's."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM subscriptions WHERE status = 'active' AND org_id = ANY($1) ORDER BY created_at",  # noqa: S608
        [*organisations, ""],
    )
    return [Subscription(*row) for row in rows]


async def change(
    connection: Connection, subscription_id: str, url: str, types: Sequence[str] | None, description: str
) -> None:
    """Say anew what it is. What waits already goes to the new address."""
    await connection.execute(
        "UPDATE subscriptions SET url = $2, types = $3, description = $4 WHERE subscription_id = $1",
        subscription_id,
        url,
        None if types is None else list(types),
        description,
    )


async def rotate(pool: asyncpg.Pool, held: Subscription, now: datetime) -> Subscription | None:
    """Give it the next secret; None where somebody else has just done that, or ended it."""
    row = await pool.fetchrow(
        f"""
        UPDATE subscriptions SET generation = generation + 1, rotated_at = $4::timestamptz,
            rotations = (ARRAY[$4::timestamptz] || rotations)[:$5::int]
        WHERE org_id = $1 AND subscription_id = $2 AND generation = $3 RETURNING {_COLUMNS}
        """,  # noqa: S608
        held.org_id,
        held.subscription_id,
        held.generation,
        now,
        ROTATIONS_MOST,
    )
    return Subscription(*row) if row else None


async def delete(pool: asyncpg.Pool, org_id: str, subscription_id: str) -> bool:
    """End a subscription: what waits for it is told to nobody. Whether there was one."""
    async with pool.acquire() as connection, connection.transaction():
        gone = await connection.fetchval(
            "DELETE FROM subscriptions WHERE org_id = $1 AND subscription_id = $2 RETURNING true",
            org_id,
            subscription_id,
        )
        if gone:
            await _let_nothing_wait(connection, subscription_id)
    return bool(gone)


async def end_organisation(connection: Connection, org_id: str, until: datetime) -> None:
    """Tell the subscriptions that an organisation had then nothing more: they are deleted soon."""
    await connection.execute(
        """
        UPDATE subscriptions SET status = 'paused', reason = 'asked', lease_owner = NULL, lease_until = NULL
        WHERE org_id = $1 AND created_at <= $2
        """,
        org_id,
        until,
    )


async def delete_organisation(connection: Connection, org_id: str, until: datetime) -> None:
    """Delete the subscriptions that an organisation had then; what waited for them is gone already."""
    await connection.execute("DELETE FROM subscriptions WHERE org_id = $1 AND created_at <= $2", org_id, until)


async def organisations(connection: asyncpg.Pool | Connection) -> list[str]:
    """Who has subscriptions, but for the operator."""
    rows = await connection.fetch("SELECT DISTINCT org_id FROM subscriptions WHERE org_id <> ''")
    return [row["org_id"] for row in rows]


async def pause(connection: Connection, subscription_id: str, reason: Reason, now: datetime) -> bool:
    """Stop telling it, and note how far it was told. Whether it was not paused already. Needs a transaction.

    Nothing is lost by it: what is folded meanwhile is in the log, and read from there when it goes on.
    """
    told_to_others = await folded(connection, holding=True)
    row = await connection.fetchrow(
        "SELECT status, position FROM subscriptions WHERE subscription_id = $1 AND status <> 'paused' FOR UPDATE",
        subscription_id,
    )
    if row is None:
        return False
    told = told_to_others if row["status"] == "active" else positions.read(row["position"])
    position = positions.lowest(told, await _let_nothing_wait(connection, subscription_id))
    await connection.execute(
        """
        UPDATE subscriptions SET status = 'paused', reason = $2, paused_at = $3, position = $4
        WHERE subscription_id = $1
        """,
        subscription_id,
        reason,
        now,
        positions.stored(position),
    )
    return True


async def go_on(connection: Connection, subscription_id: str, since: datetime | None) -> None:
    """Tell a paused one what it was not told, from `since` on also what it was told already. Needs a transaction."""
    await connection.execute(
        """
        UPDATE subscriptions SET status = 'catching_up', reason = NULL, since = coalesce($2, since),
            paused_at = NULL, failing_since = NULL, lease_owner = NULL, lease_until = NULL
        WHERE subscription_id = $1 AND status = 'paused'
        """,
        subscription_id,
        since,
    )


async def failed(connection: Connection, subscription_id: str, now: datetime) -> datetime | None:
    """Note that an attempt failed; since when all do. None where there is no such subscription."""
    return await connection.fetchval(
        """
        UPDATE subscriptions SET failing_since = coalesce(failing_since, $2) WHERE subscription_id = $1
        RETURNING failing_since
        """,
        subscription_id,
        now,
    )


async def succeeded(connection: Connection, subscription_id: str) -> None:
    """Note that an attempt succeeded."""
    await connection.execute(
        "UPDATE subscriptions SET failing_since = NULL WHERE subscription_id = $1 AND failing_since IS NOT NULL",
        subscription_id,
    )


async def waiting(pool: asyncpg.Pool, subscription_id: str, most: int) -> int:
    """How many events wait for it; looks no further than `most`."""
    return await pool.fetchval(
        "SELECT count(*) FROM (SELECT FROM outbox WHERE outbox = $1 AND endpoint = $2 LIMIT $3) AS waiting",
        NAME,
        subscription_id,
        most,
    )


async def all_told_at_once(pool: asyncpg.Pool) -> list[str]:
    """The ids of those that are active."""
    rows = await pool.fetch("SELECT subscription_id::text FROM subscriptions WHERE status = 'active'")
    return [row[0] for row in rows]


async def set_operator(pool: asyncpg.Pool, url: str | None, types: Sequence[str] | None, now: datetime) -> None:
    """Make the operator's subscription what the settings say. One that was paused goes on."""
    if url is None:
        await delete(pool, "", OPERATOR)
        return
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            INSERT INTO subscriptions (subscription_id, org_id, url, types) VALUES ($1, '', $2, $3)
            ON CONFLICT (subscription_id) DO UPDATE SET url = $2, types = $3
            """,
            OPERATOR,
            url,
            None if types is None else list(types),
        )
        await go_on(connection, OPERATOR, None)


async def folded(connection: asyncpg.Pool | Connection, *, holding: bool = False) -> dict[positions.Place, int]:
    """How far active subscriptions were told; no further before this transaction ends if `holding`."""
    rows = await connection.fetch(
        f"""
        SELECT topic, partition, next_offset FROM projection_offsets WHERE projection = $1 AND topic = ANY($2)
        ORDER BY topic, partition {"FOR UPDATE" if holding else ""}
        """,  # noqa: S608
        NAME,
        [topic.name for topic in TOLD],
    )
    return _places(rows)


async def _let_nothing_wait(connection: Connection, subscription_id: str) -> dict[positions.Place, int]:
    """Delete what waits for a subscription; the first of it in each partition."""
    rows = await connection.fetch(
        """
        WITH gone AS (
            DELETE FROM outbox WHERE outbox = $1 AND endpoint = $2 RETURNING topic, partition, log_offset
        )
        SELECT topic, partition, min(log_offset) AS next_offset FROM gone GROUP BY topic, partition
        """,
        NAME,
        subscription_id,
    )
    return _places(rows)


def _places(rows: Sequence[asyncpg.Record]) -> dict[positions.Place, int]:
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    return cast(asyncpg.Record, row)
