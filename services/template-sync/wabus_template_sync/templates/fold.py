"""What the events add up to for a template: one row, and its versions. Pure.

Every part of a row is a register that the greatest fact wins, so the order in which facts arrive, and how often, makes
no difference. Which fact is greater, and what Meta's words mean, is said once for everybody in
`wabus_whatsapp.templates.state`:

- the template as it was told whole last (`TemplateChanged`, `TemplateRemoved`): what a subscriber believes;
- over it, what Meta's webhooks told of one aspect each, until Graph was asked after that: about this template
  (`asked_at`), or about all of the WABA's (a sync that ended well).

So what is shown is what a subscriber believes as soon as every difference between the two has been told, and what
Meta has as soon as Graph was asked: a sync compares its listing with what was told, and tells what differs. A webhook
about a template that was never told whole is remembered, and shows once the template does. What can be seen of a
template changes in versions: `step`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from wabus_events import (
    Event,
    Template,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateConfirmed,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
)
from wabus_whatsapp.templates.parse import Aspects, changed_fields, with_aspects
from wabus_whatsapp.templates.state import (
    DELETED,
    Place,
    asked_at,
    is_overruled,
    place_of,
    rejected_reason_after,
    status_after,
)

from wabus_template_sync.templates.sync_fold import Stamp

Aspect = Literal["status", "quality", "category"]


@dataclass(frozen=True, slots=True)
class WebhookValue:
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
    announced: Template | None = None
    """As it was told whole last."""
    announced_place: Place | None = None
    present: bool = False
    """Whether it was there, as it was told last."""
    presence_place: Place | None = None
    first_listed_at: datetime | None = None
    asked_at: datetime | None = None
    """When Graph was asked for it last, and what it said is in `announced`."""
    told: dict[Aspect, WebhookValue] = field(default_factory=dict[Aspect, WebhookValue])
    version: Version | None = None
    in_doubt: bool = False
    """Whether a superseded version may have been told last, by a release that did not tell them in order."""

    @property
    def believed(self) -> Template | None:
        """The template as a subscriber has it who follows what is told."""
        return self.announced if self.present else None

    @property
    def shown(self) -> Template | None:
        """What readers see: the template, unless Meta no longer has it."""
        return None if self.removed_at else self.template

    @property
    def template(self) -> Template | None:
        """The template as it is by everything we know."""
        return with_webhooks(self.announced, self.told) if self.announced else None

    @property
    def removed_at(self) -> datetime | None:
        """Since when Meta no longer has it, if so."""
        if self.presence_place and not self.present:
            return self.presence_place[1]
        status = self.told.get("status")
        return status.stamp[0] if status and status.value == DELETED else None

    @property
    def updated_at(self) -> datetime | None:
        places = [place[1] for place in (self.announced_place, self.presence_place) if place]
        return max([*places, *(told.stamp[0] for told in self.told.values())], default=None)

    @property
    def is_empty(self) -> bool:
        return self.presence_place is None and not self.told

    @property
    def told_number(self) -> int:
        """The number of the version that was told last; 0 where none was, or by a release that told no numbers."""
        return max(place[0] if place else 0 for place in (self.announced_place, self.presence_place))

    @property
    def next_number(self) -> int:
        """The number of a version that what is to be told makes: greater than any told or seen so far."""
        return max(self.told_number, self.version.number if self.version else 0) + 1

    def told_since(self, asked: datetime) -> dict[Aspect, WebhookValue]:
        """What webhooks told that an answer of Graph's, asked for at `asked`, does not overrule."""
        return {aspect: told for aspect, told in self.told.items() if not is_overruled(told.stamp[0], asked)}


def with_webhooks(template: Template, told: Mapping[Aspect, WebhookValue]) -> Template:
    """A template with what webhooks told since. It has no fingerprint then, unless they told what it was already."""
    status, quality, category = told.get("status"), told.get("quality"), told.get("category")
    return with_aspects(
        template,
        Aspects(
            status=status.value if status else template.status,
            category=category.value if category else template.category,
            quality=quality.value if quality else template.quality,
            rejected_reason=status.reason if status else template.rejected_reason,
        ),
    )


