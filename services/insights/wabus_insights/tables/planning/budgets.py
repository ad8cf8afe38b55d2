"""Budgets, what was told of them, and when each organisation's are looked at next."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
from wabus_events import BudgetAlerted, BudgetsSet
from wabus_runtime.postgres.database import Connection

from wabus_insights.costs.budget import Alerted, Budget, Month
from wabus_insights.tables import leases
from wabus_insights.tables.older import delete_older


async def replace(connection: Connection, event: BudgetsSet) -> None:
    """Let these be an organisation's budgets, unless later ones are known, or others than they are a change of."""
    org_id = event.org_id or ""
    later = await connection.fetchval(
        """
        INSERT INTO budget_sets AS held (org_id, set_at, event_id) VALUES ($1, $2, $3)
        ON CONFLICT (org_id) DO UPDATE
        SET set_at = greatest(held.set_at, excluded.set_at), event_id = excluded.event_id
        WHERE CASE WHEN $4::text IS NULL THEN (held.set_at, held.event_id) <= (excluded.set_at, excluded.event_id)
            ELSE held.event_id IN ($4, excluded.event_id) END
        RETURNING true
        """,
        org_id,
        event.time,
        event.id,
        event.replaces,
    )
    if not later:
        return
    since = {(one.budget_id, one.amount): one.set_at for one in await of_organisation(connection, org_id)}
    await connection.execute("DELETE FROM budgets WHERE org_id = $1", org_id)
    await connection.executemany(
        """
        INSERT INTO budgets (org_id, budget_id, waba_id, month, currency, amount, thresholds, set_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (org_id, budget_id) DO NOTHING
        """,
        [
            (
                org_id, one.budget_id, one.waba_id, one.month, one.currency, one.amount, sorted(set(one.thresholds)),
                since.get((one.budget_id, one.amount), event.time),
            )
            for one in event.budgets
        ],
    )  # fmt: skip
    await connection.execute(
        """
        INSERT INTO budget_checks (org_id, due_at) VALUES ($1, now())
        ON CONFLICT (org_id) DO UPDATE SET due_at = least(budget_checks.due_at, excluded.due_at)
        """,
        org_id,
    )


async def take_in(connection: Connection, event: BudgetAlerted) -> None:
    """Take note that somebody was told."""
    await connection.execute(
        """
        INSERT INTO budget_alerts (event_id, org_id, budget_id, month, alert, threshold, currency, amount, spent,
            projected, alerted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (event_id) DO NOTHING
        """,
        event.id, event.org_id or "", event.budget_id, event.month, event.alert, event.threshold, event.currency,
        event.amount, event.spent, event.projected, event.time,
    )  # fmt: skip


async def version(pool: asyncpg.Pool | Connection, org_id: str) -> str | None:
    """Which budgets an organisation has, by the event that has set them; None where none ever were."""
    return await pool.fetchval("SELECT event_id FROM budget_sets WHERE org_id = $1", org_id)


async def delete_old_alerts(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Some of what was told earlier."""
    return await delete_older(pool, "budget_alerts", "alerted_at", before, most)


async def of_organisation(pool: asyncpg.Pool | Connection, org_id: str) -> list[Budget]:
    """All budgets of an organisation."""
    rows = await pool.fetch(
        """
        SELECT budget_id, waba_id, month, currency, amount, thresholds, set_at FROM budgets WHERE org_id = $1
        ORDER BY waba_id NULLS FIRST, month NULLS FIRST, currency
        """,
        org_id,
    )
    return [
        Budget(
            row["budget_id"],
            row["waba_id"],
            Month.parse(row["month"]) if row["month"] else None,
            row["currency"],
            row["amount"],
            tuple(row["thresholds"]),
            row["set_at"],
        )
        for row in rows
    ]


async def alerts(pool: asyncpg.Pool | Connection, org_id: str, months: Sequence[str]) -> Sequence[asyncpg.Record]:
    """What was told of an organisation's budgets in these months, the oldest first."""
    return await pool.fetch(
        """
        SELECT budget_id, month, alert, threshold, currency, amount, spent, projected, alerted_at FROM budget_alerts
        WHERE org_id = $1 AND month = ANY($2) ORDER BY alerted_at, threshold
        """,
        org_id,
        list(months),
    )


async def alerted_before(pool: asyncpg.Pool | Connection, org_id: str, month: str) -> set[Alerted]:
    """The same of one month, as it is compared with what is to be told."""
    return {
        Alerted(row["budget_id"], row["month"], row["alert"], row["threshold"], row["amount"])
        for row in await alerts(pool, org_id, [month])
    }


async def take(pool: asyncpg.Pool, most: int, busy: Sequence[str], lease: timedelta, now: datetime) -> list[str]:
    """Take organisations whose budgets are to be looked at, for the time of a lease."""
    rows = await leases.take(pool, "budget_checks", "org_id", "org_id", most, busy, lease, now)
    return [row["org_id"] for row in rows]


async def looked_at(pool: asyncpg.Pool, org_id: str, due_at: datetime) -> None:
    """Let an organisation's budgets be looked at again then; never, where it has none any more."""
    await pool.execute(
        """
        WITH has_some AS (SELECT EXISTS (SELECT FROM budgets WHERE org_id = $1) AS yes),
        gone AS (DELETE FROM budget_checks USING has_some WHERE org_id = $1 AND NOT has_some.yes)
        UPDATE budget_checks SET due_at = $2, leased_until = NULL FROM has_some WHERE org_id = $1 AND has_some.yes
        """,
        org_id,
        due_at,
    )
