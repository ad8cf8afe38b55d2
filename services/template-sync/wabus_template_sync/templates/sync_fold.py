"""What the events of accounts and of syncs add up to: one row each. Pure; the same in whatever order they arrive."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    Event,
    TemplatesSynced,
    TemplateSyncFailed,
    TemplateSyncProgressed,
    TemplateSyncRequested,
    TemplateSyncStarted,
)

from wabus_template_sync.templates.facts import connect_sync_id

Stamp = tuple[datetime, str]
"""A fact's time and id: the larger of two stands."""

FIGURES = {"total", "approved", "by_status", "added", "changed", "removed"}
ERROR = {"code", "message", "retryable"}


@dataclass(frozen=True, slots=True)
class AccountRow:
    """Who has the WABA connected: whoever connected it last, unless it was disconnected since."""

    waba_id: str
    connected: Stamp | None = None
    org_id: str | None = None
    sync_id: str | None = None
    """The sync that the last connect asks for."""
    first_connected_at: datetime | None = None
    disconnected: Stamp | None = None

    @property
    def is_connected(self) -> bool:
        return self.connected is not None and (self.disconnected is None or self.disconnected < self.connected)


@dataclass(frozen=True, slots=True)
class SyncRow:
    sync_id: str
    waba_id: str
    org_id: str | None = None
    reason: str | None = None
    requested_at: datetime | None = None
    requested_by: str | None = None
    begun_at: datetime | None = None
    outcome_id: str | None = None
    finished_at: datetime | None = None
    started_at: datetime | None = None
    """When the sync that ended had started; see `began`."""
    succeeded: bool | None = None
    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of a success: total, approved, by_status, added, changed, removed."""
    error: dict[str, Any] = field(default_factory=dict[str, Any])
    """Of a failure: code, message, retryable."""
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    """While it runs: fetched, expected, and when the run began that this is about."""

    @property
    def asked_at(self) -> datetime | None:
        """When it was first heard of."""
        told = self.progress.get("started_at")
        progressed_at = datetime.fromisoformat(told) if told else None
        return min(filter(None, (self.requested_at, self.begun_at, self.started_at, progressed_at)), default=None)

    @property
    def began(self) -> datetime | None:
        return self.started_at or self.begun_at

    @property
    def status(self) -> Literal["requested", "syncing", "synced", "failed"]:
        if self.succeeded is not None:
            return "synced" if self.succeeded else "failed"
        return "syncing" if self.begun_at else "requested"


def fold_account(row: AccountRow, event: Event) -> AccountRow:
    stamp = (event.time, event.id)
    match event:
        case AccountConnected():
            first = min(filter(None, (row.first_connected_at, event.time)))
            row = replace(row, first_connected_at=first)
            if row.connected is None or row.connected < stamp:
                return replace(row, connected=stamp, org_id=event.org_id, sync_id=connect_sync_id(event))
        case AccountDisconnected():
            if row.disconnected is None or row.disconnected < stamp:
                return replace(row, disconnected=stamp)
        case _:
            pass
    return row


def fold_sync(row: SyncRow, event: Event) -> SyncRow:
    match event:
        case TemplateSyncRequested():
            if row.requested_at and row.requested_at <= event.time:
                return row  # somebody joins a sync that was asked for before
            return replace(
                row,
                org_id=event.org_id,
                reason=row.reason if row.began else event.reason,
                requested_at=event.time,
                requested_by=event.requested_by,
            )
        case TemplateSyncProgressed():
            told = {"started_at": _text(event.started_at), "fetched": event.fetched, "expected": event.expected}
            place = ("started_at", "fetched")
            if row.progress and [row.progress[key] for key in place] >= [told[key] for key in place]:
                return row
            return replace(row, org_id=row.org_id or event.org_id, progress=told)
        case TemplateSyncStarted():
            begun_at = max(filter(None, (row.begun_at, event.time)))
            return replace(row, org_id=event.org_id, reason=event.reason, begun_at=begun_at)
        case TemplatesSynced() | TemplateSyncFailed():
            if row.finished_at and row.outcome_id and (row.finished_at, row.outcome_id) >= (event.time, event.id):
                return row
            good = isinstance(event, TemplatesSynced)
            return replace(
                row,
                org_id=event.org_id,
                reason=event.reason,
                outcome_id=event.id,
                finished_at=event.time,
                started_at=event.started_at,
                succeeded=good,
                figures=event.model_dump(include=FIGURES) if good else {},
                error={} if good else event.model_dump(include=ERROR),
            )
        case _:
            return row


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()
