"""What the events add up to: one row an account, one a template, one a sync. Pure.

Every part of a row is a register that the newest fact wins (by its time, then its id), so the order in which facts
arrive, and how often, makes no difference. Two sources speak of a template:

- Graph's listing (`TemplateChanged`, `TemplateRemoved`), as of when that listing began;
- webhooks, which tell of one status, quality or category each, and may come late, twice or before the listing.

A webhook overrides the listing until a sync that began after it has ended: from then on Graph has had its say,
and a webhook older than that changes nothing any more. Meta's webhook times are whole seconds, so one from the
very second in which the listing began counts as newer. A webhook about a template that no listing has shown yet
is remembered, and shows once the template does.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    Event,
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

from wabus_template_sync.facts import connect_sync_id

Stamp = tuple[datetime, str]
"""A fact's time and id: the larger of two stands."""

Aspect = Literal["status", "quality", "category"]

DELETED = "DELETED"
STATUS_AFTER = {"REINSTATED": "APPROVED", "UNPAUSED": "APPROVED", "UNARCHIVED": "APPROVED"}
STATUS_UNTOUCHED = {"FLAGGED", "UNFLAGGED", "LOCKED", "UNLOCKED"}
"""Events of `message_template_status_update` after which Graph lists the status it listed before."""


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
class Told:
    """What a webhook said of one aspect of a template."""

    value: str
    stamp: Stamp
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TemplateRow:
    waba_id: str
    template_id: str
    listed: Template | None = None
    """As Graph listed it last."""
    listed_stamp: Stamp | None = None
    present: bool = False
    """Whether Graph's last listing had it."""
    presence_stamp: Stamp | None = None
    first_listed_at: datetime | None = None
    told: dict[Aspect, Told] = field(default_factory=dict[Aspect, Told])

    @property
    def template(self) -> Template | None:
        """The template as it is by everything we know."""
        if self.listed is None or not self.told:
            return self.listed
        changes: dict[str, Any] = {aspect: told.value for aspect, told in self.told.items()}
        if "status" in self.told:
            changes["rejected_reason"] = self.told["status"].reason
        return self.listed.model_copy(update=changes)

    @property
    def removed_at(self) -> datetime | None:
        """Since when Meta no longer has it, if so."""
        if self.presence_stamp and not self.present:
            return self.presence_stamp[0]
        status = self.told.get("status")
        return status.stamp[0] if status and status.value == DELETED else None

    @property
    def updated_at(self) -> datetime | None:
        stamps = [self.listed_stamp, self.presence_stamp, *(told.stamp for told in self.told.values())]
        return max((stamp[0] for stamp in stamps if stamp), default=None)

    @property
    def is_empty(self) -> bool:
        return self.presence_stamp is None and not self.told


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

    @property
    def asked_at(self) -> datetime | None:
        """When it was first heard of."""
        return min(filter(None, (self.requested_at, self.begun_at, self.started_at)), default=None)

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


def fold_template(row: TemplateRow, event: Event) -> TemplateRow:
    """Take in what Graph or a webhook says; `settle` afterwards."""
    stamp = (event.time, event.id)
    match event:
        case TemplateChanged():
            first = min(filter(None, (row.first_listed_at, event.time)))
            row = replace(row, first_listed_at=first)
            if row.listed_stamp is None or row.listed_stamp < stamp:
                row = replace(row, listed=event.template, listed_stamp=stamp)
            return _presence(row, True, stamp)
        case TemplateRemoved():
            return _presence(row, False, stamp)
        case TemplateStatusChanged():
            if event.event.upper() in STATUS_UNTOUCHED:
                return row
            status = STATUS_AFTER.get(event.event.upper(), event.event.upper())
            reason = None if event.reason in ("", "NONE") else event.reason
            return _tell(row, "status", Told(status, stamp, reason))
        case TemplateQualityChanged():
            return _tell(row, "quality", Told(event.new_quality.upper(), stamp))
        case TemplateCategoryChanged(new_category=str() as category) if category:
            return _tell(row, "category", Told(category.upper(), stamp))
        case _:
            return row


def settle(row: TemplateRow, confirmed_at: datetime | None) -> TemplateRow:
    """Forget what webhooks said before Graph's last word: this template's, or the WABA's last sync that ended well."""
    heard = [row.presence_stamp[0]] if row.presence_stamp else []
    heard += [confirmed_at] if confirmed_at else []
    if not row.told or not heard:
        return row
    since = max(heard).replace(microsecond=0)
    kept = {aspect: told for aspect, told in row.told.items() if told.stamp[0] >= since}
    return row if len(kept) == len(row.told) else replace(row, told=kept)


def fold_sync(row: SyncRow, event: Event) -> SyncRow:
    match event:
        case TemplateSyncRequested():
            return replace(
                row,
                org_id=event.org_id,
                reason=event.reason,
                requested_at=event.time,
                requested_by=event.requested_by,
            )
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


FIGURES = {"total", "approved", "by_status", "added", "changed", "removed"}
ERROR = {"code", "message", "retryable"}


def _presence(row: TemplateRow, present: bool, stamp: Stamp) -> TemplateRow:
    if row.presence_stamp is None or row.presence_stamp < stamp:
        return replace(row, present=present, presence_stamp=stamp)
    return row


def _tell(row: TemplateRow, aspect: Aspect, told: Told) -> TemplateRow:
    known = row.told.get(aspect)
    if known is not None and known.stamp >= told.stamp:
        return row
    return replace(row, told={**row.told, aspect: told})
