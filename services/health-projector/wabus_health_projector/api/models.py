"""The answers of the read endpoints as models, made from what is stored and what is judged. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from pydantic import BaseModel
from wabus_whatsapp.accounts import AccountDetails, is_registered
from wabus_whatsapp.sending.errors import meaning

from wabus_health_projector.health.check import details_known
from wabus_health_projector.health.judgement import HOURLY, Status, judge, judge_organisation
from wabus_health_projector.health.reasons.account import numbers
from wabus_health_projector.health.reasons.reason import Reason
from wabus_health_projector.health.reasons.routing import checked_since
from wabus_health_projector.health.state import SyncStatus, WabaHealth
from wabus_health_projector.health.traffic import ErrorCount
from wabus_health_projector.tables.reading import KindCount, Organisation, Waba
from wabus_health_projector.worker.lag import Freshness


class Health(BaseModel):
    """`GET /webhook/health`: the organisation's `webhook_health` row, and what it means at `checked_at`."""

    org_id: str
    status: Status
    reasons: tuple[Reason, ...]
    id: str | None = None
    waba_id: str | None = None
    webhook_verified: bool = False
    webhook_verified_at: datetime | None = None
    template_sync_status: SyncStatus = "never"
    last_sync_at: datetime | None = None
    template_total: int = 0
    template_approved: int = 0
    last_error: str | None = None
    last_error_at: datetime | None = None
    last_webhook_at: datetime | None = None
    """When Meta last reached us. The messages in it may be older; `last_events.message_at` has their own time."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    checked_at: datetime
    awaiting: list[str] = []
    """Those of the syncs asked about whose outcome is not in this answer."""


class Proof(BaseModel):
    """Why a webhook counts as verified: `callback_handshake`, `signed_webhook` or `webhook_configuration`."""

    kind: str
    first_at: datetime
    last_at: datetime
    detail: str
    """The callback URL that Meta shook hands with or has on record, or the field of the newest webhook."""


class Sync(BaseModel):
    status: SyncStatus
    sync_id: str | None
    started_at: datetime | None
    last_sync_at: datetime | None
    total: int
    approved: int
    by_status: dict[str, int]


class Phone(BaseModel):
    phone_number_id: str | None
    display_phone_number: str
    verified_name: str | None
    quality: str | None
    quality_since: datetime | None
    messaging_limit: str | None
    messaging_limit_since: datetime | None
    name_decision: str | None
    name_decided_at: datetime | None
    status: str | None
    throughput: str | None
    callback_url: str | None
    """As of the last check that found a difference; null before the first."""
    registered: bool | None
    """Whether it can be used with the Cloud API; null where Graph did not say."""
    coexistence: bool | None
    """Whether it is in use in the WhatsApp Business app too; null where Graph did not say."""
    can_send_message: str | None
    """AVAILABLE, LIMITED or BLOCKED, in Meta's own judgement of all that takes part in sending from it."""


class TroubledTemplate(BaseModel):
    template_id: str
    name: str
    language: str
    status: str | None
    status_since: datetime | None
    reason: str | None
    notice: str | None
    """FLAGGED or LOCKED, beside the status that it leaves as it is."""
    notice_since: datetime | None
    quality: str | None
    quality_since: datetime | None


class RecentError(BaseModel):
    """`kind` is `sync` for a failed template sync, `message` for messages that failed in the last day."""

    kind: str
    code: str
    message: str | None
    count: int
    at: datetime


class WabaAnswer(BaseModel):
    waba_id: str
    status: Status
    reasons: tuple[Reason, ...]
    connected: bool
    connected_at: datetime | None
    callback_url: str | None
    token_expires_at: datetime | None
    scopes: tuple[str, ...]
    portfolio_id: str | None
    """The business portfolio that owns the account."""
    time_zone: str | None
    """In which the account's days are charged, as IANA has it; null where Meta's number for it is not known here."""
    time_zone_id: int | None
    """Meta's number for it."""
    currency: str | None
    country: str | None
    can_send_message: str | None
    """AVAILABLE, LIMITED or BLOCKED, in Meta's own judgement of the account."""
    fields_missing: tuple[str, ...] | None
    """Webhook fields of which nothing reaches us; null while that is not known."""
    evidence: list[Proof]
    sync: Sync
    counts: dict[str, dict[str, int]]
    """By window (`last_24h`, `last_7d`, `last_30d`), then by kind: received, sent, delivered, read, failed, …

    `last_30d` reaches as far as counts are kept: 28 whole days (UTC) and today.
    """
    counts_by_phone: dict[str, dict[str, dict[str, int]]]
    """The same by phone number id."""
    phones: list[Phone]
    templates_needing_attention: list[TroubledTemplate]
    recent_errors: list[RecentError]
    last_events: dict[str, datetime | None]


