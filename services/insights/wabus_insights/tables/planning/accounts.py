"""Accounts as planning needs them: whose each is, its clocks, its currency, and whether Meta can charge it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection


class Account(NamedTuple):
    """An account of an organisation."""

    waba_id: str
    org_id: str | None
    since: datetime | None
    """Since when it is the organisation's."""
    had_another_owner: bool
    time_zone: str | None
    currency: str | None


async def own(connection: Connection, waba_id: str, org_id: str, at: datetime) -> None:
    """Let an account be an organisation's, unless something later is known."""
    await connection.execute(
        """
        INSERT INTO planned_accounts AS held (waba_id, org_id, last_org_id, since, owner_told_at)
        VALUES ($1, $2, $2, $3, $3)
        ON CONFLICT (waba_id) DO UPDATE SET org_id = excluded.org_id, last_org_id = excluded.org_id,
            since = CASE WHEN held.last_org_id = excluded.org_id THEN held.since ELSE excluded.since END,
            had_another_owner = held.had_another_owner
                OR coalesce(held.last_org_id <> excluded.org_id, false),
            owner_told_at = excluded.owner_told_at
        WHERE held.owner_told_at IS NULL OR held.owner_told_at < excluded.owner_told_at
        """,
        waba_id,
        org_id,
        at,
    )


async def disown(connection: Connection, waba_id: str, org_id: str | None, at: datetime) -> None:
    """Let an account be nobody's, if it is this organisation's."""
    await connection.execute(
        """
        UPDATE planned_accounts SET org_id = NULL, owner_told_at = $3
        WHERE waba_id = $1 AND ($2::text IS NULL OR org_id = $2) AND owner_told_at < $3
        """,
        waba_id,
        org_id,
        at,
    )


async def describe(
    connection: Connection, waba_id: str, time_zone: str | None, currency: str | None, at: datetime
) -> None:
    """Take in what Graph says of an account; what it leaves out stays."""
    await connection.execute(
        """
        INSERT INTO planned_accounts AS held (waba_id, time_zone, currency, told_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (waba_id) DO UPDATE SET time_zone = coalesce(excluded.time_zone, held.time_zone),
            currency = coalesce(excluded.currency, held.currency), told_at = excluded.told_at
        WHERE held.told_at IS NULL OR held.told_at <= excluded.told_at
        """,
        waba_id,
        time_zone,
        currency,
        at,
    )


async def set_payment_error(connection: Connection, waba_id: str, code: str | None, at: datetime) -> None:
    """Take in whether Meta can charge an account: an error of its own, or that there is none."""
    await connection.execute(
        """
        INSERT INTO payment_errors AS held (waba_id, code, told_at) VALUES ($1, $2, $3)
        ON CONFLICT (waba_id) DO UPDATE SET code = excluded.code, told_at = excluded.told_at
        WHERE held.told_at <= excluded.told_at
        """,
        waba_id,
        code,
        at,
    )


async def of_organisation(pool: asyncpg.Pool | Connection, org_id: str) -> Sequence[Account]:
    """The accounts that are an organisation's now."""
    rows = await pool.fetch(
        """
        SELECT waba_id, org_id, since, had_another_owner, time_zone, currency FROM planned_accounts
        WHERE org_id = $1 ORDER BY waba_id
        """,
        org_id,
    )
    return [Account(*row) for row in rows]


async def one(pool: asyncpg.Pool | Connection, waba_id: str) -> Account | None:
    """An account, whosever it is."""
    row = await pool.fetchrow(
        """
        SELECT waba_id, org_id, since, had_another_owner, time_zone, currency FROM planned_accounts WHERE waba_id = $1
        """,
        waba_id,
    )
    return Account(*row) if row else None


async def known(pool: asyncpg.Pool | Connection, waba_ids: Sequence[str]) -> dict[str, Account]:
    """These accounts, whosever they are."""
    rows = await pool.fetch(
        """
        SELECT waba_id, org_id, since, had_another_owner, time_zone, currency FROM planned_accounts
        WHERE waba_id = ANY($1)
        """,
        list(waba_ids),
    )
    return {row["waba_id"]: Account(*row) for row in rows}
