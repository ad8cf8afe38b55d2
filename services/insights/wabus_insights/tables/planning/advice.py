"""Advice as it is given, what an organisation does not want to hear of, and what Meta says of templates."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import asyncpg
from wabus_events import AdviceDismissed
from wabus_runtime.postgres.database import Connection

from wabus_insights.advice.rules import Advice
from wabus_insights.tables import leases


async def watch(connection: Connection, org_id: str) -> None:
    """Let advice be worked out for an organisation from now on."""
    await connection.execute(
        "INSERT INTO advice_checks (org_id, due_at) VALUES ($1, now()) ON CONFLICT (org_id) DO NOTHING", org_id
    )


async def describe_template(
    connection: Connection,
    waba_id: str,
    template_id: str,
    name: str,
    language: str,
    category: str,
    previous: str | None,
    correct: str | None,
    at: datetime,
) -> None:
    """Take in a template as Graph has it. What it says nothing of, a webhook may have told."""
    await connection.execute(
        """
        INSERT INTO template_categories AS held (waba_id, template_id, name, language, category, previous_category,
            correct_category, told_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (waba_id, template_id) DO UPDATE SET name = excluded.name, language = excluded.language,
            category = excluded.category,
            previous_category = coalesce(excluded.previous_category,
                CASE WHEN held.category = excluded.category THEN held.previous_category ELSE held.category END),
            correct_category = coalesce(excluded.correct_category,
                CASE WHEN held.category = excluded.category THEN held.correct_category END),
            told_at = excluded.told_at
        WHERE held.told_at <= excluded.told_at
        """,
        waba_id, template_id, name, language, category, previous, correct, at,
    )  # fmt: skip


async def recategorise(
    connection: Connection,
    waba_id: str,
    template_id: str,
    category: str | None,
    previous: str | None,
    correct: str | None,
    at: datetime,
) -> None:
    """Take in that Meta has changed a template's category, or will."""
    await connection.execute(
        """
        UPDATE template_categories SET category = coalesce($3, category),
            previous_category = coalesce($4, previous_category), correct_category = $5, told_at = $6
        WHERE waba_id = $1 AND template_id = $2 AND told_at <= $6
        """,
        waba_id, template_id, category, previous, correct, at,
    )  # fmt: skip


async def remove_template(connection: Connection, waba_id: str, template_id: str, at: datetime) -> None:
    """Take in that a template is gone."""
    await connection.execute(
        "DELETE FROM template_categories WHERE waba_id = $1 AND template_id = $2 AND told_at <= $3",
        waba_id,
        template_id,
        at,
    )


async def dismiss(connection: Connection, event: AdviceDismissed) -> None:
    """Take in that an organisation does not want a piece of advice, or wants it again."""
    await connection.execute(
        """
        INSERT INTO advice_dismissals AS held (org_id, advice_id, kind, dismissed, told_at, event_id)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (org_id, advice_id) DO UPDATE SET dismissed = excluded.dismissed, told_at = excluded.told_at,
            event_id = excluded.event_id
        WHERE (held.told_at, held.event_id) < (excluded.told_at, excluded.event_id)
        """,
        event.org_id or "", event.advice_id, event.kind, event.dismissed, event.time, event.id,
    )  # fmt: skip


async def replace(
    pool: asyncpg.Pool,
    org_id: str,
    given: Sequence[Advice],
    now: datetime,
    due_at: datetime,
    counted_to: date | None,
    unfinished: Sequence[str],
) -> None:
    """Let this be what an organisation is advised; what it was advised before keeps since when.

    It rests on messages until `counted_to`; of kinds that are `unfinished` stays what was advised before.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "DELETE FROM advice WHERE org_id = $1 AND advice_id <> ALL($2) AND kind <> ALL($3)",
            org_id,
            [one.advice_id for one in given],
            list(unfinished),
        )
        await connection.executemany(
            """
            INSERT INTO advice (org_id, advice_id, kind, waba_id, about, finding, remedy, saving, currency, evidence,
                place, since)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            ON CONFLICT (org_id, advice_id) DO UPDATE SET finding = excluded.finding, remedy = excluded.remedy,
                saving = excluded.saving, currency = excluded.currency, evidence = excluded.evidence,
                place = excluded.place
            """,
            [
                (
                    org_id, one.advice_id, one.kind, one.waba_id, one.about, one.finding, one.remedy, one.saving,
                    one.currency, dict(one.evidence), place, now,
                )
                for place, one in enumerate(given)
            ],
        )  # fmt: skip
        await connection.execute(
            """
            UPDATE advice_checks SET due_at = $2, leased_until = NULL, as_of = $3, counted_to = $4, unfinished = $5
            WHERE org_id = $1
            """,
            org_id,
            due_at,
            now,
            counted_to,
            list(unfinished),
        )


async def take(pool: asyncpg.Pool, most: int, busy: Sequence[str], lease: timedelta, now: datetime) -> list[str]:
    """Take organisations for which advice is to be worked out, for the time of a lease."""
    rows = await leases.take(pool, "advice_checks", "org_id", "org_id", most, busy, lease, now)
    return [row["org_id"] for row in rows]


async def put_off(pool: asyncpg.Pool, org_id: str, due_at: datetime, unfinished: Sequence[str]) -> None:
    """Let it be worked out then: these kinds could not be now."""
    await pool.execute(
        "UPDATE advice_checks SET due_at = $2, leased_until = NULL, unfinished = $3 WHERE org_id = $1",
        org_id,
        due_at,
        list(unfinished),
    )


async def given(pool: asyncpg.Pool | Connection, org_id: str, *, dismissed: bool) -> Sequence[asyncpg.Record]:
    """What an organisation is advised, what saves most first; what was dismissed only if it is asked for."""
    return await pool.fetch(
        """
        SELECT a.advice_id, a.kind, a.waba_id, a.about, a.finding, a.remedy, a.saving, a.currency, a.evidence, a.since,
            coalesce(d.dismissed, false) AS dismissed
        FROM advice AS a LEFT JOIN advice_dismissals AS d USING (org_id, advice_id)
        WHERE org_id = $1 AND ($2 OR NOT coalesce(d.dismissed, false)) ORDER BY a.place
        """,
        org_id,
        dismissed,
    )


async def one(pool: asyncpg.Pool | Connection, org_id: str, advice_id: str) -> asyncpg.Record | None:
    """A piece of advice that is given now, or was dismissed once."""
    return await pool.fetchrow(
        """
        SELECT kind FROM advice WHERE org_id = $1 AND advice_id = $2
        UNION ALL SELECT kind FROM advice_dismissals WHERE org_id = $1 AND advice_id = $2 LIMIT 1
        """,
        org_id,
        advice_id,
    )


class Standing(NamedTuple):
    """Of when the advice of an organisation is."""

    as_of: datetime | None
    """When it was worked out last."""
    counted_to: date | None
    """The last day of messages that it rests on."""
    unfinished: Sequence[str]
    """Kinds that could not be worked out since."""


async def standing(pool: asyncpg.Pool | Connection, org_id: str) -> Standing:
    """Of when the advice of an organisation is; of nothing where it has none yet."""
    row = await pool.fetchrow("SELECT as_of, counted_to, unfinished FROM advice_checks WHERE org_id = $1", org_id)
    return Standing(*row) if row else Standing(None, None, ())
