"""What the events add up to for a template: one row, and its versions. Pure.

Every part of a row is a register that the newest fact wins (by its time, then its id), so the order in which facts
arrive, and how often, makes no difference. Two sources speak of a template:

- Graph's listing (`TemplateChanged`, `TemplateRemoved`), as of when that listing began;
- webhooks, which tell of one status, quality or category each, and may come late, twice or before the listing.

A webhook overrides the listing until a sync that began after it has ended: from then on Graph has had its say,
and a webhook older than that changes nothing any more. Meta's webhook times are whole seconds, so one from the
very second in which the listing began counts as newer. A webhook about a template that no listing has shown yet
is remembered, and shows once the template does. What can be seen of a template changes in versions: `step`.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from wabus_events import (
    Event,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
)

from wabus_template_sync.sync_fold import Stamp
from wabus_template_sync.templates import changed_fields

Aspect = Literal["status", "quality", "category"]

DELETED = "DELETED"
STATUS_AFTER = {"REINSTATED": "APPROVED", "UNPAUSED": "APPROVED", "UNARCHIVED": "APPROVED"}
STATUS_UNTOUCHED = {"FLAGGED", "UNFLAGGED", "LOCKED", "UNLOCKED"}
"""Events of `message_template_status_update` after which Graph lists the status it listed before."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a webhook said of one aspect of a template."""

    value: str
    stamp: Stamp
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """What made a template what it is, for as long as it is. `fields` are those that differ from the version before."""

    number: int
    kind: Literal["added", "changed", "removed", "restored"]
    fields: tuple[str, ...]
    at: datetime
    event_id: str
    source: Literal["sync", "fetch", "webhook"]


@dataclass(frozen=True, slots=True)
class Superseded:
    """A version that stands no more, with the template as it was; None where there was none."""

    version: Version
    template: Template | None


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
    version: Version | None = None

    @property
    def shown(self) -> Template | None:
        """What readers see: the template, unless Meta no longer has it."""
        return None if self.removed_at else self.template

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


def fold_template(row: TemplateRow, event: Event) -> TemplateRow:
    """Take in what Graph or a webhook says; `settle` afterwards."""
    stamp = (event.time, event.id)
    match event:
        case TemplateChanged(observed=True):
            newer = row.listed_stamp is None or row.listed_stamp < stamp
            latest = row.presence_stamp is None or row.presence_stamp < stamp
            return replace(
                row,
                first_listed_at=min(row.first_listed_at or event.time, event.time),
                listed=event.template if newer else row.listed,
                listed_stamp=stamp if newer else row.listed_stamp,
                present=latest or row.present,
                presence_stamp=stamp if latest else row.presence_stamp,
            )
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


def step(row: TemplateRow, event: Event, confirmed_at: datetime | None) -> tuple[TemplateRow, Superseded | None]:
    """Take in the next event in the order of the log; also the version that it put an end to, if it did."""
    new = settle(fold_template(row, event), confirmed_at)
    before, after = row.shown, new.shown
    if before is after or new is row:
        return new, None
    fields = tuple(sorted(changed_fields(before, after))) if before and after else ()
    match before, after:
        case None, None:
            return new, None
        case Template(), Template():
            kind = "changed"
        case None, _:
            kind = "restored" if row.version else "added"
        case _:
            kind = "removed"
    if kind == "changed" and not fields:
        return new, None
    number = row.version.number + 1 if row.version else 1
    version = Version(number, kind, fields, event.time, event.id, _source(event))
    return replace(new, version=version), Superseded(row.version, before) if row.version else None


def settle(row: TemplateRow, confirmed_at: datetime | None) -> TemplateRow:
    """Forget what webhooks said before Graph's last word: this template's, or the WABA's last sync that ended well."""
    heard = [row.presence_stamp[0]] if row.presence_stamp else []
    heard += [confirmed_at] if confirmed_at else []
    if not row.told or not heard:
        return row
    since = max(heard).replace(microsecond=0)
    kept = {aspect: told for aspect, told in row.told.items() if told.stamp[0] >= since}
    return row if len(kept) == len(row.told) else replace(row, told=kept)


def _source(event: Event) -> Literal["sync", "fetch", "webhook"]:
    match event:
        case TemplateChanged() | TemplateRemoved():
            return "fetch" if event.caused_by else "sync"
        case TemplatesSynced():
            return "sync"
        case _:
            return "webhook"


def _presence(row: TemplateRow, present: bool, stamp: Stamp) -> TemplateRow:
    if row.presence_stamp is None or row.presence_stamp < stamp:
        return replace(row, present=present, presence_stamp=stamp)
    return row


def _tell(row: TemplateRow, aspect: Aspect, told: Told) -> TemplateRow:
    known = row.told.get(aspect)
    if known is not None and known.stamp >= told.stamp:
        return row
    return replace(row, told={**row.told, aspect: told})