def fold_template(row: TemplateRow, event: Event) -> TemplateRow:
    """Take in what was told whole, or what a webhook says; `drop_overruled` afterwards."""
    stamp = (event.time, event.id)
    match event:
        case TemplateChanged() | TemplateRemoved():
            return _announced(row, event)
        case TemplateConfirmed():
            row = replace(row, asked_at=_later(row.asked_at, event.time))
            number = row.announced_place[0] if row.announced_place else 0
            if row.announced and event.fingerprint and (event.version_number or 0) == number:
                row = replace(row, announced=row.announced.model_copy(update={"fingerprint": event.fingerprint}))
            return row
        case TemplateStatusChanged():
            status = status_after(event.event)
            if status is None:
                return row
            return _tell(row, "status", WebhookValue(status, stamp, rejected_reason_after(event.event, event.reason)))
        case TemplateQualityChanged():
            return _tell(row, "quality", WebhookValue(event.new_quality.upper(), stamp))
        case TemplateCategoryChanged(new_category=str() as category) if category:
            return _tell(row, "category", WebhookValue(category.upper(), stamp))
        case _:
            return row


def step(row: TemplateRow, event: Event, confirmed_at: datetime | None) -> tuple[TemplateRow, Superseded | None]:
    """Take in the next event in the order of the log; also the version that it put an end to, if it did."""
    new = drop_overruled(fold_template(row, event), confirmed_at)
    doubted = _leaves_doubt(event)
    if doubted is not None and doubted != new.in_doubt:
        new = replace(new, in_doubt=doubted)
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
    if isinstance(event, TemplateChanged | TemplateRemoved):
        number = max(number, event.version_number or 0)
    version = Version(number, kind, fields, event.time, event.id, _source(event))
    return replace(new, version=version), Superseded(row.version, before) if row.version else None


def drop_overruled(row: TemplateRow, confirmed_at: datetime | None) -> TemplateRow:
    """Forget what webhooks told before Graph was asked, for this template or (`confirmed_at`) for all of the WABA's."""
    asked = _later(row.asked_at, confirmed_at)
    if not row.told or asked is None:
        return row
    kept = row.told_since(asked)
    return row if len(kept) == len(row.told) else replace(row, told=kept)


def _source(event: Event) -> Literal["sync", "fetch", "webhook"]:
    match event:
        case TemplateChanged(observed=True) | TemplateRemoved(observed=True) | TemplateConfirmed():
            return "fetch" if event.caused_by else "sync"
        case TemplatesSynced():
            return "sync"
        case _:
            return "webhook"


def _leaves_doubt(event: Event) -> bool | None:
    """Whether followers may hold a superseded version after an event; None where it makes no difference."""
    match event:
        case TemplateChanged(observed=False, version_number=None):
            return True
        case TemplateChanged() | TemplateRemoved():
            return False
        case _:
            return None


def _announced(row: TemplateRow, event: TemplateChanged | TemplateRemoved) -> TemplateRow:
    place = place_of(event)
    if place is None:
        return row
    if asked := asked_at(event):
        row = replace(row, asked_at=_later(row.asked_at, asked))
    if row.presence_place is None or row.presence_place < place:
        row = replace(row, present=isinstance(event, TemplateChanged), presence_place=place)
    if isinstance(event, TemplateRemoved):
        return row
    if row.announced_place is None or row.announced_place < place:
        row = replace(row, announced=event.template, announced_place=place)
    return replace(row, first_listed_at=min(row.first_listed_at or event.time, event.time))


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def _tell(row: TemplateRow, aspect: Aspect, told: WebhookValue) -> TemplateRow:
    known = row.told.get(aspect)
    if known is not None and known.stamp >= told.stamp:
        return row
    return replace(row, told={**row.told, aspect: told})
