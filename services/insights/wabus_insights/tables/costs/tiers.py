"""How many messages were charged in a month, in which order, and which volume tiers Meta says were reached."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.cells import Tier
from wabus_insights.costs.tiers import Floor, Placed, Reached
from wabus_insights.tables.older import delete_older


class Month(NamedTuple):
    """How far a month has come."""

    tier: Tier
    volume: int
    last_at: datetime


async def months(connection: Connection, tier_ids: Collection[UUID]) -> dict[UUID, Month]:
    """How far months have come; of one without a message nothing."""
    rows = await connection.fetch("SELECT * FROM tier_months WHERE tier_id = ANY($1::uuid[])", list(tier_ids))
    return {
        row["tier_id"]: Month(
            Tier(row["scope"], row["market"], row["category"], row["month"]), row["volume"], row["last_at"]
        )
        for row in rows
    }


async def add_to_months(connection: Connection, added: Mapping[UUID, tuple[Tier, int, datetime]]) -> None:
    """Count messages: how many, and when the last of them was delivered."""
    await connection.executemany(
        """
        INSERT INTO tier_months AS kept (tier_id, scope, market, category, month, volume, last_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tier_id) DO UPDATE
        SET volume = kept.volume + excluded.volume, last_at = greatest(kept.last_at, excluded.last_at)
        """,
        [(tier_id, *tier, messages, last) for tier_id, (tier, messages, last) in sorted(added.items())],
    )


async def count_since(connection: Connection, tier_id: UUID, since: datetime) -> int:
    """How many were delivered from a moment on."""
    found = await connection.fetchval(
        "SELECT coalesce(sum(messages), 0) FROM tier_seconds WHERE tier_id = $1 AND at >= $2", tier_id, since
    )
    return int(found or 0)


async def since(connection: Connection, tier_id: UUID, at: datetime) -> list[Placed]:
    """What was delivered from a moment on, as it is placed."""
    rows = await connection.fetch(
        "SELECT at, cell_id, band, messages FROM tier_seconds WHERE tier_id = $1 AND at >= $2 ORDER BY 1, 2, 3",
        tier_id,
        at,
    )
    return [Placed(*row) for row in rows]


async def add(connection: Connection, tier_id: UUID, placed: Iterable[Placed]) -> None:
    """Add messages where they are placed, or take them away."""
    rows = sorted(placed)
    if not rows:
        return
    await connection.execute(
        """
        INSERT INTO tier_seconds AS kept (tier_id, at, cell_id, band, messages)
        SELECT $1, * FROM unnest($2::timestamptz[], $3::uuid[], $4::int[], $5::int[])
        ON CONFLICT (tier_id, at, cell_id, band) DO UPDATE SET messages = kept.messages + excluded.messages
        """,
        tier_id,
        *(list(column) for column in zip(*rows, strict=True)),
    )
    if any(row.messages < 0 for row in rows):
        await connection.execute(
            "DELETE FROM tier_seconds WHERE tier_id = $1 AND at = ANY($2::timestamptz[]) AND messages = 0",
            tier_id,
            sorted({row.at for row in rows}),
        )


async def replace(connection: Connection, tier_id: UUID, at: datetime, placed: Sequence[Placed]) -> None:
    """Place all that was delivered from a moment on anew."""
    await connection.execute("DELETE FROM tier_seconds WHERE tier_id = $1 AND at >= $2", tier_id, at)
    await add(connection, tier_id, placed)


async def move(connection: Connection, cell_id: UUID, to: UUID) -> tuple[int, datetime | None]:
    """Let the messages of a cell count elsewhere: how many, and when the last was delivered."""
    rows = await connection.fetch(
        "UPDATE tier_seconds SET tier_id = $2 WHERE cell_id = $1 AND tier_id <> $2 RETURNING messages, at", cell_id, to
    )
    return sum(row["messages"] for row in rows), max((row["at"] for row in rows), default=None)


async def write_floor(connection: Connection, scope: str, reached: Reached) -> bool:
    """Whether a volume tier is reached earlier than was known. Of two tellings the earlier moment counts (Meta)."""
    row = await connection.fetchrow(
        """
        INSERT INTO tier_floors AS kept (scope, market, category, month, first, at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (scope, market, category, month, first) DO UPDATE SET at = excluded.at
        WHERE excluded.at < kept.at RETURNING 1
        """,
        scope,
        reached.market,
        reached.category,
        reached.month,
        reached.floor.first,
        reached.floor.at,
    )
    return row is not None


async def floors_of_account(connection: Connection, waba_id: str) -> list[Reached]:
    """The volume tiers that Meta has told of an account while its portfolio was not known."""
    rows = await connection.fetch("SELECT * FROM tier_floors WHERE scope = $1", waba_id)
    return [Reached(row["market"], row["category"], row["month"], Floor(row["at"], row["first"])) for row in rows]


async def forget_floor(connection: Connection, scope: str, reached: Reached) -> None:
    """Let a volume tier not be one that these have reached: others have."""
    await connection.execute(
        "DELETE FROM tier_floors WHERE scope = $1 AND market = $2 AND category = $3 AND month = $4 AND first = $5",
        scope,
        reached.market,
        reached.category,
        reached.month,
        reached.floor.first,
    )


async def floors(connection: Connection, scopes: Collection[str], since: date) -> dict[Tier, list[Floor]]:
    """The volume tiers that Meta says were reached, in the order of time, of months from one on."""
    rows = await connection.fetch(
        "SELECT * FROM tier_floors WHERE scope = ANY($1::text[]) AND month >= $2 ORDER BY at, first",
        list(scopes),
        since,
    )
    found: dict[Tier, list[Floor]] = {}
    for row in rows:
        tier = Tier(row["scope"], row["market"], row["category"], row["month"])
        found.setdefault(tier, []).append(Floor(row["at"], row["first"]))
    return found


async def delete_old_months(pool: asyncpg.Pool, before: date, most: int) -> int:
    """Some months that are over longer: how many were charged, and which tiers Meta says were reached."""
    return sum([await delete_older(pool, table, "month", before, most) for table in ("tier_months", "tier_floors")])


async def delete_old(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """The order of messages that were delivered earlier."""
    return await delete_older(pool, "tier_seconds", "at", before, most)
