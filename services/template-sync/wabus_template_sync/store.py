"""The tables of template-sync: the events of accounts.v1 and templates.v1, added up by `fold.py` and written.

Each table comes from one topic only: `template_accounts` from accounts.v1, the others from templates.v1. Whichever of
the two is read first, and by whichever process, the rows come out the same.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
)
from wabus_runtime.database import Connection
from wabus_runtime.projection import Recorded

from wabus_template_sync.fold import (
    AccountRow,
    Aspect,
    Stamp,
    SyncRow,
    TemplateRow,
    Told,
    fold_account,
    fold_sync,
    fold_template,
    settle,
)

PROJECTION = "template-sync-projection"
PACKAGE = "wabus_template_sync"


async def apply(connection: Connection, records: Sequence[Recorded]) -> None:
    """Fold records into the tables, in the caller's transaction."""
    account_events: list[AccountConnected | AccountDisconnected] = []
    sync_events: list[TemplateSyncRequested | TemplateSyncStarted | TemplatesSynced | TemplateSyncFailed] = []
    template_events: list[tuple[str, Any]] = []
    for record in records:
        match record.event:
            case AccountConnected() | AccountDisconnected() as event:
                account_events.append(event)
            case TemplateSyncRequested() | TemplateSyncStarted() | TemplatesSynced() | TemplateSyncFailed() as event:
                sync_events.append(event)
            case TemplateChanged() as event:
                template_events.append((event.template.template_id, event))
            case (
                TemplateRemoved() | TemplateStatusChanged() | TemplateQualityChanged() | TemplateCategoryChanged()
            ) as event:
                template_events.append((event.template_id, event))
            case _:
                pass
    await _apply_to_accounts(connection, account_events)
    await _apply_to_syncs(connection, sync_events)
    confirmed = {event.waba_id for event in sync_events if isinstance(event, TemplatesSynced)}
    await _apply_to_templates(connection, template_events, confirmed)


async def _apply_to_accounts(connection: Connection, events: Sequence[AccountConnected | AccountDisconnected]) -> None:
    if not events:
        return
    ids = sorted({event.waba_id for event in events})
    stored = await connection.fetch("SELECT * FROM template_accounts WHERE waba_id = ANY($1)", ids)
    before = {row["waba_id"]: _account_row(row) for row in stored}
    rows = {waba_id: before.get(waba_id, AccountRow(waba_id)) for waba_id in ids}
    for event in events:
        rows[event.waba_id] = fold_account(rows[event.waba_id], event)
    await connection.executemany(
        """
        INSERT INTO template_accounts (waba_id, org_id, connected, sync_id, connected_at, connected_id,
            disconnected_at, disconnected_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (waba_id) DO UPDATE SET
            (org_id, connected, sync_id, connected_at, connected_id, disconnected_at, disconnected_id, created_at)
            = (excluded.org_id, excluded.connected, excluded.sync_id, excluded.connected_at, excluded.connected_id,
               excluded.disconnected_at, excluded.disconnected_id, excluded.created_at)
        """,
        [
            (
                row.waba_id,
                row.org_id,
                row.is_connected,
                row.sync_id,
                *(row.connected or (None, None)),
                *(row.disconnected or (None, None)),
                row.first_connected_at,
            )
            for row in rows.values()
            if row != before.get(row.waba_id)
        ],
    )


async def _apply_to_syncs(
    connection: Connection,
    events: Sequence[TemplateSyncRequested | TemplateSyncStarted | TemplatesSynced | TemplateSyncFailed],
) -> None:
    if not events:
        return
    ids = sorted({event.sync_id for event in events})
    stored = await connection.fetch("SELECT * FROM template_syncs WHERE sync_id = ANY($1)", ids)
    before = {row["sync_id"]: _sync_row(row) for row in stored}
    rows = dict(before)
    for event in events:
        rows[event.sync_id] = fold_sync(rows.get(event.sync_id) or SyncRow(event.sync_id, event.waba_id), event)
    await connection.executemany(
        """
        INSERT INTO template_syncs (sync_id, waba_id, org_id, reason, status, asked_at, requested_at, requested_by,
            begun_at, started_at, finished_at, outcome_id, figures, error)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        ON CONFLICT (sync_id) DO UPDATE SET
            (org_id, reason, status, asked_at, requested_at, requested_by, begun_at, started_at, finished_at,
                outcome_id, figures, error)
            = (excluded.org_id, excluded.reason, excluded.status, excluded.asked_at, excluded.requested_at,
                excluded.requested_by, excluded.begun_at, excluded.started_at, excluded.finished_at,
                excluded.outcome_id, excluded.figures, excluded.error)
        """,
        [
            (
                row.sync_id,
                row.waba_id,
                row.org_id,
                row.reason,
                row.status,
                row.asked_at,
                row.requested_at,
                row.requested_by,
                row.begun_at,
                row.started_at,
                row.finished_at,
                row.outcome_id,
                row.figures,
                row.error,
            )
            for row in rows.values()
            if row != before.get(row.sync_id)
        ],
    )


