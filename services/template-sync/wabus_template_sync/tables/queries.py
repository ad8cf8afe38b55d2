"""What the worker asks the tables; the questions of the API are in `reads.py`."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from wabus_template_sync.tables.template_store import template_row
from wabus_template_sync.templates.fold import TemplateRow
from wabus_template_sync.templates.listing import Listed


async def listed_before(pool: asyncpg.Pool, waba_id: str, org_id: str | None) -> dict[str, Listed]:
    """Every template of the WABA that Graph was ever asked about for this organisation, by id."""
    rows = await pool.fetch(
        """
        SELECT template_id, status, fingerprint, present, asked_at, told = '{}' AND NOT in_doubt AS is_settled
        FROM templates WHERE waba_id = $1 AND presence_at IS NOT NULL AND (org_id IS NULL OR org_id = $2)
        """,
        waba_id,
        org_id,
    )
    return {row["template_id"]: Listed(*tuple(row)[1:]) for row in rows}


async def template_rows(
    pool: asyncpg.Pool, waba_id: str, template_ids: Sequence[str], org_id: str | None
) -> list[TemplateRow]:
    """What this organisation may know of these templates."""
    rows = await pool.fetch(
        "SELECT * FROM templates WHERE waba_id = $1 AND template_id = ANY($2)", waba_id, template_ids
    )
    return [template_row(row).known_to(org_id) for row in rows]


async def asked_for_all(pool: asyncpg.Pool, waba_id: str) -> list[datetime]:
    """When Graph was asked for all templates of the WABA by a sync that ended well: the last one, if there was any."""
    rows = await pool.fetch(
        """
        SELECT started_at FROM template_syncs WHERE waba_id = $1 AND status = 'synced'
        ORDER BY started_at DESC LIMIT 1
        """,
        waba_id,
    )
    return [row["started_at"] for row in rows]


async def last_sync(pool: asyncpg.Pool, waba_id: str) -> str | None:
    """The sync of the WABA that ended last."""
    return await pool.fetchval("SELECT ended_sync_id FROM template_schedules WHERE waba_id = $1", waba_id)


async def is_finished(pool: asyncpg.Pool, sync_id: str) -> bool:
    return await pool.fetchval(
        "SELECT EXISTS (SELECT FROM template_syncs WHERE sync_id = $1 AND finished_at IS NOT NULL)", sync_id
    )


async def owner(pool: asyncpg.Pool, waba_id: str) -> str | None:
    """The organisation that has the WABA connected, or None."""
    return await pool.fetchval("SELECT org_id FROM template_accounts WHERE waba_id = $1 AND connected", waba_id)
