"""What Meta says that messages cost, day by day, and when each account is asked about next."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import asyncpg
from wabus_events import PricingRead
from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.pricing_analytics import Read, digest
from wabus_insights.tables import leases
from wabus_insights.tables.older import delete_older


class Turn(NamedTuple):
    """An account whose turn it is to be read."""

    waba_id: str
    org_id: str
    failures: int
    """In a row, before this attempt."""
    complete_from: date | None
    """From when on all days were read once."""
    amounts_untold_at: datetime | None
    """When Meta last told no amounts."""


async def take_in(connection: Connection, event: PricingRead) -> None:
    """Keep a reading of a day, unless a later one is known."""
    later = await connection.fetchval(
        """
        INSERT INTO pricing_readings AS held (waba_id, priced_on, org_id, read_at, event_id, digest, volume, currency,
            amounts_told)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (waba_id, priced_on) DO UPDATE SET org_id = excluded.org_id, read_at = excluded.read_at,
            event_id = excluded.event_id, digest = excluded.digest, volume = excluded.volume,
            currency = excluded.currency, amounts_told = excluded.amounts_told
        WHERE (held.read_at, held.event_id) < (excluded.read_at, excluded.event_id)
        RETURNING true
        """,
        event.waba_id, event.priced_on, event.org_id, event.time, event.id, digest(event.volumes, event.currency),
        sum(row.volume for row in event.volumes), event.currency, event.amounts_told,
    )  # fmt: skip
    if not later:
        return
    place = (event.waba_id, event.priced_on)
    await connection.execute("DELETE FROM meta_pricing_days WHERE waba_id = $1 AND priced_on = $2", *place)
    await connection.executemany(
        """
        INSERT INTO meta_pricing_days AS held
            (waba_id, priced_on, country, category, pricing_type, tier, volume, amount)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (waba_id, priced_on, country, category, pricing_type, tier)
            DO UPDATE SET volume = held.volume + excluded.volume, amount = held.amount + excluded.amount
        """,
        [
            (*place, row.country, row.pricing_category, row.pricing_type, row.tier, row.volume, row.amount)
            for row in event.volumes
        ],
    )


async def known(pool: asyncpg.Pool, waba_id: str, first: date, last: date) -> dict[date, Read]:
    """What was read of these days."""
    rows = await pool.fetch(
        """
        SELECT priced_on, digest, volume, amounts_told FROM pricing_readings
        WHERE waba_id = $1 AND priced_on BETWEEN $2 AND $3
        """,
        waba_id,
        first,
        last,
    )
    return {row["priced_on"]: Read(row["digest"], row["volume"], row["amounts_told"]) for row in rows}


_TURN = "waba_id, org_id, failures, complete_from, amounts_untold_at"


async def schedule(pool: asyncpg.Pool, owners: Sequence[tuple[str, str]], now: datetime) -> None:
    """Let accounts (WABA id, organisation) have turns, at once where they had none.

    Who has another owner now is read from the beginning, as far as they may.
    """
    await pool.execute(
        """
        INSERT INTO pricing_schedules AS held (waba_id, org_id, due_at)
        SELECT waba_id, org_id, $3 FROM unnest($1::text[], $2::text[]) AS owned (waba_id, org_id)
        ON CONFLICT (waba_id) DO UPDATE SET org_id = excluded.org_id, due_at = excluded.due_at, failures = 0,
            read_at = NULL, error = NULL, complete_from = NULL, amounts_untold_at = NULL
        WHERE held.org_id <> excluded.org_id
        """,
        [waba_id for waba_id, _ in owners],
        [org_id for _, org_id in owners],
        now,
    )


async def take(pool: asyncpg.Pool, most: int, busy: Sequence[str], lease: timedelta, now: datetime) -> list[Turn]:
    """Take accounts that are due, for the time of a lease."""
    rows = await leases.take(pool, "pricing_schedules", "waba_id", _TURN, most, busy, lease, now)
    return [Turn(*row) for row in rows]


async def done(
    pool: asyncpg.Pool, turn: Turn, now: datetime, due_at: datetime, complete_from: date, untold_at: datetime | None
) -> None:
    """All was read: the next turn is then."""
    await pool.execute(
        """
        UPDATE pricing_schedules SET due_at = $3, leased_until = NULL, failures = 0, read_at = $4, error = NULL,
            complete_from = $5, amounts_untold_at = $6
        WHERE waba_id = $1 AND org_id = $2
        """,
        turn.waba_id, turn.org_id, due_at, now, complete_from, untold_at,
    )  # fmt: skip


async def failed(pool: asyncpg.Pool, turn: Turn, due_at: datetime, error: str) -> None:
    """It could not be read: the next attempt is then."""
    await pool.execute(
        """
        UPDATE pricing_schedules SET due_at = $3, leased_until = NULL, failures = failures + 1, error = $4
        WHERE waba_id = $1 AND org_id = $2
        """,
        turn.waba_id,
        turn.org_id,
        due_at,
        error,
    )


async def end(pool: asyncpg.Pool, turn: Turn) -> None:
    """It is not the organisation's any more: it has no more turns."""
    await pool.execute("DELETE FROM pricing_schedules WHERE waba_id = $1 AND org_id = $2", turn.waba_id, turn.org_id)


async def states(pool: asyncpg.Pool | Connection, org_id: str) -> dict[str, asyncpg.Record]:
    """When each account of an organisation was read last, and why not since."""
    rows = await pool.fetch(
        "SELECT waba_id, read_at, error, amounts_untold_at FROM pricing_schedules WHERE org_id = $1", org_id
    )
    return {row["waba_id"]: row for row in rows}


async def delete_old(pool: asyncpg.Pool, before: date, most: int) -> int:
    """Some readings of earlier days, with what they say."""
    return await delete_older(pool, "pricing_readings", "priced_on", before, most)


async def read_days(pool: asyncpg.Pool | Connection, org_id: str, waba_id: str, first: date, last: date) -> set[date]:
    """From the first day on that was read for an organisation, all days until the last one that was."""
    row = await pool.fetchrow(
        "SELECT min(priced_on) AS first, max(read_at) AS read FROM pricing_readings WHERE org_id = $1 AND waba_id = $2",
        org_id,
        waba_id,
    )
    if row is None or row["first"] is None:
        return set()
    begin = max(first, row["first"])
    return {begin + timedelta(days=n) for n in range(max(0, (last - begin).days + 1))}
