"""What Meta itself has counted of templates, and when each account is asked about next."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
from wabus_events import TemplateInsightsRead, TemplateInsightsRequested, TemplateInsightsSettled
from wabus_runtime.postgres.database import Connection

from wabus_insights.performance.template_analytics import Counted
from wabus_insights.tables import leases


class Turn(NamedTuple):
    """An account whose turn it is to be read."""

    waba_id: str
    org_id: str
    failures: int
    wanted: bool
    """Whether somebody wants Meta to count, and Meta was not asked for it since."""
    read_before: bool


InsightsEvent = TemplateInsightsRead | TemplateInsightsRequested | TemplateInsightsSettled


async def take_in(connection: Connection, event: InsightsEvent) -> None:
    """Keep what is told; in any order, however often."""
    match event:
        case TemplateInsightsRead():
            rows = sorted(event.days, key=lambda day: (day.template_id, day.day))
            await connection.executemany(
                """
                INSERT INTO meta_template_days AS held
                    (org_id, waba_id, template_id, day, sent, delivered, read, clicked, read_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                ON CONFLICT (org_id, template_id, day, waba_id) DO UPDATE SET
                    sent = greatest(held.sent, excluded.sent), delivered = greatest(held.delivered, excluded.delivered),
                    read = greatest(held.read, excluded.read), clicked = greatest(held.clicked, excluded.clicked),
                    read_at = greatest(held.read_at, excluded.read_at)
                """,
                [
                    (event.org_id or "", event.waba_id, day.template_id, day.day, day.sent, day.delivered, day.read,
                     day.clicked, event.time)
                    for day in rows
                ],
            )  # fmt: skip
        case TemplateInsightsRequested():
            await connection.execute(
                """
                INSERT INTO template_insights AS held (waba_id, org_id, due_at, wanted_at) VALUES ($1, $2, $3, $3)
                ON CONFLICT (waba_id) DO UPDATE SET wanted_at = excluded.wanted_at, due_at = excluded.wanted_at
                WHERE held.org_id = excluded.org_id AND coalesce(held.wanted_at, '-infinity') < excluded.wanted_at
                """,
                event.waba_id, event.org_id or "", event.time,
            )  # fmt: skip
        case TemplateInsightsSettled():
            await connection.execute(
                """
                INSERT INTO template_insights AS held (waba_id, org_id, due_at, state, settled_at, error)
                VALUES ($1, $2, $3, $4, $3, $5)
                ON CONFLICT (waba_id) DO UPDATE
                    SET state = excluded.state, settled_at = excluded.settled_at, error = excluded.error
                WHERE held.org_id = excluded.org_id AND coalesce(held.settled_at, '-infinity') < excluded.settled_at
                """,
                event.waba_id, event.org_id or "", event.time, event.outcome, event.code,
            )  # fmt: skip


_TURN = """
    waba_id, org_id, failures,
    state <> 'on' AND wanted_at IS NOT NULL AND coalesce(settled_at, '-infinity') < wanted_at AS wanted,
    read_at IS NOT NULL AS read_before
"""


async def schedule(pool: asyncpg.Pool, owners: Sequence[tuple[str, str]], now: datetime) -> None:
    """Let accounts (WABA id, organisation) have turns; who has another owner now begins anew."""
    await pool.execute(
        """
        INSERT INTO template_insights AS held (waba_id, org_id, due_at)
        SELECT waba_id, org_id, $3 FROM unnest($1::text[], $2::text[]) AS owned (waba_id, org_id)
        ON CONFLICT (waba_id) DO UPDATE SET org_id = excluded.org_id, due_at = excluded.due_at, failures = 0,
            state = 'unknown', wanted_at = NULL, settled_at = NULL, read_at = NULL, error = NULL
        WHERE held.org_id <> excluded.org_id
        """,
        [waba_id for waba_id, _ in owners],
        [org_id for _, org_id in owners],
        now,
    )


async def take(pool: asyncpg.Pool, most: int, busy: Sequence[str], lease: timedelta, now: datetime) -> list[Turn]:
    """Take accounts that are due, for the time of a lease."""
    rows = await leases.take(pool, "template_insights", "waba_id", _TURN, most, busy, lease, now)
    return [Turn(*row) for row in rows]


async def done(pool: asyncpg.Pool, turn: Turn, due_at: datetime, state: str, read_at: datetime | None) -> None:
    """It was read, or is not to be: the next turn is then, unless somebody has wanted something meanwhile."""
    await pool.execute(
        """
        UPDATE template_insights SET leased_until = NULL, failures = 0, error = NULL, state = $4,
            read_at = coalesce($5, read_at),
            due_at = CASE WHEN wanted_at > coalesce(settled_at, '-infinity') AND NOT $6 THEN due_at ELSE $3 END
        WHERE waba_id = $1 AND org_id = $2
        """,
        turn.waba_id, turn.org_id, due_at, state, read_at, turn.wanted,
    )  # fmt: skip


async def failed(pool: asyncpg.Pool, turn: Turn, due_at: datetime, error: str) -> None:
    """It could not be read: the next attempt is then."""
    await pool.execute(
        """
        UPDATE template_insights SET due_at = $3, leased_until = NULL, failures = failures + 1, error = $4
        WHERE waba_id = $1 AND org_id = $2
        """,
        turn.waba_id, turn.org_id, due_at, error,
    )  # fmt: skip


async def end(pool: asyncpg.Pool, turn: Turn) -> None:
    """The account is the organisation's no more."""
    await pool.execute("DELETE FROM template_insights WHERE waba_id = $1 AND org_id = $2", turn.waba_id, turn.org_id)


async def state(pool: asyncpg.Pool, org_id: str, waba_id: str) -> str | None:
    """Whether Meta counts for an account: `on`, `off`, `unavailable`, `refused`, `unknown`; None for none of theirs."""
    return await pool.fetchval(
        "SELECT state FROM template_insights WHERE waba_id = $1 AND org_id = $2", waba_id, org_id
    )


async def sent_since(pool: asyncpg.Pool, org_id: str, waba_id: str, day: date) -> list[str]:
    """Meta's ids of the templates that were sent from a day on."""
    rows = await pool.fetch(
        """
        SELECT DISTINCT template_id FROM template_days
        WHERE org_id = $1 AND day >= $3 AND waba_id = $2 AND accepted > 0 AND template_id ~ '^[0-9]+$' ORDER BY 1
        """,
        org_id, waba_id, day,
    )  # fmt: skip
    return [row[0] for row in rows]


async def known(
    pool: asyncpg.Pool, org_id: str, waba_id: str, template_ids: Sequence[str], first: date
) -> dict[tuple[str, date], Counted]:
    """What is known of templates from a day on."""
    rows = await pool.fetch(
        """
        SELECT template_id, day, sent, delivered, read, clicked FROM meta_template_days
        WHERE org_id = $1 AND waba_id = $2 AND template_id = ANY($3) AND day >= $4
        """,
        org_id, waba_id, template_ids, first,
    )  # fmt: skip
    return {(row[0], row[1]): Counted(*row[2:]) for row in map(tuple, rows)}


async def shown(
    pool: asyncpg.Pool, org_id: str, waba_id: str, template_id: str, first: date, last: date
) -> list[dict[str, Any]]:
    """Meta's counts of a template by day."""
    rows = await pool.fetch(
        """
        SELECT day, sent, delivered, read, clicked, read_at FROM meta_template_days
        WHERE org_id = $1 AND template_id = $2 AND waba_id = $3 AND day BETWEEN $4 AND $5 ORDER BY day
        """,
        org_id, template_id, waba_id, first, last,
    )  # fmt: skip
    return [dict(row) for row in rows]
