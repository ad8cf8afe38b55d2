"""The history of each organisation's health: a fold of health.v1, and what is asked of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from wabus_events import HEALTH, HealthChanged
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.compare import Table
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Recorded, unprepared
from wabus_runtime.settings import IdentitySettings

from wabus_health_projector.health.transitions import KnownChange
from wabus_health_projector.tables.erasing import erase_history

NAME = "health-history"


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the history. `until` is when the next change was judged, None for what still is."""

    id: UUID
    log_offset: int
    from_status: str | None
    to_status: str
    reasons: list[dict[str, Any]]
    since: datetime
    at: datetime
    until: datetime | None

    def answer(self) -> dict[str, Any]:
        """As `GET /webhook/health/history` tells it."""
        names = {"from_status": "from", "to_status": "to"}
        values = {names.get(each.name, each.name): getattr(self, each.name) for each in fields(self)}
        return {**values, "id": str(self.id)}


async def run(settings: IdentitySettings, pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Project for ever."""
    await project(settings, pool, PROJECTION, ready)


async def apply(connection: Connection, records: Sequence[Recorded]) -> None:
    """Write changes down. The same change told again is in the same partition: the first one stands."""
    changes = [(record, record.event) for record in records if isinstance(record.event, HealthChanged)]
    await connection.executemany(
        """
        INSERT INTO health_history (event_id, org_id, log_offset, from_status, to_status, reasons, since, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (event_id) DO NOTHING
        """,
        [
            (
                event.id,
                event.org_id,
                record.offset,
                event.from_status,
                event.to_status,
                [reason.model_dump(mode="json") for reason in event.reasons],
                event.since,
                event.time,
            )
            for record, event in changes
            if event.org_id
        ],
    )


async def newest(pool: asyncpg.Pool, org_ids: Sequence[str]) -> dict[str, KnownChange]:
    """The newest change of each of these organisations."""
    rows = await pool.fetch(
        """
        SELECT wanted.org_id, last.* FROM unnest($1::text[]) AS wanted(org_id) CROSS JOIN LATERAL (
            SELECT event_id, to_status, reasons, since FROM health_history
            WHERE org_id = wanted.org_id ORDER BY log_offset DESC LIMIT 1
        ) AS last
        """,
        list(org_ids),
    )
    return {
        row["org_id"]: KnownChange(
            str(row["event_id"]),
            row["to_status"],
            frozenset(
                (reason["code"], reason["waba_id"]) for reason in row["reasons"] if reason["severity"] != "notice"
            ),
            row["since"],
        )
        for row in rows
    }


async def organisations(pool: asyncpg.Pool, after: str, limit: int) -> list[str]:
    """Ids of organisations that have, or ever had, a WABA: a page in their order."""
    rows = await pool.fetch(
        """
        SELECT org_id FROM (
            (SELECT org_id FROM webhook_health WHERE org_id > $1 ORDER BY org_id LIMIT $2)
            UNION
            (SELECT DISTINCT org_id FROM health_history WHERE org_id > $1 ORDER BY org_id LIMIT $2)
        ) AS known ORDER BY org_id LIMIT $2
        """,
        after,
        limit,
    )
    return [row["org_id"] for row in rows]


async def changes(pool: asyncpg.Pool, org_id: str, before: int | None, limit: int) -> list[Change]:
    """An organisation's changes before a place in its history, the newest first."""
    rows = await pool.fetch(
        """
        SELECT event_id AS id, log_offset, from_status, to_status, reasons, since, at, (
            SELECT later.at FROM health_history AS later
            WHERE later.org_id = change.org_id AND later.log_offset > change.log_offset ORDER BY log_offset LIMIT 1
        ) AS until
        FROM health_history AS change
        WHERE org_id = $1 AND ($2::bigint IS NULL OR log_offset < $2) ORDER BY log_offset DESC LIMIT $3
        """,
        org_id,
        before,
        limit,
    )
    return [Change(**dict(row)) for row in rows]


PROJECTION = Projection(
    NAME,
    (HEALTH,),
    lambda: unprepared(apply),
    "wabus_health_projector",
    (Table("health_history", "org_id, log_offset"),),
    erase=erase_history,
)
"""`wabus rebuild history`."""