async def _apply_to_templates(
    connection: Connection, events: Sequence[tuple[str, Any]], confirmed_now: set[str]
) -> None:
    if not events and not confirmed_now:
        return
    keys = sorted({(event.waba_id, template_id) for template_id, event in events})
    stored = await connection.fetch(
        """
        SELECT * FROM templates
        WHERE (waba_id, template_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
            OR (waba_id = ANY($3) AND told <> '{}')
        """,
        [waba_id for waba_id, _ in keys],
        [template_id for _, template_id in keys],
        sorted(confirmed_now),
    )
    before = {(row["waba_id"], row["template_id"]): template_row(row) for row in stored}
    rows = dict(before)
    for template_id, event in events:
        key = (event.waba_id, template_id)
        rows[key] = fold_template(rows.get(key) or TemplateRow(*key), event)
    confirmed = await _confirmed(connection, sorted({waba_id for waba_id, _ in rows}))
    settled = {key: settle(row, confirmed.get(key[0])) for key, row in rows.items()}
    changed = [row for key, row in sorted(settled.items()) if row != before.get(key)]
    await _write_templates(connection, [row for row in changed if not row.is_empty])
    for row in changed:
        if row.is_empty:
            await connection.execute(
                "DELETE FROM templates WHERE waba_id = $1 AND template_id = $2", row.waba_id, row.template_id
            )


async def _write_templates(connection: Connection, rows: Sequence[TemplateRow]) -> None:
    await connection.executemany(
        """
        INSERT INTO templates (waba_id, template_id, name, language, category, status, quality, rejected_reason,
            template, listed_at, listed_id, present, presence_at, presence_id, told, removed_at, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT (waba_id, template_id) DO UPDATE SET
            (name, language, category, status, quality, rejected_reason, template, listed_at, listed_id, present,
                presence_at, presence_id, told, removed_at, created_at, updated_at)
            = (excluded.name, excluded.language, excluded.category, excluded.status, excluded.quality,
                excluded.rejected_reason, excluded.template, excluded.listed_at, excluded.listed_id, excluded.present,
                excluded.presence_at, excluded.presence_id, excluded.told, excluded.removed_at, excluded.created_at,
                excluded.updated_at)
        """,
        [_template_columns(row) for row in rows],
    )


async def _confirmed(connection: Connection, waba_ids: Sequence[str]) -> dict[str, datetime]:
    """When the newest listing that ended well began, by WABA."""
    rows = await connection.fetch(
        """
        SELECT waba_id, latest.started_at
        FROM unnest($1::text[]) AS asked(waba_id)
        CROSS JOIN LATERAL (
            SELECT started_at FROM template_syncs
            WHERE template_syncs.waba_id = asked.waba_id AND status = 'synced'
            ORDER BY started_at DESC LIMIT 1
        ) AS latest
        """,
        waba_ids,
    )
    return {row["waba_id"]: row["started_at"] for row in rows}


def _stamp(time: datetime | None, event_id: str | None) -> Stamp | None:
    return (time, event_id) if time and event_id else None


def _account_row(row: asyncpg.Record) -> AccountRow:
    return AccountRow(
        waba_id=row["waba_id"],
        connected=_stamp(row["connected_at"], row["connected_id"]),
        org_id=row["org_id"],
        sync_id=row["sync_id"],
        first_connected_at=row["created_at"],
        disconnected=_stamp(row["disconnected_at"], row["disconnected_id"]),
    )


def _sync_row(row: asyncpg.Record) -> SyncRow:
    stored = dict(row)
    succeeded = {"synced": True, "failed": False}.get(stored.pop("status"))
    del stored["asked_at"]
    return SyncRow(**stored, succeeded=succeeded)


def template_row(row: asyncpg.Record) -> TemplateRow:
    """A row of `templates` as `fold.py` has it."""
    told: dict[Aspect, Told] = {
        cast(Aspect, aspect): Told(said["value"], (datetime.fromisoformat(said["at"]), said["id"]), said["reason"])
        for aspect, said in row["told"].items()
    }
    return TemplateRow(
        waba_id=row["waba_id"],
        template_id=row["template_id"],
        listed=Template.model_validate(row["template"]) if row["template"] else None,
        listed_stamp=_stamp(row["listed_at"], row["listed_id"]),
        present=row["present"],
        presence_stamp=_stamp(row["presence_at"], row["presence_id"]),
        first_listed_at=row["created_at"],
        told=told,
    )


def _template_columns(row: TemplateRow) -> tuple[Any, ...]:
    shown = row.template
    told = {
        aspect: {
            "value": said.value,
            "at": said.stamp[0].astimezone(UTC).isoformat(),
            "id": said.stamp[1],
            "reason": said.reason,
        }
        for aspect, said in row.told.items()
    }
    return (
        row.waba_id,
        row.template_id,
        *((shown.name, shown.language, shown.category, shown.status) if shown else (None,) * 4),
        *((shown.quality, shown.rejected_reason) if shown else (None,) * 2),
        row.listed.model_dump() if row.listed else None,
        *(row.listed_stamp or (None, None)),
        row.present,
        *(row.presence_stamp or (None, None)),
        told,
        row.removed_at,
        row.first_listed_at,
        row.updated_at,
    )
