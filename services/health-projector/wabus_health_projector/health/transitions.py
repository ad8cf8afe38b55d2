"""Has an organisation's health changed, and since when is it so? Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from wabus_events import HealthChanged, HealthReason, fact_id

from wabus_health_projector.health.judgement import Verdict
from wabus_health_projector.health.state import WabaHealth

ReasonKey = tuple[str, str | None]
"""The code of a reason and the WABA that it is about."""


@dataclass(frozen=True, slots=True)
class KnownChange:
    """The newest change that the log has of an organisation."""

    event_id: str
    status: str
    reasons: frozenset[ReasonKey]
    since: datetime


def is_known(
    org_id: str, known: KnownChange | None, wabas: Sequence[tuple[WabaHealth, object]], forgotten_at: datetime | None
) -> bool:
    """Whether there is an organisation to tell of: of one that was forgotten nothing is told until it connects again.

    Its rows may not all be gone yet.
    """
    if forgotten_at is None:
        return known is not None or bool(wabas)
    connections = (health.connections.get(org_id) for health, _ in wabas)
    return any(connection and connection.at > forgotten_at for connection in connections)


def transition(org_id: str, known: KnownChange | None, verdict: Verdict, now: datetime) -> HealthChanged | None:
    """The change from what is known to the verdict, or None if it is the same.

    Messages and times may differ, and whatever is merely a `notice`. Two who see the same change from the same known
    one give it the same id, so that it counts once whoever tells it.
    """
    deciding = [reason for reason in verdict.reasons if reason.severity != "notice"]
    keys = frozenset((reason.code, reason.waba_id) for reason in deciding)
    if known and (known.status, known.reasons) == (verdict.status, keys):
        return None
    appeared = [
        reason.since
        for reason in deciding
        if reason.severity == verdict.status and not (known and (reason.code, reason.waba_id) in known.reasons)
    ]
    since = min((moment for moment in appeared if moment), default=now)
    if known:
        since = max(since, known.since)
    previous = known.event_id if known else None
    parts = sorted(f"{code} {waba_id or ''}" for code, waba_id in keys)
    return HealthChanged(
        id=fact_id(HealthChanged.type, org_id, previous or "", verdict.status, *parts),
        time=now,
        org_id=org_id,
        from_status=known.status if known else None,
        to_status=verdict.status,
        reasons=[HealthReason.model_validate(reason.model_dump()) for reason in verdict.reasons],
        since=min(since, now),
        previous_id=previous,
    )
