"""After webhooks about templates: tell the change whole, and ask Graph for it where the webhook says too little.

The tables take a webhook's status, quality and category at once (`fold.py`). Here `TemplateChanged` follows from it,
with before and after, so that whoever subscribes needs no other event to know each template as it is. What is told is
what the tables have once nobody else tells anything of the WABA: the version that stands, after what was told before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from prometheus_client import Counter
from wabus_events import (
    Template,
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
    TemplateSyncRequested,
    WabaEvent,
    fact_id,
)
from wabus_runtime.graph.client import BackOff, Graph
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_whatsapp.graph_errors import AccountNotFound, GraphError
from wabus_whatsapp.templates.parse import UnreadableTemplate, fingerprint_of, parse_template
from wabus_whatsapp.templates.state import DELETED, status_after

from wabus_template_sync.tables.queries import asked_for_all, last_sync, owner, template_rows
from wabus_template_sync.templates.comparison import told_of, untold
from wabus_template_sync.templates.failures import SyncFailure
from wabus_template_sync.templates.fold import TemplateRow, is_disputed
from wabus_template_sync.worker.access import Access
from wabus_template_sync.worker.pages import one_template
from wabus_template_sync.worker.slots import Slot, back_off_outside

DELETIONS = {DELETED, "PENDING_DELETION"}
PLAIN_STATUSES = {"REJECTED", "PENDING", "PAUSED", "DISABLED", "IN_APPEAL", "ARCHIVED", "LIMIT_EXCEEDED"}
"""Statuses that a webhook may tell of while nothing else of the template is other than before."""

FETCHES = Counter("wabus_template_fetches_total", "Single templates fetched after a webhook.", ["outcome"])

log = structlog.get_logger()

A_SECOND = timedelta(seconds=1)
"""What Meta's webhooks tell the time in."""
WAIT_AT_MOST = 2 * A_SECOND
"""For that second to be over, be Meta's clock a little ahead of ours."""

AboutTemplate = TemplateStatusChanged | TemplateQualityChanged | TemplateCategoryChanged | TemplateComponentsChanged
FOLLOWED = (TemplateStatusChanged, TemplateQualityChanged, TemplateCategoryChanged, TemplateComponentsChanged)

Publish = Callable[[Sequence[WabaEvent]], Awaitable[object]]
_Asking = tuple[AboutTemplate, datetime]
"""After which webhook Graph is asked for a template, and from when on."""


def says_too_little(event: AboutTemplate, row: TemplateRow | None) -> bool:
    """Whether Graph must be asked for the template, given what is known of it with the webhook taken in."""
    known = row is not None and row.believed is not None
    match event:
        case TemplateComponentsChanged():
            return True
        case TemplateStatusChanged():
            if event.event.upper() == DELETED:
                return False
            # What Meta may send one day is unknown; what is approved was reviewed, and may have been edited before.
            return not known or not _is_plain(event.event)
        case TemplateCategoryChanged():
            return not known or not event.new_category
        case TemplateQualityChanged():
            return not known


def _is_plain(event: str) -> bool:
    """Whether nothing but the status is other than before after a status webhook."""
    after = status_after(event)
    return after in PLAIN_STATUSES or (after == "APPROVED" and event.upper() != "APPROVED")


def is_deletion(event: AboutTemplate) -> bool:
    return isinstance(event, TemplateStatusChanged) and event.event.upper() in DELETIONS


@dataclass(frozen=True)
class FollowContext:
    """Where webhooks of one WABA are followed: what its worker does for it."""

    publish: Publish
    comparing: AbstractAsyncContextManager[Any]
    """Nobody else tells anything of the WABA's templates inside."""
    catch_up: Callable[[], Awaitable[None]]
    """Returns when the tables hold all that this worker has published about the WABA."""
    fetches: asyncio.Semaphore
    """Places to call Graph."""


