"""What is to be counted anew, because something that it rests on became known late, and how far that has come.

It is counted anew some messages a transaction (`wabus_insights.worker.costs.recounting`). From when on messages of a
month are to be placed in volume tiers anew is in `tier_months`.
"""

from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.database import Connection


class AccountRecount(NamedTuple):
    """Messages of an account that are to be counted anew beyond a place: when they were charged, and which they are."""

    waba_id: str
    done_at: datetime
    done_id: UUID


class PriceRecount(NamedTuple):
    """Cells of some days, `until` not included, of which those up to a place have got their prices anew."""

    recount_id: int
    currency: str | None
    """Only of this one."""
    waba_id: str | None
    """Only of this account, and only what has no rate for sure: Meta's own numbers of it have changed."""
    since: date
    until: date | None
    done_day: date | None
    done_id: UUID | None


async def note_account(connection: Connection, waba_id: str, since: datetime) -> None:
    """An account is charged otherwise from a moment on: what is under way goes back to it."""
    await connection.execute(
        """
        INSERT INTO account_recounts AS due (waba_id, done_at, done_id) VALUES ($1, $2, $3)
        ON CONFLICT (waba_id) DO UPDATE SET done_at = excluded.done_at, done_id = excluded.done_id
        WHERE (due.done_at, due.done_id) > (excluded.done_at, excluded.done_id)
        """,
        waba_id,
        since,
        UUID(int=0),
    )


async def note_prices(
    connection: Connection, currency: str | None, waba_id: str | None, since: date, until: date | None
) -> int:
    """Prices of some days are others: what is under way for the same ones begins again. Returns its id."""
    found = await connection.fetchrow(
        """
        INSERT INTO price_recounts AS due (currency, waba_id, since, until) VALUES ($1, $2, $3, $4)
        ON CONFLICT (coalesce(currency, ''), coalesce(waba_id, ''), since) DO UPDATE SET
            until = CASE WHEN due.until IS NULL THEN NULL ELSE greatest(due.until, excluded.until) END,
            done_day = NULL, done_id = NULL
        RETURNING recount_id
        """,
        currency,
        waba_id,
        since,
        until,
    )
    return found["recount_id"] if found else 0


async def account(connection: Connection, waba_id: str | None = None) -> AccountRecount | None:
    """What is to be counted anew of an account, or of one of them; None where nothing is."""
    row = await connection.fetchrow(
        """
        SELECT waba_id, done_at, done_id FROM account_recounts
        WHERE $1::text IS NULL OR waba_id = $1 ORDER BY waba_id LIMIT 1
        """,
        waba_id,
    )
    return AccountRecount(*row) if row else None


async def prices(connection: Connection, recount_id: int | None = None) -> PriceRecount | None:
    """Which cells are to get their prices anew, of what was noted, or of the first; None where none are."""
    row = await connection.fetchrow(
        """
        SELECT recount_id, currency, waba_id, since, until, done_day, done_id FROM price_recounts
        WHERE $1::bigint IS NULL OR recount_id = $1 ORDER BY recount_id LIMIT 1
        """,
        recount_id,
    )
    return PriceRecount(*row) if row else None


async def account_reached(connection: Connection, waba_id: str, place: tuple[datetime, UUID] | None) -> None:
    """Keep how far an account has come; at no place it is done."""
    if place is None:
        await connection.execute("DELETE FROM account_recounts WHERE waba_id = $1", waba_id)
    else:
        await connection.execute(
            "UPDATE account_recounts SET done_at = $2, done_id = $3 WHERE waba_id = $1", waba_id, *place
        )


async def prices_reached(connection: Connection, recount_id: int, place: tuple[date, UUID] | None) -> None:
    """Keep how far cells have come; at no place they are done."""
    if place is None:
        await connection.execute("DELETE FROM price_recounts WHERE recount_id = $1", recount_id)
    else:
        await connection.execute(
            "UPDATE price_recounts SET done_day = $2, done_id = $3 WHERE recount_id = $1", recount_id, *place
        )


async def under_way(
    pool: asyncpg.Pool | Connection, org_id: str, since: date, to: date, *, placing: bool = True
) -> bool:
    """Whether some of what an organisation's days cost, both ends included, is still to be counted anew.

    Without `placing` it does not matter that messages may be in another volume tier than they are counted in.
    """
    found = await pool.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM account_recounts AS due
            WHERE EXISTS (SELECT FROM cost_days AS cell WHERE cell.waba_id = due.waba_id AND cell.org_id = $1)
        ) OR EXISTS (
            SELECT FROM price_recounts AS due WHERE EXISTS (
                SELECT FROM cost_days AS cell
                WHERE cell.org_id = $1 AND cell.day BETWEEN greatest(due.since, $2) AND $3 AND cell.basis = 'card'
                    AND (due.until IS NULL OR cell.day < due.until)
                    AND (due.currency IS NULL OR cell.currency = due.currency)
                    AND (due.waba_id IS NULL OR cell.waba_id = due.waba_id)
            )
        ) OR $4 AND EXISTS (
            SELECT FROM tier_months AS due WHERE due.due_from IS NOT NULL AND EXISTS (
                SELECT FROM cost_days AS cell
                WHERE cell.org_id = $1 AND cell.day BETWEEN greatest(due.month, $2) AND $3
                    AND cell.day < due.month + interval '1 month' AND cell.tier_id = due.tier_id
            )
        )
        """,
        org_id,
        since,
        to,
        placing,
    )
    return bool(found)
