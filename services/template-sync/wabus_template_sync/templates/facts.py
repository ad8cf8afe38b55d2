"""What a sync publishes: when it starts, what it found, or why it failed. Pure; the ids follow from the sync id,
so that a sync done twice tells nothing new.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wabus_events import (
    AccountConnected,
    Event,
    TemplatesSynced,
    TemplateSyncFailed,
    TemplateSyncProgressed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    fact_id,
)
from wabus_whatsapp.templates.parse import Counts

from wabus_template_sync.templates.failures import Failure


@dataclass(frozen=True, slots=True)
class Sync:
    """One comparison of a WABA's templates with Meta's, and what asked for it."""

    sync_id: str
    waba_id: str
    org_id: str | None
    reason: str
    asked_at: datetime
    traceparent: str | None = None

    @property
    def about(self) -> dict[str, Any]:
        """The fields that all its events have."""
        return {"org_id": self.org_id, "waba_id": self.waba_id, "traceparent": self.traceparent}


TRIGGERS = (AccountConnected, TemplateSyncRequested)
"""The events that `sync_for` has an answer to: nothing else needs to be decoded to ask it."""


def sync_for(event: Event) -> Sync | None:
    """The sync that an event asks for, if it does. What leads to a sync is said here."""
    match event:
        case AccountConnected():
            return Sync(connect_sync_id(event), event.waba_id, event.org_id, "connected", event.time, event.traceparent)
        case TemplateSyncRequested():
            return Sync(event.sync_id, event.waba_id, event.org_id, event.reason, event.time, event.traceparent)
        case _:
            return None


def connect_sync_id(event: AccountConnected) -> str:
    """The id of the sync that a connected account gets without asking."""
    return fact_id(TemplateSyncRequested.type, event.id)


def started(sync: Sync, at: datetime) -> TemplateSyncStarted:
    """A start has the time in its id: after a crash the same sync starts again, and the last start counts."""
    return TemplateSyncStarted(
        id=fact_id(TemplateSyncStarted.type, sync.sync_id, at.isoformat()),
        time=at,
        sync_id=sync.sync_id,
        reason=sync.reason,
        **sync.about,
    )


def synced(
    sync: Sync, drift: Mapping[str, int], listed: Counts, *, observed_at: datetime, finished_at: datetime
) -> TemplatesSynced:
    """The counts, to be published together with the changes and after them; `drift` are the numbers of these."""
    return TemplatesSynced(
        id=fact_id(TemplatesSynced.type, sync.sync_id),
        time=finished_at,
        sync_id=sync.sync_id,
        reason=sync.reason,
        total=listed.total,
        approved=listed.approved,
        by_status=listed.by_status,
        added=drift["added"],
        changed=drift["changed"],
        removed=drift["removed"],
        started_at=observed_at,
        **sync.about,
    )


def progressed(
    sync: Sync, *, fetched: int, expected: int | None, started_at: datetime, at: datetime
) -> TemplateSyncProgressed:
    return TemplateSyncProgressed(
        id=fact_id(TemplateSyncProgressed.type, sync.sync_id, started_at.isoformat(), fetched),
        time=at,
        sync_id=sync.sync_id,
        fetched=fetched,
        expected=expected,
        started_at=started_at,
        **sync.about,
    )


def failed(sync: Sync, failure: Failure, *, started_at: datetime, finished_at: datetime) -> TemplateSyncFailed:
    """Why it ended, for the person who must act."""
    return TemplateSyncFailed(
        id=fact_id(TemplateSyncFailed.type, sync.sync_id),
        time=finished_at,
        sync_id=sync.sync_id,
        reason=sync.reason,
        code=failure.code,
        message=failure.message,
        retryable=failure.retryable,
        retry_after=failure.wait,
        graph_code=failure.graph_code,
        graph_subcode=failure.graph_subcode,
        started_at=started_at,
        **sync.about,
    )
