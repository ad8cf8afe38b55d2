"""What the worker asks the tables; the questions of the API are in `reads.py`."""

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


async def owner(pool: asyncpg.Pool, waba_id: str) -> str | None:
    """The organisation that has the WABA connected, or None."""
    return await pool.fetchval("SELECT org_id FROM template_accounts WHERE waba_id = $1 AND connected", waba_id)