@dataclass(frozen=True)
class Follower:
    """What following webhooks needs."""

    access: Access
    graph: Graph

    async def follow(self, events: Sequence[tuple[AboutTemplate, datetime]], context: FollowContext) -> None:
        """Tell what webhooks about templates of one WABA led to, each with when Kafka got it.

        The tables must have them. What can't be fetched now is left to a full sync. Raises what `publish` and
        `catch_up` raise.
        """
        waba_id = events[0][0].waba_id
        org_id = await owner(self.access.pool, waba_id)
        if org_id is None:
            return
        about: dict[str, Any] = {"org_id": org_id, "waba_id": waba_id}
        latest = {event.template_id: event for event, _ in events}
        async with context.comparing:
            await context.catch_up()
            found = await template_rows(self.access.pool, waba_id, list(latest), org_id)
            rows = {row.template_id: row for row in found}
            told: list[WabaEvent] = []
            for template_id, row in rows.items():
                event = latest[template_id]
                told += untold(row, {**about, "traceparent": event.traceparent, "caused_by": event.id})
            await _publish_each(context, told)
        # One answer of Graph's is enough for all that was told of a template before it is asked.
        asked: dict[str, _Asking] = {}
        for event, logged_at in events:
            row = rows.get(event.template_id)
            if row is not None and is_disputed(row, event):
                # What Graph answers within that second overrules neither: `wabus_whatsapp.templates.state`.
                asked[event.template_id] = event, event.time + A_SECOND
            elif says_too_little(event, row) and not (row and row.asked_at and row.asked_at > logged_at):
                asked.setdefault(event.template_id, (event, event.time))
        fetched = await asyncio.gather(
            *(self._fetch(event, after, org_id, context) for event, after in asked.values()), return_exceptions=True
        )
        for failure in fetched:
            if failure is not None:
                raise failure

    async def _fetch(self, event: AboutTemplate, after: datetime, org_id: str, context: FollowContext) -> None:
        """Ask Graph for the template, not before `after`, and tell what its answer changes."""
        pool, waba_id = self.access.pool, event.waba_id
        about: dict[str, Any] = {"org_id": org_id, "waba_id": waba_id, "traceparent": event.traceparent}
        left = min(after - datetime.now(UTC), WAIT_AT_MOST)
        await asyncio.sleep(max(left.total_seconds(), 0.0))
        try:
            async with Slot(context.fetches) as place:
                asked_at, template = await self._fetched(event, org_id, partial(back_off_outside, places=[place]))
        except UnreadableTemplate:
            FETCHES.labels("unreadable").inc()
            return
        except (GraphError, SyncFailure) as error:
            FETCHES.labels(error.code).inc()
            log.info("template not fetched", action="fetch_failed", waba_id=waba_id, code=error.code)
            # Where somebody must act first, the next scheduled sync says so.
            if (error.retryable or isinstance(error, AccountNotFound)) and await owner(pool, waba_id) == org_id:
                after_sync = await last_sync(pool, waba_id)
                sync_id = fact_id(TemplateSyncRequested.type, waba_id, "webhook", after_sync or "")
                asked: dict[str, Any] = {"time": datetime.now(UTC), "sync_id": sync_id, "reason": "webhook"}
                await context.publish(
                    [TemplateSyncRequested(id=fact_id(TemplateSyncRequested.type, sync_id), **asked, **about)]
                )
            return
        FETCHES.labels("ok").inc()
        async with context.comparing:
            await context.catch_up()
            rows = await template_rows(pool, waba_id, [event.template_id], org_id)
            known_at = [row.asked_at for row in rows if row.asked_at]
            if any(known >= asked_at for known in [*known_at, *await asked_for_all(pool, waba_id)]):
                return
            number = rows[0].next_number if rows else 1
            about["caused_by"] = event.id
            await context.publish(told_of(rows, template, asked_at, about, "fetched", event.id, str(number)))

    async def _fetched(self, event: AboutTemplate, org_id: str, rest: BackOff) -> tuple[datetime, Template | None]:
        """When Graph was asked, and the template that it gave; None if it is gone, as the webhook said.

        Raises `GraphError`, `SyncFailure` where there is no token, and `UnreadableTemplate`.
        """
        token = await self.access.token(event.waba_id, org_id)
        asked_at = datetime.now(UTC)
        try:
            raw = await one_template(self.graph, event.waba_id, event.template_id, token, rest)
        except AccountNotFound:
            if is_deletion(event):
                return asked_at, None
            raise
        return asked_at, parse_template(raw, fingerprint_of(raw))


async def _publish_each(context: FollowContext, events: Sequence[WabaEvent]) -> None:
    """Publish them together; where Kafka refuses one for good, the others alone."""
    try:
        await context.publish(events)
    except RecordRefused as refused:
        if len(events) == 1:
            log.error("a change was not told", action="event_refused", waba_id=events[0].waba_id, error=str(refused))
            return
        for event in events:
            await _publish_each(context, [event])
