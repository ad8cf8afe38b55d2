"""What is told of templates: how they differ from what was told of them last. Pure.

Whatever leads there, an answer of Graph's or a webhook, the difference is taken from what was *told*, in the order in
which it was told, and the version that it makes has a greater number. So whoever follows ends where we are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from wabus_events import Template, TemplateChanged, TemplateConfirmed, TemplateRemoved, WabaEvent, fact_id
from wabus_whatsapp.templates.parse import Differences, changed_fields, diff
from wabus_whatsapp.templates.state import DELETED

from wabus_template_sync.templates.fold import TemplateRow, with_webhooks


def compared(rows: Iterable[TemplateRow], listed: Iterable[Template], asked_at: datetime) -> Differences:
    """How templates that Graph was asked for at `asked_at` differ from what was told of them; `rows` are theirs.

    What webhooks told since stays, for it is newer than Graph's answer; a template that they told to be deleted is none
    of this answer's business.
    """
    known = {row.template_id: row for row in rows}
    now: dict[str, Template] = {}
    for template in listed:
        row = known.get(template.template_id)
        now[template.template_id] = with_webhooks(template, row.told_since(asked_at)) if row else template
    now = {template_id: template for template_id, template in now.items() if template.status != DELETED}
    before = {
        template_id: row.believed
        for template_id, row in known.items()
        if row.believed and not _is_deleted_since(row, asked_at)
    }
    return diff(before, now.values(), {template_id for template_id, row in known.items() if row.in_doubt})


def changes(
    differences: Differences, rows: Iterable[TemplateRow], asked_at: datetime, about: Mapping[str, Any], *because: str
) -> list[WabaEvent]:
    """What is told after an answer of Graph's, asked for at `asked_at`. `rows` are those of the templates that we have,
    `about` are fields that all events get, and `because` is what tells this answer apart from others in their ids.
    """
    known = {row.template_id: row for row in rows}
    numbers = {template_id: row.next_number for template_id, row in known.items()}
    found: list[tuple[Template, Template | None, tuple[str, ...]]]
    found = [(template, None, ()) for template in differences.added]
    found += [(change.template, change.previous, change.fields) for change in differences.changed]
    events: list[WabaEvent] = [
        TemplateChanged(
            id=fact_id(TemplateChanged.type, *because, template.template_id),
            time=asked_at,
            template=template,
            added=previous is None,
            changed_fields=list(fields),
            previous=previous,
            version_number=numbers.get(template.template_id, 1),
            **about,
        )
        for template, previous, fields in found
    ]
    events += [
        TemplateRemoved(
            id=fact_id(TemplateRemoved.type, *because, template.template_id),
            time=asked_at,
            template_id=template.template_id,
            name=template.name,
            language=template.language,
            version_number=numbers.get(template.template_id, 1),
            **about,
        )
        for template in differences.removed
    ]
    events += [
        TemplateConfirmed(
            id=fact_id(TemplateConfirmed.type, *because, template.template_id),
            time=asked_at,
            template_id=template.template_id,
            version_number=known[template.template_id].told_number or None,
            fingerprint=template.fingerprint,
            **about,
        )
        for template in differences.confirmed
    ]
    return events


def told_of(
    rows: Sequence[TemplateRow], template: Template | None, asked_at: datetime, about: Mapping[str, Any], *because: str
) -> list[WabaEvent]:
    """What is told after Graph was asked for one template, None where it has none. `rows` has the template's, if any.

    An answer that changes nothing is told as a `TemplateConfirmed`: webhooks from before it have lost their say.
    """
    listed = [template] if template else []
    differences = compared(rows, listed, asked_at)
    row = rows[0] if rows else None
    if row and row.believed and template and not _is_deleted_since(row, asked_at) and not differences.changed:
        differences = replace(differences, confirmed=(template,))
    return changes(differences, rows, asked_at, about, *because)


def untold(row: TemplateRow, about: Mapping[str, Any]) -> list[WabaEvent]:
    """What is told of a template after webhooks: nothing, or its one version that stands now."""
    before, after = row.believed, row.shown
    number = row.next_number if row.version is None or row.version.number <= row.told_number else row.version.number
    place: dict[str, Any] = {
        "time": max((told.stamp[0] for told in row.told.values()), default=row.updated_at),
        "version_number": number,
        "observed": False,
        **about,
    }
    if after is None:
        if before is None:
            return []
        return [
            TemplateRemoved(
                id=fact_id(TemplateRemoved.type, row.waba_id, row.template_id, number),
                template_id=row.template_id,
                name=before.name,
                language=before.language,
                **place,
            )
        ]
    fields = sorted(changed_fields(before, after)) if before else []
    if before and not fields:
        return []
    return [
        TemplateChanged(
            id=fact_id(TemplateChanged.type, row.waba_id, row.template_id, number),
            template=after,
            added=before is None,
            changed_fields=fields,
            previous=before,
            **place,
        )
    ]


def _is_deleted_since(row: TemplateRow, asked_at: datetime) -> bool:
    status = row.told_since(asked_at).get("status")
    return status is not None and status.value == DELETED
