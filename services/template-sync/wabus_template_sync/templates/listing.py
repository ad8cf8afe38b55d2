"""A WABA's templates at Meta compared with ours, page by page, keeping only what may differ in memory. Pure.

What may differ is kept as JSON until it is compared: as a `Template` it takes ten times as much.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import structlog
from prometheus_client import Counter
from wabus_events import Template
from wabus_whatsapp.templates.parse import (
    Aspects,
    Counts,
    Differences,
    UnreadableTemplate,
    aspects_of,
    counts,
    fingerprint_of,
    parse_readable,
    readable,
    with_aspects,
)

from wabus_template_sync.templates.comparison import compared
from wabus_template_sync.templates.fold import TemplateRow

UNREADABLE = Counter("wabus_unreadable_templates_total", "Templates listed that can't be read.")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Listed:
    """What a new listing is compared with first: little of each template, for there may be thousands."""

    status: str | None
    fingerprint: str | None
    present: bool
    asked_at: datetime | None
    """When Graph was asked for it last."""
    is_settled: bool
    """Whether followers have it as Graph had it then: no webhook has told more since, and nothing is in doubt."""


@dataclass(slots=True)
class Listing:
    """What Graph listed, as of when we began to ask.

    Of each template what webhooks may tell, and as JSON those that may differ from what was told of them.
    """

    waba_id: str
    known: Mapping[str, Listed]
    aspects: dict[str, Aspects] = field(default_factory=dict[str, Aspects])
    looked_at: dict[str, tuple[bytes, str | None]] = field(default_factory=dict[str, tuple[bytes, str | None]])
    """Each with its fingerprint."""
    set_apart: set[str] = field(default_factory=set[str])
    """Those that can't be read as Graph lists them now, which stay as they were told."""

    def take(self, page: Iterable[Any]) -> None:
        """Take in a page; of a template listed twice the last stands."""
        for raw in page:
            fingerprint = fingerprint_of(raw)
            identifier = str(raw.get("id")) if isinstance(raw, dict) else ""
            before = self.known.get(identifier)
            if before and before.present and before.is_settled and fingerprint and before.fingerprint == fingerprint:
                self.looked_at.pop(identifier, None)
                self.aspects[identifier] = aspects_of(raw)
                continue
            try:
                identifier, storable = readable(raw)
            except UnreadableTemplate as error:
                UNREADABLE.inc()
                self.set_apart.add(identifier)
                log.warning("unreadable template", action="template_skipped", waba_id=self.waba_id, reason=str(error))
                continue
            # Copied, for orjson's own results hold a buffer of 4 KB, however little is in it.
            self.looked_at[identifier] = bytes(memoryview(orjson.dumps(storable))), fingerprint
            self.aspects[identifier] = aspects_of(storable)

    def to_compare(self, now: Mapping[str, Listed], observed_at: datetime) -> list[str]:
        """The templates that a comparison must see whole: those that may have changed, and those that are gone."""
        listed = self.aspects.keys() | self.set_apart
        gone = {template_id for template_id, one in now.items() if one.present and template_id not in listed}
        alike = self.aspects.keys() - self.looked_at.keys()
        told_since = {template_id for template_id in alike if now.get(template_id) != self.known[template_id]}
        wanted = self.looked_at.keys() | gone | told_since
        return sorted(template_id for template_id in wanted if not _is_later(now.get(template_id), observed_at))

    def differences(self, wanted: Sequence[str], rows: Sequence[TemplateRow], observed_at: datetime) -> Differences:
        """What changes about some of the templates `to_compare`; `rows` are those of them that we have."""
        listed: list[Template] = []
        for template_id in wanted:
            if template_id in self.looked_at:
                raw, fingerprint = self.looked_at[template_id]
                listed.append(parse_readable(template_id, orjson.loads(raw), fingerprint))
        # Graph listed these as we had them when it was asked. Only webhooks can have been told of them since.
        listed += [
            with_aspects(row.announced, self.aspects[row.template_id])
            for row in rows
            if row.announced and row.template_id in self.aspects and row.template_id not in self.looked_at
        ]
        return compared(rows, listed, observed_at)

    def counts(self, now: Mapping[str, Listed], observed_at: datetime) -> Counts:
        """How many templates there are, with what became known of some of them since."""
        statuses = {template_id: aspects.status for template_id, aspects in self.aspects.items()}
        for template_id, one in now.items():
            if _is_later(one, observed_at) or template_id in self.set_apart:
                statuses.pop(template_id, None)
                if one.present and one.status:
                    statuses[template_id] = one.status
        return counts(statuses.values())


def _is_later(one: Listed | None, observed_at: datetime) -> bool:
    """Whether Graph was asked for the template itself after this listing began."""
    return one is not None and one.asked_at is not None and one.asked_at > observed_at
