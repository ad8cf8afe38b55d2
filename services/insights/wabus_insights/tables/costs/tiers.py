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
    due_from: datetime | None = None
    """From when on the bands of messages are to be found anew; those before are as they should be."""
    due_before: int | None = None
    """How many messages there are before; None while nobody has counted them."""


async def months(connection: Connection, tier_ids: Collection[UUID]) -> dict[UUID, Month]:
    """How far months have come; of one without a message nothing."""
    rows = await connection.fetch("SELECT * FROM tier_months WHERE tier_id = ANY($1::uuid[])", list(tier_ids))
    return {
        row["tier_id"]: Month(
            Tier(row["scope"], row["market"], row["category"], row["month"]), row["volume"], row["last_at"],
            row["due_from"], row["due_before"],
        )
        for row in rows
    }  # fmt: skip


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


async def since(connection: Connection, tier_id: UUID, at: datetime, until: datetime | None, most: int) -> list[Placed]:
    """Some of what was delivered from a moment on and before another, as it is placed, the earliest first."""
    rows = await connection.fetch(
        """
        SELECT at, cell_id, band, messages FROM tier_seconds
        WHERE tier_id = $1 AND at >= $2 AND ($3::timestamptz IS NULL OR at < $3) ORDER BY 1, 2, 3 LIMIT $4
        """,
        tier_id,
        at,
        until,
        most,
    )
    return [Placed(*row) for row in rows]


async def in_seconds(
    connection: Connection, tier_id: UUID, places: Collection[tuple[datetime, UUID]]
) -> dict[tuple[datetime, UUID], list[Placed]]:
    """What was delivered in some seconds, of some cells, as it is placed."""
    rows = await connection.fetch(
        """
        SELECT at, cell_id, band, messages FROM unnest($2::timestamptz[], $3::uuid[]) AS wanted (at, cell_id)
        JOIN tier_seconds USING (at, cell_id) WHERE tier_id = $1
        """,
        tier_id,
        [at for at, _ in places],
        [cell_id for _, cell_id in places],
    )
    found: dict[tuple[datetime, UUID], list[Placed]] = {}
    for row in rows:
        found.setdefault((row["at"], row["cell_id"]), []).append(Placed(*row))
    return found


async def note_due(connection: Connection, tier_ids: Collection[UUID], since: datetime) -> None:
    """Messages of months are to be placed anew from a moment on, if they are not from an earlier one."""
    await connection.execute(
        """
        UPDATE tier_months SET due_from = $2, due_before = NULL
        WHERE tier_id = ANY($1::uuid[]) AND (due_from IS NULL OR due_from > $2)
        """,
        sorted(tier_ids),
        since,
    )


async def due_reached(connection: Connection, tier_id: UUID, at: datetime | None, before: int | None) -> None:
    """Keep that messages before a moment are placed, and how many these are; without a moment all are."""
    await connection.execute(
        "UPDATE tier_months SET due_from = $2, due_before = $3 WHERE tier_id = $1", tier_id, at, before
    )


async def due(connection: Connection) -> Month | None:
    """A month whose messages are to be placed anew; None where there is none."""
    tier_id = await connection.fetchval(
        "SELECT tier_id FROM tier_months WHERE due_from IS NOT NULL ORDER BY tier_id LIMIT 1"
    )
    return (await months(connection, [tier_id])).get(tier_id) if tier_id else None


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


async def replace(
    connection: Connection, tier_id: UUID, at: datetime, until: datetime | None, placed: Sequence[Placed]
) -> None:
    """Place all that was delivered from a moment on and before another anew."""
    await connection.execute(
        "DELETE FROM tier_seconds WHERE tier_id = $1 AND at >= $2 AND ($3::timestamptz IS NULL OR at < $3)",
        tier_id,
        at,
        until,
    )
    await add(connection, tier_id, placed)


async def move(connection: Connection, cell_id: UUID, to: UUID) -> tuple[int, datetime] | None:
    """Let the messages of a cell count elsewhere: how many, and when the last was delivered; None where none did."""
    row = await connection.fetchrow(
        """
        WITH moved AS (
            UPDATE tier_seconds SET tier_id = $2 WHERE cell_id = $1 AND tier_id <> $2 RETURNING messages, at
        )
        SELECT sum(messages)::int, max(at) FROM moved HAVING count(*) > 0
        """,
        cell_id,
        to,
    )
    return (row[0], row[1]) if row else None


async def write_floor(connection: Connection, waba_id: str, reached: Reached) -> bool:
    """Whether a volume tier is reached earlier than an account was told. Of two tellings the earlier counts (Meta)."""
    row = await connection.fetchrow(
        """
        INSERT INTO tier_floors AS kept (scope, market, category, month, first, at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (scope, market, category, month, first) DO UPDATE SET at = excluded.at
        WHERE excluded.at < kept.at RETURNING 1
        """,
        waba_id,
        reached.market,
        reached.category,
        reached.month,
        reached.floor.first,
        reached.floor.at,
    )
    return row is not None


async def floors(connection: Connection, names: Collection[str], since: date) -> list[tuple[str, Reached]]:
    """The volume tiers that accounts were told are reached, of months from one on, in the order of time.

    A release before this one kept those of a portfolio by its name.
    """
    rows = await connection.fetch(
        "SELECT * FROM tier_floors WHERE scope = ANY($1::text[]) AND month >= $2 ORDER BY at, first",
        sorted(names),
        since,
    )
    return [
        (row["scope"], Reached(row["market"], row["category"], row["month"], Floor(row["at"], row["first"])))
        for row in rows
    ]


async def delete_old_months(pool: asyncpg.Pool, before: date, most: int) -> int:
    """Some months that are over longer: how many were charged, and which tiers Meta says were reached."""
    return sum([await delete_older(pool, table, "month", before, most) for table in ("tier_months", "tier_floors")])


async def delete_old(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """The order of messages that were delivered earlier."""
    return await delete_older(pool, "tier_seconds", "at", before, most)
