"""What the worker and the API ask the tables; every question of the API is limited to one organisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from wabus_events import Template

from wabus_template_sync.fold import TemplateRow, Version
from wabus_template_sync.template_store import template_row, version_of


@dataclass(frozen=True, slots=True)
class Listed:
    """What a new listing is compared with first: little of each template, for there may be thousands."""

    status: str | None
    fingerprint: str | None
    present: bool
    presence_at: datetime | None
    told: bool
    """Whether webhooks have said more since Graph did."""


async def listed_before(pool: asyncpg.Pool, waba_id: str) -> dict[str, Listed]:
    """Every template of the WABA that Graph was ever asked about, by id."""
    rows = await pool.fetch(
        """
        SELECT template_id, status, fingerprint, present, presence_at, told <> '{}' AS told
        FROM templates WHERE waba_id = $1 AND presence_at IS NOT NULL
        """,
        waba_id,
    )
    return {
        row["template_id"]: Listed(row["status"], row["fingerprint"], row["present"], row["presence_at"], row["told"])
        for row in rows
    }


async def template_rows(pool: asyncpg.Pool, waba_id: str, template_ids: Sequence[str]) -> list[TemplateRow]:
    rows = await pool.fetch(
        "SELECT * FROM templates WHERE waba_id = $1 AND template_id = ANY($2)", waba_id, template_ids
    )
    return [template_row(row) for row in rows]


async def transition(
    pool: asyncpg.Pool, waba_id: str, template_id: str, event_id: str
) -> tuple[Version, Template | None, Template | None] | None:
    """The version that an event led to, with the template before and after; None if it changed nothing."""
    rows = await pool.fetch(
        """
        SELECT version, template FROM template_versions WHERE waba_id = $1 AND template_id = $2
            AND number >= (SELECT number - 1 FROM template_versions
                WHERE waba_id = $1 AND template_id = $2 AND event_id = $3
                UNION ALL
                SELECT (version->>'number')::int - 1 FROM templates
                WHERE waba_id = $1 AND template_id = $2 AND version->>'event_id' = $3
                LIMIT 1)
        ORDER BY number LIMIT 2
        """,
        waba_id,
        template_id,
        event_id,
    )
    found = [(version_of(row["version"]), _template(row["template"])) for row in rows]
    current = await pool.fetchrow(
        "SELECT * FROM templates WHERE waba_id = $1 AND template_id = $2", waba_id, template_id
    )
    if current and current["version"]:
        row = template_row(current)
        found += [(version_of(current["version"]), row.shown)]
    for position, (version, template) in enumerate(found):
        if version.event_id == event_id:
            return version, found[position - 1][1] if position else None, template
    return None


def _template(stored: dict[str, Any] | None) -> Template | None:
    return Template.model_validate(stored) if stored else None


async def last_sync(pool: asyncpg.Pool, waba_id: str) -> str | None:
    """The sync of the WABA that ended last."""
    return await pool.fetchval("SELECT ended_sync_id FROM template_schedules WHERE waba_id = $1", waba_id)


async def is_finished(pool: asyncpg.Pool, sync_id: str) -> bool:
    return await pool.fetchval(
        "SELECT EXISTS (SELECT FROM template_syncs WHERE sync_id = $1 AND finished_at IS NOT NULL)", sync_id
    )


async def count_finished(pool: asyncpg.Pool, sync_ids: list[str]) -> int:
    return await pool.fetchval(
        "SELECT count(*) FROM template_syncs WHERE sync_id = ANY($1) AND finished_at IS NOT NULL", sync_ids
    )


async def owner(pool: asyncpg.Pool, waba_id: str) -> str | None:
    """The organisation that has the WABA connected, or None."""
    return await pool.fetchval("SELECT org_id FROM template_accounts WHERE waba_id = $1 AND connected", waba_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which templates are asked for; None leaves a filter out. `after` is the place of the last one of a page."""

    org_id: str
    statuses: list[str] | None = None
    waba_id: str | None = None
    language: str | None = None
    category: str | None = None
    name: str | None = None
    after: "Place | None" = None
    limit: int = 100


Place = tuple[str, str, str, str]
"""Name, language, WABA and id of a template: the order of the list."""


async def count_templates(pool: asyncpg.Pool, wanted: Wanted) -> int:
    return await pool.fetchval(
        """
        SELECT count(*)
        FROM template_accounts AS a JOIN templates AS t USING (waba_id)
        WHERE a.org_id = $1 AND a.connected AND t.template IS NOT NULL AND t.removed_at IS NULL
            AND ($2::text[] IS NULL OR t.status = ANY($2)) AND ($3::text IS NULL OR t.waba_id = $3)
            AND ($4::text IS NULL OR t.language = $4) AND ($5::text IS NULL OR t.category = $5)
            AND ($6::text IS NULL OR t.name = $6)
        """,
        *_filters(wanted),
    )


