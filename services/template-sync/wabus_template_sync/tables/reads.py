"""What the API asks the tables; every question is limited to one organisation."""

import re
from dataclasses import dataclass

import asyncpg


async def count_finished(pool: asyncpg.Pool, sync_ids: list[str]) -> int:
    return await pool.fetchval(
        "SELECT count(*) FROM template_syncs WHERE sync_id = ANY($1) AND finished_at IS NOT NULL", sync_ids
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which templates are asked for; None leaves a filter out. `after` is the place of the last one of a page."""

    org_id: str
    statuses: list[str] | None = None
    waba_id: str | None = None
    language: str | None = None
    category: str | None = None
    quality: str | None = None
    name: str | None = None
    words: list[str] | None = None
    """All of which are in its name or texts."""
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
            AND (t.org_id IS NULL OR t.org_id = $1)
            AND ($2::text[] IS NULL OR t.status = ANY($2)) AND ($3::text IS NULL OR t.waba_id = $3)
            AND ($4::text IS NULL OR t.language = $4) AND ($5::text IS NULL OR t.category = $5)
            AND ($6::text IS NULL OR t.name = $6) AND ($7::text[] IS NULL OR t.search LIKE ALL($7))
            AND ($8::text IS NULL OR t.quality = $8)
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
            AND (t.org_id IS NULL OR t.org_id = $1)
            AND ($2::text[] IS NULL OR t.status = ANY($2)) AND ($3::text IS NULL OR t.waba_id = $3)
            AND ($4::text IS NULL OR t.language = $4) AND ($5::text IS NULL OR t.category = $5)
            AND ($6::text IS NULL OR t.name = $6) AND ($7::text[] IS NULL OR t.search LIKE ALL($7))
            AND ($8::text IS NULL OR t.quality = $8)
            AND ($9::text IS NULL OR (t.name, t.language, t.waba_id, t.template_id) > ($9, $10, $11, $12))
        ORDER BY t.name, t.language, t.waba_id, t.template_id
        LIMIT $13
        """,
        *_filters(wanted),
        *(wanted.after or (None,) * 4),
        wanted.limit + 1,
    )


async def connected_accounts(pool: asyncpg.Pool, org_id: str, waba_id: str | None = None) -> list[asyncpg.Record]:
    """The organisation's WABAs, each with its latest sync, when one last ended well, the last failure, and what decides
    when the next is due.

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
            failed.finished_at AS last_error_at, failed.error AS last_error, latest.progress AS progress,
            a.connected_at, plan.asked_at AS schedule_asked_at, plan.asked_sync_id, plan.ended_at, plan.ended_sync_id,
            plan.failures, plan.retryable, plan.retry_at
        FROM template_accounts AS a
        LEFT JOIN template_schedules AS plan ON plan.waba_id = a.waba_id
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


async def status_counts(pool: asyncpg.Pool, org_id: str, waba_ids: list[str]) -> dict[str, dict[str, int]]:
    """How many templates of each status each WABA of the organisation has now."""
    rows = await pool.fetch(
        """
        SELECT waba_id, status, count(*) AS number FROM templates
        WHERE waba_id = ANY($1) AND template IS NOT NULL AND removed_at IS NULL AND (org_id IS NULL OR org_id = $2)
        GROUP BY waba_id, status ORDER BY waba_id, status
        """,
        waba_ids,
        org_id,
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
            figures, error, progress
        FROM template_syncs WHERE org_id = $1 AND sync_id = ANY($2)
        UNION ALL
        SELECT sync_id, waba_id, 'connected', 'requested', connected_at, NULL, NULL, '{}', '{}', '{}'
        FROM template_accounts AS a
        WHERE org_id = $1 AND sync_id = ANY($2) AND NOT EXISTS
            (SELECT FROM template_syncs AS s WHERE s.sync_id = a.sync_id)
        ORDER BY waba_id, asked_at
        """,
        org_id,
        sync_ids,
    )


async def template(pool: asyncpg.Pool, org_id: str, template_id: str) -> asyncpg.Record | None:
    """A template of the organisation, also one that Meta no longer has."""
    return await pool.fetchrow(
        """
        SELECT t.* FROM templates AS t JOIN template_accounts AS a USING (waba_id)
        WHERE t.template_id = $2 AND a.org_id = $1 AND a.connected AND t.template IS NOT NULL
            AND (t.org_id IS NULL OR t.org_id = $1)
        ORDER BY t.removed_at IS NOT NULL, t.waba_id LIMIT 1
        """,
        org_id,
        template_id,
    )


async def versions(
    pool: asyncpg.Pool, org_id: str, waba_id: str, template_id: str, before: int | None, limit: int
) -> list[asyncpg.Record]:
    """Superseded versions of a template that were told for the organisation, the latest first."""
    return await pool.fetch(
        """
        SELECT version, template FROM template_versions
        WHERE waba_id = $1 AND template_id = $2 AND ($3::int IS NULL OR number < $3)
            AND (org_id IS NULL OR org_id = $5)
        ORDER BY number DESC LIMIT $4
        """,
        waba_id,
        template_id,
        before,
        limit,
        org_id,
    )


async def syncs_asked_for(pool: asyncpg.Pool, request_ids: list[str]) -> dict[str, str]:
    """The syncs that became of requests, by the request's id."""
    rows = await pool.fetch(
        "SELECT request_id, sync_id FROM template_sync_requests WHERE request_id = ANY($1)", request_ids
    )
    return {row["request_id"]: row["sync_id"] for row in rows}


def _filters(wanted: Wanted) -> tuple[object, ...]:
    patterns = [f"%{_literal(word.lower())}%" for word in wanted.words] if wanted.words else None
    exact = wanted.org_id, wanted.statuses, wanted.waba_id, wanted.language, wanted.category, wanted.name
    return *exact, patterns, wanted.quality


def _literal(word: str) -> str:
    """`word` as a LIKE pattern that matches only it."""
    return re.sub(r"([\\%_])", r"\\\1", word)