class DetailedHealth(Health):
    """`GET /webhook/health/detailed`: the same, with everything behind it. `lag` is null while Kafka can't be asked."""

    wabas: list[WabaAnswer] = []
    lag: Freshness | None = None


KINDS = ("received", "sent", "delivered", "read", "failed")


def health(
    org_id: str,
    stored: Organisation | None,
    now: datetime,
    sync_ids: Sequence[str] = (),
    *,
    reconcile_every: timedelta = HOURLY,
) -> Health:
    """The short answer; `sync_ids` are syncs whose outcome the caller wants to be in it."""
    states = [waba.health for waba in stored.wabas] if stored else []
    known = [(waba.health, waba.traffic) for waba in stored.wabas] if stored else []
    verdict = judge_organisation(known, now, reconcile_every=reconcile_every)
    ended = {ended.sync_id for state in states for ended in state.ended_syncs}
    judged = {
        "org_id": org_id,
        "status": verdict.status,
        "reasons": verdict.reasons,
        "checked_at": now,
        "awaiting": [sync_id for sync_id in dict.fromkeys(sync_ids) if sync_id not in ended],
    }
    if stored is None:
        return Health.model_validate(judged)
    heard = [at for waba in stored.wabas if waba.health.connection and (at := _last_webhook_at(waba))]
    row = {**stored.row.model_dump(), "id": str(stored.row.id)}
    return Health.model_validate({**row, **judged, "last_webhook_at": max(heard, default=None)})


def detailed(
    org_id: str,
    stored: Organisation | None,
    now: datetime,
    lag: Freshness | None,
    *,
    reconcile_every: timedelta = HOURLY,
) -> DetailedHealth:
    wabas = [_waba(waba, now, reconcile_every) for waba in stored.wabas] if stored else []
    short = health(org_id, stored, now, reconcile_every=reconcile_every)
    return DetailedHealth(**dict(short), wabas=wabas, lag=lag)


def _waba(waba: Waba, now: datetime, reconcile_every: timedelta) -> WabaAnswer:
    state, connection = waba.health, waba.health.connection
    verdict = judge(state, now, waba.traffic, reconcile_every=reconcile_every)
    checked = checked_since(state, connection) if connection else None
    phones = sorted({each.phone_number_id for each in waba.counts})
    return WabaAnswer(
        waba_id=state.waba_id,
        status=verdict.status,
        reasons=verdict.reasons,
        connected=connection is not None,
        connected_at=connection.at if connection else None,
        callback_url=connection.callback_url if connection else None,
        token_expires_at=(checked or connection).token_expires_at if connection else None,
        scopes=connection.scopes if connection else (),
        **asdict(details_known(state) if connection else AccountDetails()),
        can_send_message=checked.can_send_message if checked else None,
        fields_missing=checked.fields_missing if checked else None,
        evidence=_evidence(state),
        sync=_sync(state),
        counts=_windows(waba.counts),
        counts_by_phone={
            phone: _windows([each for each in waba.counts if each.phone_number_id == phone]) for phone in phones
        },
        phones=_phones(state),
        templates_needing_attention=_troubled(state),
        recent_errors=_errors(waba),
        last_events={
            "webhook_at": _last_webhook_at(waba),
            "handshake_at": state.handshake_last.at if state.handshake_last else None,
            "message_at": max((each.last_at for each in waba.counts), default=None),
            "check_at": checked.at if checked else None,
            "sync_at": state.sync_done.at if state.sync_done else None,
            "sync_failed_at": state.last_failure.at if state.last_failure else None,
            "template_at": max(filter(None, (each.told_at for each in state.shown_templates)), default=None),
        },
    )