async def list_templates(pool: asyncpg.Pool, wanted: Wanted) -> list[asyncpg.Record]:
    """One page, and one template more if there is another page."""
    return await pool.fetch(
        """
        SELECT t.*
        FROM template_accounts AS a JOIN templates AS t USING (waba_id)
        WHERE a.org_id = $1 AND a.connected AND t.template IS NOT NULL AND t.removed_at IS NULL
            AND ($2::text[] IS NULL OR t.status = ANY($2)) AND ($3::text IS NULL OR t.waba_id = $3)
            AND ($4::text IS NULL OR t.language = $4) AND ($5::text IS NULL OR t.category = $5)
            AND ($6::text IS NULL OR t.name = $6)
            AND ($7::text IS NULL OR (t.name, t.language, t.waba_id, t.template_id) > ($7, $8, $9, $10))
        ORDER BY t.name, t.language, t.waba_id, t.template_id
        LIMIT $11
        """,
        *_filters(wanted),
        *(wanted.after or (None,) * 4),
        wanted.limit + 1,
    )


async def connected_accounts(pool: asyncpg.Pool, org_id: str, waba_id: str | None = None) -> list[asyncpg.Record]:
    """The organisation's WABAs, each with its latest sync, when one last ended well, and the last failure.

    The sync that a connect asks for has a row only once it has started: until then `sync_id` is
    `connect_sync_id` and `status` is `requested`.
    """
    return await pool.fetch(
        """
        SELECT a.waba_id,
            coalesce(latest.sync_id, a.sync_id) AS sync_id,
            coalesce(latest.status, 'requested') AS status,
            coalesce(latest.asked_at, a.connected_at) AS asked_at,
            synced.finished_at AS last_sync_at,
            failed.finished_at AS last_error_at, failed.error AS last_error
        FROM template_accounts AS a
        LEFT JOIN LATERAL (
            SELECT * FROM template_syncs AS s
            WHERE s.waba_id = a.waba_id AND s.org_id = a.org_id
                AND EXISTS (SELECT FROM template_syncs WHERE sync_id = a.sync_id)
            ORDER BY s.asked_at DESC, s.sync_id LIMIT 1
        ) AS latest ON true
        LEFT JOIN LATERAL (
            SELECT * FROM template_syncs AS s
            WHERE s.waba_id = a.waba_id AND s.org_id = a.org_id AND s.status = 'synced'
            ORDER BY s.finished_at DESC LIMIT 1
        ) AS synced ON true
        LEFT JOIN LATERAL (
            SELECT * FROM template_syncs AS s
            WHERE s.waba_id = a.waba_id AND s.org_id = a.org_id AND s.status = 'failed'
            ORDER BY s.finished_at DESC LIMIT 1
        ) AS failed ON true
        WHERE a.org_id = $1 AND a.connected AND ($2::text IS NULL OR a.waba_id = $2)
        ORDER BY a.waba_id
        """,
        org_id,
        waba_id,
    )


async def status_counts(pool: asyncpg.Pool, waba_ids: list[str]) -> dict[str, dict[str, int]]:
    """How many templates of each status each WABA has now."""
    rows = await pool.fetch(
        """
        SELECT waba_id, status, count(*) AS number FROM templates
        WHERE waba_id = ANY($1) AND template IS NOT NULL AND removed_at IS NULL
        GROUP BY waba_id, status ORDER BY waba_id, status
        """,
        waba_ids,
    )
    found: dict[str, dict[str, int]] = {waba_id: {} for waba_id in waba_ids}
    for row in rows:
        found[row["waba_id"]][row["status"]] = row["number"]
    return found


async def syncs(pool: asyncpg.Pool, org_id: str, sync_ids: list[str]) -> list[asyncpg.Record]:
    """These syncs of the organisation, with those that a connect asks for and that have not begun."""
    return await pool.fetch(
        """
        SELECT sync_id, waba_id, reason, status, asked_at, coalesce(started_at, begun_at) AS started_at, finished_at,
            figures, error
        FROM template_syncs WHERE org_id = $1 AND sync_id = ANY($2)
        UNION ALL
        SELECT sync_id, waba_id, 'connected', 'requested', connected_at, NULL, NULL, '{}', '{}'
        FROM template_accounts AS a
        WHERE org_id = $1 AND sync_id = ANY($2) AND NOT EXISTS
            (SELECT FROM template_syncs AS s WHERE s.sync_id = a.sync_id)
        ORDER BY waba_id, asked_at
        """,
        org_id,
        sync_ids,
    )


def _filters(wanted: Wanted) -> tuple[object, ...]:
    return wanted.org_id, wanted.statuses, wanted.waba_id, wanted.language, wanted.category, wanted.name
