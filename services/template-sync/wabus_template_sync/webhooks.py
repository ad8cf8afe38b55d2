"""After a webhook about one template: tell the change whole, and ask Graph for it where the webhook says too little.

The tables take a webhook's status, quality and category at once (`fold.py`). Here `TemplateChanged` follows from it,
with before and after, so that whoever subscribes needs no other event to know each template as it is.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Counter
from wabus_events import (
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplateStatusChanged,
    TemplateSyncRequested,
    WabaEvent,
    fact_id,
)
from wabus_runtime.graph import Graph, Rest
from wabus_runtime.graph_errors import AccountNotFound, GraphError

from wabus_template_sync.access import Access
from wabus_template_sync.failures import SyncFailure
from wabus_template_sync.fold import STATUS_AFTER, TemplateRow
from wabus_template_sync.graph import one_template
from wabus_template_sync.queries import last_sync, owner, template_rows, transition
from wabus_template_sync.templates import UnreadableTemplate, diff, fingerprint_of, parse_template

DELETIONS = {"DELETED", "PENDING_DELETION"}
PLAIN_STATUSES = {"REJECTED", "PENDING", "PAUSED", "DISABLED", "IN_APPEAL", "ARCHIVED", "LIMIT_EXCEEDED", *STATUS_AFTER}
"""Events of `message_template_status_update` after which nothing but the status is other than before."""

FETCHES = Counter("wabus_template_fetches_total", "Single templates fetched after a webhook.", ["outcome"])

log = structlog.get_logger()

AboutTemplate = TemplateStatusChanged | TemplateQualityChanged | TemplateCategoryChanged | TemplateComponentsChanged
FOLLOWED = (TemplateStatusChanged, TemplateQualityChanged, TemplateCategoryChanged, TemplateComponentsChanged)

Publish = Callable[[Sequence[WabaEvent]], Awaitable[object]]


def says_too_little(event: AboutTemplate, row: TemplateRow | None) -> bool:
    """Whether Graph must be asked for the template, given what is known of it with the webhook taken in."""
    known = row is not None and row.present and row.listed is not None
    match event:
        case TemplateComponentsChanged():
            return True
        case TemplateStatusChanged():
            status = event.event.upper()
            if status == "DELETED":
                return known
            # What is approved was reviewed, and may have been edited before; what Meta may send one day is unknown.
            return not known or status not in PLAIN_STATUSES
        case TemplateCategoryChanged():
            return not known or not event.new_category
        case TemplateQualityChanged():
            return not known


def is_deletion(event: AboutTemplate) -> bool:
    return isinstance(event, TemplateStatusChanged) and event.event.upper() in DELETIONS


@dataclass(frozen=True)
class Follower:
    """What following a webhook needs."""

    access: Access
    graph: Graph

    async def follow(
        self,
        event: AboutTemplate,
        *,
        logged_at: datetime,
        publish: Publish,
        comparing: AbstractAsyncContextManager[Any],
        catch_up: Callable[[], Awaitable[None]],
        rest: Rest,
    ) -> None:
        """Publish what a webhook led to. The tables must have it; nobody publishes about the WABA inside `comparing`.

        What can't be fetched now is left to a full sync. Raises what `publish` and `catch_up` raise.
        """
        pool, waba_id, template_id = self.access.pool, event.waba_id, event.template_id
        org_id = await owner(pool, waba_id)
        if org_id is None:
            return
        about: dict[str, Any] = {"org_id": org_id, "waba_id": waba_id, "traceparent": event.traceparent}
        if step := await transition(pool, waba_id, template_id, event.id):
            version, before, after = step
            if after is not None:
                told = TemplateChanged(
                    id=fact_id(TemplateChanged.type, event.id),
                    time=event.time,
                    template=after,
                    added=before is None,
                    changed_fields=list(version.fields),
                    previous=before,
                    caused_by=event.id,
                    observed=False,
                    **about,
                )
                await publish([told])
        rows = await template_rows(pool, waba_id, [template_id])
        row = rows[0] if rows else None
        if not says_too_little(event, row) or (row and row.presence_stamp and row.presence_stamp[0] > logged_at):
            return
        try:
            found = await self._fetched(event, org_id, rest)
        except (GraphError, SyncFailure) as error:
            FETCHES.labels(error.code).inc()
            log.info("template not fetched", action="fetch_failed", waba_id=waba_id, code=error.code)
            # Where somebody must act first, the next scheduled sync says so.
            if error.retryable or isinstance(error, AccountNotFound):
                after_sync = await last_sync(pool, waba_id)
                sync_id = fact_id(TemplateSyncRequested.type, waba_id, "webhook", after_sync or "")
                asked: dict[str, Any] = {"time": datetime.now(UTC), "sync_id": sync_id, "reason": "webhook"}
                await publish(
                    [TemplateSyncRequested(id=fact_id(TemplateSyncRequested.type, sync_id), **asked, **about)]
                )
            return
        FETCHES.labels("ok").inc()
        async with comparing:
            await catch_up()
            rows = await template_rows(pool, waba_id, [template_id])
            await publish(_changes(event, rows[0] if rows else None, found, about))

    async def _fetched(self, event: AboutTemplate, org_id: str, rest: Rest) -> tuple[datetime, dict[str, Any] | None]:
        """When Graph was asked, and the template that it gave; None if it is gone, as the webhook said."""
        token = await self.access.token(event.waba_id, org_id)
        asked_at = datetime.now(UTC)
        try:
            return asked_at, await one_template(self.graph, event.waba_id, event.template_id, token, rest)
        except AccountNotFound:
            if is_deletion(event):
                return asked_at, None
            raise


def _changes(
    event: AboutTemplate, row: TemplateRow | None, found: tuple[datetime, dict[str, Any] | None], about: dict[str, Any]
) -> list[WabaEvent]:
    """What is published about a template as Graph gave it."""
    asked_at, raw = found
    known = {row.template_id: row.listed} if row and row.present and row.listed else {}
    if row and row.presence_stamp and row.presence_stamp[0] >= asked_at:
        return []
    if raw is None:
        removed = TemplateRemoved(
            id=fact_id(TemplateRemoved.type, event.id),
            time=asked_at,
            template_id=event.template_id,
            name=event.name,
            language=event.language,
            caused_by=event.id,
            **about,
        )
        return [removed] if known else []
    try:
        template = parse_template(raw, fingerprint_of(raw))
    except UnreadableTemplate:
        return []
    told = {row.template_id: row.template} if row and row.told and row.template else {}
    found_changes = diff(known, [template], told)
    changes = [(one, None, ()) for one in found_changes.added]
    changes += [(change.template, change.previous, change.fields) for change in found_changes.changed]
    return [
        TemplateChanged(
            id=fact_id(TemplateChanged.type, "fetched", event.id),
            time=asked_at,
            template=one,
            added=previous is None,
            changed_fields=list(fields),
            previous=previous,
            caused_by=event.id,
            **about,
        )
        for one, previous, fields in changes
    ]
