"""A WABA's templates at Meta compared with ours, page by page, keeping only what may differ in memory. Pure.

What may differ is kept as JSON until it is compared: as a `Template` it takes ten times as much.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
import structlog
from prometheus_client import Counter
from wabus_events import Template

from wabus_template_sync.fold import TemplateRow
from wabus_template_sync.queries import Listed
from wabus_template_sync.templates import (
    Counts,
    Differences,
    UnreadableTemplate,
    counts,
    diff,
    fingerprint_of,
    parse_readable,
    readable,
    status_of,
)

UNREADABLE = Counter("wabus_unreadable_templates_total", "Templates listed without an id or a name.")

log = structlog.get_logger()


@dataclass(slots=True)
class Listing:
    """What Graph listed, as of when we began to ask: each template's status, and as JSON those that may differ."""

    waba_id: str
    known: Mapping[str, Listed]
    statuses: dict[str, str] = field(default_factory=dict[str, str])
    looked_at: dict[str, tuple[bytes, str | None]] = field(default_factory=dict[str, tuple[bytes, str | None]])
    """Each with its fingerprint."""

    def take(self, page: Iterable[Any]) -> None:
        """Take in a page; of a template listed twice the last stands."""
        for raw in page:
            fingerprint = fingerprint_of(raw)
            identifier = str(raw.get("id")) if isinstance(raw, dict) else ""
            before = self.known.get(identifier)
            if before and before.present and not before.told and fingerprint and before.fingerprint == fingerprint:
                self.looked_at.pop(identifier, None)
                self.statuses[identifier] = status_of(raw)
                continue
            try:
                identifier, storable = readable(raw)
            except UnreadableTemplate as error:
                UNREADABLE.inc()
                log.warning("unreadable template", action="template_skipped", waba_id=self.waba_id, reason=str(error))
                continue
            # Copied, for orjson's own results hold a buffer of 4 KB, however little is in it.
            self.looked_at[identifier] = bytes(memoryview(orjson.dumps(storable))), fingerprint
            self.statuses[identifier] = status_of(storable)

    def to_compare(self, now: Mapping[str, Listed], observed_at: datetime) -> list[str]:
        """The templates that a comparison must see whole: those that may have changed, and those that are gone."""
        gone = [template_id for template_id, one in now.items() if one.present and template_id not in self.statuses]
        return sorted(one for one in {*self.looked_at, *gone} if not _is_later(now.get(one), observed_at))

    def differences(self, wanted: Sequence[str], rows: Sequence[TemplateRow], observed_at: datetime) -> Differences:
        """What changes about some of the templates `to_compare`; `rows` are those of them that we have.

        What Graph or a webhook said of a template after we began to ask stays: it is newer than this listing.
        """
        listed: list[Template] = []
        for template_id in wanted:
            if template_id in self.looked_at:
                raw, fingerprint = self.looked_at[template_id]
                listed.append(parse_readable(template_id, orjson.loads(raw), fingerprint))
        known = {row.template_id: row.listed for row in rows if row.present and row.listed}
        since = observed_at.replace(microsecond=0)
        told: dict[str, Template] = {}
        for row in rows:
            earlier = {aspect: said for aspect, said in row.told.items() if said.stamp[0] < since}
            template = replace(row, told=earlier).template
            if earlier and template and row.present:
                told[row.template_id] = template
        return diff(known, listed, told)

    def counts(self, now: Mapping[str, Listed], observed_at: datetime) -> Counts:
        """How many templates there are, with what became known of some of them since."""
        statuses = dict(self.statuses)
        for template_id, one in now.items():
            if _is_later(one, observed_at):
                statuses.pop(template_id, None)
                if one.present and one.status:
                    statuses[template_id] = one.status
        return counts(statuses.values())


def _is_later(one: Listed | None, observed_at: datetime) -> bool:
    """Whether Graph was asked for the template itself after this listing began."""
    return one is not None and one.presence_at is not None and one.presence_at > observed_at
