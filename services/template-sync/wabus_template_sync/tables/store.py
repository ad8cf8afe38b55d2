"""The tables of template-sync: the events of accounts.v1 and templates.v1, added up by `fold.py` and written.

Each table comes from one topic only: `template_accounts` from accounts.v1, the others from templates.v1. Whichever of
the two is read first, and by whichever process, the rows come out the same.
"""

from collections.abc import Sequence
from dataclasses import astuple

import asyncpg
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    TemplatesSynced,
    TemplateSyncFailed,
    TemplateSyncProgressed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    WabaEvent,
)
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded

from wabus_template_sync.tables.template_store import apply_to_templates, stamp
from wabus_template_sync.templates.schedule import Schedule, fold_schedule
from wabus_template_sync.templates.sync_fold import AccountRow, SyncRow, fold_account, fold_sync

PACKAGE = "wabus_template_sync"

SyncEvent = TemplateSyncRequested | TemplateSyncStarted | TemplateSyncProgressed | TemplatesSynced | TemplateSyncFailed


async def apply(connection: Connection, records: Sequence[Recorded]) -> None:
    """Fold records into the tables, in the caller's transaction."""
    account_events: list[AccountConnected | AccountDisconnected] = []
    sync_events: list[SyncEvent] = []
    for record in records:
        match record.event:
            case AccountConnected() | AccountDisconnected() as event:
                account_events.append(event)
            case (
                TemplateSyncRequested()
                | TemplateSyncStarted()
                | TemplateSyncProgressed()
                | TemplatesSynced()
                | TemplateSyncFailed()
            ) as event:
                sync_events.append(event)
            case _:
                pass
    await _apply_to_accounts(connection, account_events)
    await apply_to_templates(connection, records)
    await _apply_to_syncs(connection, sync_events)
    await _apply_to_requests(connection, [event for event in sync_events if isinstance(event, TemplateSyncRequested)])
    await _apply_to_schedules(connection, sync_events)


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


async def _apply_to_syncs(connection: Connection, events: Sequence[SyncEvent]) -> None:
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
            begun_at, started_at, finished_at, outcome_id, figures, error, progress)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (sync_id) DO UPDATE SET
            (org_id, reason, status, asked_at, requested_at, requested_by, begun_at, started_at, finished_at,
                outcome_id, figures, error, progress)
            = (excluded.org_id, excluded.reason, excluded.status, excluded.asked_at, excluded.requested_at,
                excluded.requested_by, excluded.begun_at, excluded.started_at, excluded.finished_at,
                excluded.outcome_id, excluded.figures, excluded.error, excluded.progress)
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
                row.progress,
            )
            for row in rows.values()
            if row != before.get(row.sync_id)
        ],
    )


async def _apply_to_requests(connection: Connection, events: Sequence[TemplateSyncRequested]) -> None:
    """Which sync became of each request: several can be for one sync, and the same one can come again."""
    if events:
        await connection.executemany(
            """
            INSERT INTO template_sync_requests (request_id, waba_id, sync_id) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING
            """,
            [(event.id, event.waba_id, event.sync_id) for event in events],
        )


async def _apply_to_schedules(connection: Connection, events: Sequence[WabaEvent]) -> None:
    if not events:
        return
    ids = sorted({event.waba_id for event in events})
    stored = await connection.fetch("SELECT * FROM template_schedules WHERE waba_id = ANY($1)", ids)
    before = {row["waba_id"]: Schedule(**row) for row in stored}
    rows = dict(before)
    for event in events:
        rows[event.waba_id] = fold_schedule(rows.get(event.waba_id) or Schedule(event.waba_id), event)
    await connection.executemany(
        """
        INSERT INTO template_schedules (waba_id, asked_at, asked_sync_id, ended_at, ended_sync_id, failures, retryable,
            retry_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (waba_id) DO UPDATE SET
            (asked_at, asked_sync_id, ended_at, ended_sync_id, failures, retryable, retry_at)
            = (excluded.asked_at, excluded.asked_sync_id, excluded.ended_at, excluded.ended_sync_id, excluded.failures,
                excluded.retryable, excluded.retry_at)
        """,
        [astuple(row) for row in rows.values() if row != before.get(row.waba_id)],
    )


def _account_row(row: asyncpg.Record) -> AccountRow:
    return AccountRow(
        waba_id=row["waba_id"],
        connected=stamp(row["connected_at"], row["connected_id"]),
        org_id=row["org_id"],
        sync_id=row["sync_id"],
        first_connected_at=row["created_at"],
        disconnected=stamp(row["disconnected_at"], row["disconnected_id"]),
    )


def _sync_row(row: asyncpg.Record) -> SyncRow:
    stored = dict(row)
    succeeded = {"synced": True, "failed": False}.get(stored.pop("status"))
    del stored["asked_at"]
    return SyncRow(**stored, succeeded=succeeded)
