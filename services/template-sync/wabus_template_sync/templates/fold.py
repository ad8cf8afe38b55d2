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
from wabus_whatsapp.templates.explanation import Explanation, explanation_of
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

EXPLAINED = frozenset({"PAUSED", "REJECTED"})
"""The statuses of which Meta's webhooks say more than Graph lists."""


@dataclass(frozen=True, slots=True)
class WebhookValue:
    """What a webhook said of one aspect of a template."""

    value: str
    stamp: Stamp
    reason: str | None = None
    is_disputed: bool = False
    """Whether another webhook of the same second told otherwise: then Meta alone knows which came later."""


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
    org_id: str | None = None
    """For which organisation it was told."""


@dataclass(frozen=True, slots=True)
class TemplateRow:
    waba_id: str
    template_id: str
    org_id: str | None = None
    """The organisation for which it was told last; None where an earlier release did not note it."""
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
    explained: Explanation | None = None
    """What Meta's webhooks last said beside a status."""
    left_at: datetime | None = None
    """When it was told last that it is no longer paused or rejected."""
    number_before: int = 0
    """The number of the last version that was told for another organisation."""

    def known_to(self, org_id: str | None) -> "TemplateRow":
        """What this organisation may know of it: of what was told for another one nothing but its last number."""
        if self.org_id in (None, org_id):
            return self
        return TemplateRow(self.waba_id, self.template_id, told=self.told, number_before=self.next_number - 1)

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
    def explanation(self) -> Explanation | None:
        """What Meta said of the status that it has now, unless it has had another one in between."""
        template, explained = self.template, self.explained
        if template is None or explained is None or explained.status != template.status:
            return None
        return explained if self.left_at is None or self.left_at <= explained.told_at else None

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
        explained_at = self.explained.told_at if self.explained else None
        return max([*places, *(told.stamp[0] for told in self.told.values())], default=explained_at)

    @property
    def is_empty(self) -> bool:
        return self.presence_place is None and not self.told and self.explained is None

    @property
    def told_number(self) -> int:
        """The number of the version that was told last; 0 where none was, or by a release that told no numbers."""
        return max(
            self.number_before, *(place[0] if place else 0 for place in (self.announced_place, self.presence_place))
        )

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
            explained = explanation_of(event.event, event.value, event.time, event.id)
            if explained and (row.explained is None or _place_of(row.explained) < _place_of(explained)):
                row = replace(row, explained=explained)
            return _told_by(row, event)
        case TemplateQualityChanged() | TemplateCategoryChanged():
            return _told_by(row, event)
        case _:
            return row


def word_of(event: Event) -> tuple[Aspect, WebhookValue] | None:
    """The aspect of which a webhook tells, and what; None where it tells nothing that Graph would list."""
    stamp = (event.time, event.id)
    match event:
        case TemplateStatusChanged():
            status = status_after(event.event)
            if status is None:
                return None
            return "status", WebhookValue(status, stamp, rejected_reason_after(event.event, event.reason))
        case TemplateQualityChanged():
            return "quality", WebhookValue(event.new_quality.upper(), stamp)
        case TemplateCategoryChanged(new_category=str() as category) if category:
            return "category", WebhookValue(category.upper(), stamp)
        case _:
            return None


def is_disputed(row: TemplateRow, event: Event) -> bool:
    """Whether a webhook, and another of the same second about the same aspect, tell what can't both stand."""
    word = word_of(event)
    known = word and row.told.get(word[0])
    return bool(known and known.is_disputed and known.stamp[0] == event.time)


def step(row: TemplateRow, event: Event, confirmed_at: datetime | None) -> tuple[TemplateRow, Superseded | None]:
    """Take in the next event in the order of the log; also the version that it put an end to, if it did."""
    old = row
    if _begins_anew(row, event):
        row = row.known_to(event.org_id)
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
    number = row.version.number + 1 if row.version else row.number_before + 1
    if isinstance(event, TemplateChanged | TemplateRemoved):
        number = max(number, event.version_number or 0)
    version = Version(number, kind, fields, event.time, event.id, _source(event))
    return replace(new, version=version), Superseded(old.version, old.shown, old.org_id) if old.version else None


def _begins_anew(row: TemplateRow, event: Event) -> bool:
    """Whether a template is told for the first time for an organisation that has the account from another."""
    if not isinstance(event, TemplateChanged | TemplateRemoved) or event.org_id is None:
        return False
    if row.known_to(event.org_id) is row:
        return False
    place = place_of(event)
    return place is not None and (row.presence_place is None or row.presence_place < place)


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
        row = replace(row, present=isinstance(event, TemplateChanged), presence_place=place, org_id=event.org_id)
    if isinstance(event, TemplateRemoved):
        return row
    if event.previous and event.previous.status in EXPLAINED and event.previous.status != event.template.status:
        row = replace(row, left_at=_later(row.left_at, event.time))
    if row.announced_place is None or row.announced_place < place:
        row = replace(row, announced=event.template, announced_place=place)
    return replace(row, first_listed_at=min(row.first_listed_at or event.time, event.time))


def _place_of(explanation: Explanation) -> Stamp:
    return explanation.told_at, explanation.event_id


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def _told_by(row: TemplateRow, event: Event) -> TemplateRow:
    word = word_of(event)
    if word is None:
        return row
    aspect, told = word
    known = row.told.get(aspect)
    if known is not None:
        same_second, differ = known.stamp[0] == told.stamp[0], known.value != told.value
        told = max(known, told, key=lambda one: one.stamp)
        if same_second:
            told = replace(told, is_disputed=known.is_disputed or differ)
    if told == known:
        return row
    return replace(row, told={**row.told, aspect: told})