def _last_webhook_at(waba: Waba) -> datetime | None:
    seen = waba.health.webhook_last
    # Before 0005 nobody noted arrivals, so the evidence and the messages themselves say the least that is known.
    return max(
        (at for at in (seen.at if seen else None, waba.traffic.last_at, waba.traffic.reached_at) if at), default=None
    )


def _evidence(state: WabaHealth) -> list[Proof]:
    kinds = (
        ("callback_handshake", state.handshake_first, state.handshake_last),
        ("signed_webhook", state.webhook_first, state.webhook_last),
        ("webhook_configuration", state.configuration_first, state.configuration_last),
    )
    return [
        Proof(kind=kind, first_at=first.at, last_at=last.at, detail=last.detail)
        for kind, first, last in kinds
        if first and last
    ]


def _sync(state: WabaHealth) -> Sync:
    status, done, failed = state.sync_status, state.sync_done, state.last_failure
    ended = failed if status == "failed" else done
    open_step = {"requested": state.sync_requested, "syncing": state.sync_started}.get(status)
    current = open_step or ended
    return Sync(
        status=status,
        sync_id=current.sync_id if current else None,
        started_at=None
        if status == "requested"
        else open_step.at
        if open_step
        else ended.started_at
        if ended
        else None,
        last_sync_at=done.at if done else None,
        total=done.total if done else 0,
        approved=done.approved if done else 0,
        by_status=done.by_status if done else {},
    )


def _windows(counts: Sequence[KindCount]) -> dict[str, dict[str, int]]:
    kinds = dict.fromkeys((*KINDS, *sorted({each.kind for each in counts})))
    return {
        window: {kind: sum(getattr(each, window) for each in counts if each.kind == kind) for kind in kinds}
        for window in ("last_24h", "last_7d", "last_30d")
    }


def _phones(state: WabaHealth) -> list[Phone]:
    if state.connection is None:
        return []
    phones: list[Phone] = []
    for number in numbers(state, state.connection):
        known = number.checked or number.known
        limit = number.heard.limits[0] if number.heard and number.heard.limits else None
        limited_at = limit.at if limit and limit.tier == number.tier else number.checked_at or state.connection.at
        name = number.heard.name if number.heard else None
        phones.append(
            Phone(
                phone_number_id=known.phone_number_id if known else None,
                display_phone_number=number.display,
                verified_name=known.verified_name if known else None,
                quality=number.quality,
                quality_since=number.quality_since,
                messaging_limit=number.tier,
                messaging_limit_since=limited_at if number.tier else None,
                name_decision=name.decision if name else None,
                name_decided_at=name.at if name else None,
                status=known.status if known else None,
                throughput=known.throughput if known else None,
                callback_url=number.checked.callback_url if number.checked else None,
                registered=is_registered(known.status, known.platform_type) if known else None,
                coexistence=known.coexistence if known else None,
                can_send_message=number.checked.can_send_message if number.checked else None,
            )
        )
    return phones


def _troubled(state: WabaHealth) -> list[TroubledTemplate]:
    troubled = [
        TroubledTemplate(
            template_id=each.template_id,
            name=each.name,
            language=each.language,
            status=each.status,
            status_since=each.status_at,
            reason=each.reason,
            notice=each.notice,
            notice_since=each.notice_at,
            quality=each.quality,
            quality_since=each.quality_at,
        )
        for each in state.shown_templates
    ]
    return sorted(troubled, key=lambda each: (each.name, each.language, each.template_id))


def _errors(waba: Waba) -> list[RecentError]:
    syncs = [
        RecentError(kind="sync", code=failure.code, message=failure.message, count=1, at=failure.at)
        for failure in waba.health.sync_failures
    ]
    by_code: dict[int, list[ErrorCount]] = {}
    for error in waba.traffic.errors:
        by_code.setdefault(error.code, []).append(error)
    messages = [
        RecentError(
            kind="message",
            code=str(code),
            message=meaning(code),
            count=sum(error.count for error in errors),
            at=max(error.last_at for error in errors),
        )
        for code, errors in by_code.items()
    ]
    return sorted(syncs + messages, key=lambda error: error.at, reverse=True)
