"""The one row an organisation has in `webhook_health`, over all its WABAs. Pure."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from wabus_events import fact_id

from wabus_health_projector.health.state import SyncStatus, WabaHealth, order

WORST_FIRST: tuple[SyncStatus, ...] = ("failed", "never", "requested", "syncing", "synced")


class WebhookHealth(BaseModel):
    """An organisation's row. Times come from the log, so that a replay writes the very same row."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    org_id: str
    waba_id: str
    """The WABA connected last; one that is still connected, if any is."""
    webhook_verified: bool
    """Whether there is proof for every connected WABA that Meta's webhooks reach us."""
    webhook_verified_at: datetime | None
    template_sync_status: SyncStatus
    """The worst of all connected WABAs."""
    last_sync_at: datetime | None
    """When templates were last compared with success."""
    template_total: int
    template_approved: int
    last_error: str | None
    """The sentence of the last sync that failed, even if others have succeeded since: compare the times."""
    last_error_at: datetime | None
    created_at: datetime
    updated_at: datetime


def summarise(org_id: str, wabas: Sequence[tuple[WabaHealth, datetime]]) -> WebhookHealth:
    """The row over all WABAs that the organisation owns, at least one, each with when it was last changed."""
    owned = sorted(
        (health.of_owner for health, _ in wabas), key=lambda health: (health.connections[org_id].at, health.waba_id)
    )
    connected = [health for health in owned if health.connection]
    statuses: set[SyncStatus] = {health.sync_status for health in connected} or {"never"}
    proofs = [health.verified_at for health in connected if health.verified_at]
    verified = bool(connected) and len(proofs) == len(connected)
    syncs = [health.sync_done for health in connected if health.sync_done]
    failures = [failure for health in connected if (failure := health.last_failure)]
    error = max(failures, key=order, default=None)
    return WebhookHealth(
        id=UUID(fact_id("webhook_health", org_id)),
        org_id=org_id,
        waba_id=(connected or owned)[-1].waba_id,
        webhook_verified=verified,
        webhook_verified_at=max(proofs) if verified else None,
        template_sync_status=next(status for status in WORST_FIRST if status in statuses),
        last_sync_at=max((sync.at for sync in syncs), default=None),
        template_total=sum(sync.total for sync in syncs),
        template_approved=sum(sync.approved for sync in syncs),
        last_error=error.message if error else None,
        last_error_at=error.at if error else None,
        created_at=min(health.first_connections[org_id].logged_at for health in owned),
        updated_at=max(updated_at for _, updated_at in wabas),
    )
