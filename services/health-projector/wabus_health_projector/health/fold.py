"""What an event means for a WABA's health. Pure: the order, batching and repetition of events do not matter.

Each event joins facts into the state: the latest by (time, id) stands, or the earliest, or the latest few. Such a
join is associative, commutative and idempotent, so any interleaving of topics and partitions gives the same state.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, TypeVar, cast

from pydantic import BaseModel
from wabus_events import (
    AccountAlerted,
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    AccountReviewed,
    AccountUpdated,
    CallbackVerified,
    CapabilityChanged,
    Event,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    TemplateChanged,
    TemplateConfirmed,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    WebhookSeen,
)
from wabus_whatsapp.graph_errors import AppRefused
from wabus_whatsapp.templates.state import asked_at, notice_after, place_of, status_after

from wabus_health_projector.health.check import DETAILS, is_ours
from wabus_health_projector.health.payloads import account_event, alert, capability_limit
from wabus_health_projector.health.state import (
    TROUBLED,
    Capability,
    Checked,
    CheckFailure,
    Connection,
    Counts,
    Disconnection,
    Evidence,
    Fact,
    Flag,
    MessagingLimit,
    NameReview,
    NumberHealth,
    Proofs,
    Review,
    SecurityNotice,
    SyncDone,
    SyncFailure,
    SyncStep,
    TemplateHealth,
    TemplateNotice,
    TemplateQuality,
    TemplateStatus,
    TemplateTold,
    TroubleBegan,
    WabaHealth,
    digits,
    facts,
    order,
)

DAYS_KEPT = 60  # days with a webhook, to know how often a WABA usually speaks
FAILURES_KEPT = 10  # failed syncs
PROOFS_KEPT = 20  # of one kind that were for no organisation
SYNCS_KEPT = 10  # ended syncs that are known by their id

F = TypeVar("F", bound=Fact)


def fold(health: WabaHealth, event: Event, logged_at: datetime) -> WabaHealth:
    """The state after one more event, which Kafka got at `logged_at`. Events without meaning for health are ignored."""
    return fold_all(health, [(event, logged_at)])


def fold_all(health: WabaHealth, events: Iterable[tuple[Event, datetime]]) -> WabaHealth:
    """The same for many events, each with when Kafka got it. What is folded into is copied once, not for each."""
    draft = health.model_copy(update={name: dict(getattr(health, name)) for name in _MAPS})
    # Frozen for everybody who gets it; until then it is ours, and a copy for each event would be a sixth of the work.
    fields = vars(draft)
    for event, logged_at in events:
        place = {"at": event.time.astimezone(UTC), "id": event.id, "logged_at": logged_at, "org_id": event.org_id}
        fields.update(_changes(draft, event, place))
        first = draft.first_logged_at
        if first is None or logged_at < first:
            fields["first_logged_at"] = logged_at
    return draft


def after(health: WabaHealth, line: datetime) -> WabaHealth:
    """What is left of a state when all that was until `line` is forgotten: nothing of it stands, or is known.

    Of several facts of after it only those are known that the state has: the first may have been an earlier one.
    """
    return _left(health, lambda fact: fact.at > line, lambda moment: moment > line)


def without_organisation(health: WabaHealth, org_id: str, line: datetime) -> WabaHealth:
    """The same when all that was for one organisation until `line` is forgotten. What was for others stays."""
    is_left: Counts = lambda fact: fact.org_id != org_id or fact.at > line  # noqa: E731

    def kept_of(held: Mapping[str, F]) -> dict[str, F]:
        # Rows of releases before 0.3 say by their place only for whom a connection was.
        return {owner: fact for owner, fact in held.items() if owner != org_id or fact.at > line}

    names = ("connections", "first_connections", "disconnections")
    health = health.model_copy(update={name: kept_of(getattr(health, name)) for name in names})
    return _left(health, is_left, lambda _: True)


def _left(health: WabaHealth, is_left: Counts, is_after: Callable[[datetime], bool]) -> WabaHealth:
    """The state with those facts only, and with what follows from them."""
    left = {name: _filtered(part, is_left, is_after) for name, part in health.__dict__.items() if name != "waba_id"}
    for kind in ("handshake", "webhook", "configuration"):
        proofs: Proofs = left[f"{kind}s"]
        known = (left[f"{kind}_first"], left[f"{kind}_last"], *proofs.first.values(), *proofs.unclaimed)
        left[f"{kind}_first"] = min((proof for proof in known if proof), key=order, default=None)
    for org_id, connection in left["connections"].items():
        at_first = connection.model_dump(include=set(Fact.model_fields))
        left["first_connections"].setdefault(org_id, Fact.model_validate(at_first))
    seen = left["webhook_first"]
    left["days_seen"] = tuple(day for day in left["days_seen"] if seen and day >= seen.at.date())
    if left["sync_done"] is None:
        left["templates_asked_at"] = None
    first = min((fact.logged_at for part in left.values() for fact in facts(part)), default=None)
    return health.model_copy(update={**left, "first_logged_at": first})


def _filtered(part: Any, is_left: Counts, is_after: Callable[[datetime], bool]) -> Any:
    """A part of a state without what is not left: None, or an empty map or tuple, where nothing is."""

    def again(each: Any) -> Any:
        return _filtered(each, is_left, is_after)

    match part:
        case Fact():
            return part if is_left(part) else None
        case datetime():
            return part if is_after(part) else None
        case dict():
            parts = cast(dict[str, Any], part)
            return {name: left for name, each in parts.items() if (left := again(each)) is not None}
        case tuple():
            return tuple(left for each in cast(tuple[Any, ...], part) if (left := again(each)) is not None)
        case Proofs():
            return Proofs(first=again(part.first), unclaimed=again(part.unclaimed))
        case BaseModel():
            # What says only when Graph was asked is worth nothing without what it answered.
            told = {name: again(each) for name, each in part.__dict__.items() if not isinstance(each, str)}
            return part.model_copy(update=told) if any(facts(tuple(told.values()))) else None
        case _:
            return part


_MAPS = tuple(name for name, field in WabaHealth.model_fields.items() if field.default == {})


def _changes(health: WabaHealth, event: Event, place: dict[str, Any]) -> dict[str, Any]:
    """The fields that change. The maps of `health` are nobody else's, and change in place."""
    match event:
        case AccountConnected(org_id=str(org_id)):
            connection = Connection(
                **place,
                callback_url=event.callback_url,
                scopes=tuple(sorted(event.scopes)),
                token_expires_at=event.token_expires_at and event.token_expires_at.astimezone(UTC),
                phone_numbers=tuple(sorted(event.phone_numbers, key=lambda number: number.phone_number_id)),
                **_details(event),
            )
            return {
                "connections": _latest_of(health.connections, org_id, connection),
                "first_connections": _with(
                    health.first_connections, org_id, earliest(health.first_connections.get(org_id), Fact(**place))
                ),
            }
        case AccountDisconnected():
            ended = Disconnection(**place, reason=event.reason)
            return {"disconnections": _latest_of(health.disconnections, event.org_id or "", ended)}
        case CallbackVerified():
            proof = Evidence(**place, detail=event.callback_url)
            return {
                "handshake_first": earliest(health.handshake_first, proof),
                "handshake_last": latest(health.handshake_last, proof),
                "handshakes": _with_proof(health.handshakes, proof),
            }
        case WebhookSeen():
            proof = Evidence(**place, detail=event.field)
            return {
                "webhook_first": earliest(health.webhook_first, proof),
                "webhook_last": latest(health.webhook_last, proof),
                "webhooks": _with_proof(health.webhooks, proof),
                "days_seen": _newest_days(health.days_seen, event.day),
            }
        case AccountChecked():
            return _checked(health, event, place)
        case TemplateSyncRequested():
            return {"sync_requested": latest(health.sync_requested, SyncStep(**place, sync_id=event.sync_id))}
        case TemplateSyncStarted():
            return {"sync_started": latest(health.sync_started, SyncStep(**place, sync_id=event.sync_id))}
        case TemplatesSynced():
            done = SyncDone(
                **place,
                sync_id=event.sync_id,
                started_at=event.started_at.astimezone(UTC),
                total=event.total,
                approved=event.approved,
                by_status=dict(sorted(event.by_status.items())),
            )
            return {
                "sync_done": latest(health.sync_done, done),
                "templates_asked_at": _later(health.templates_asked_at, done.started_at),
                **_with_ended_sync(health, event.sync_id, place),
            }
        case TemplateSyncFailed(code=AppRefused.code):
            # The operator has to repair the app: for the account it only means that this sync is over.
            return _with_ended_sync(health, event.sync_id, place)
        case TemplateSyncFailed():
            failure = SyncFailure(
                **place,
                sync_id=event.sync_id,
                started_at=event.started_at.astimezone(UTC),
                code=event.code,
                message=event.message,
                retryable=event.retryable,
                graph_code=event.graph_code,
            )
            failures = latest_few(health.sync_failures, failure, FAILURES_KEPT)
            return {"sync_failures": failures, **_with_ended_sync(health, event.sync_id, place)}
        case TemplateChanged() | TemplateRemoved():
            return _template_told(health, event, place)
        case TemplateConfirmed():
            asked = _later(_template(health, event.template_id).asked_at, event.time.astimezone(UTC))
            return _with_template(health, event.template_id, {"asked_at": asked})
        case TemplateStatusChanged():
            return _template_status(health, event, place)
        case TemplateQualityChanged():
            named: dict[str, Any] = {**place, "name": event.name, "language": event.language}
            quality = TemplateQuality(**named, quality=event.new_quality.upper())
            held = _template(health, event.template_id)
            return _with_template(health, event.template_id, {"quality_told": latest(held.quality_told, quality)})
        case PhoneNumberQualityChanged():
            return _number_quality(health, event, place)
        case PhoneNumberNameReviewed():
            number = _number(health, event.display_phone_number)
            review = NameReview(
                **place,
                decision=event.decision.upper(),
                name=event.requested_verified_name,
                rejection_reason=event.rejection_reason,
            )
            return _with_number(health, number.model_copy(update={"name": latest(number.name, review)}))
        case SecurityChanged(display_phone_number=str(display)):
            number = _number(health, display)
            notice = SecurityNotice(**place, event=event.event.upper())
            return _with_number(health, number.model_copy(update={"security": latest(number.security, notice)}))
        case AccountUpdated(of_our_app=False):
            return {}
        case AccountUpdated():
            update = account_event(event.value, place)
            return {"account_events": _latest_of(health.account_events, event.event.upper(), update)}
        case AccountReviewed():
            return {"review": latest(health.review, Review(**place, decision=event.decision.upper()))}
        case AccountAlerted():
            alerted = alert(event, place)
            about = f"{alerted.kind} {event.value.get('entity_id', '')}".strip()
            return {"alerts": _latest_of(health.alerts, about, alerted)}
        case CapabilityChanged():
            limit = capability_limit(event)
            if limit is None:
                return {}
            return {"capabilities": latest_few(health.capabilities, Capability(**place, limit=limit), 2)}
        case _:
            return {}


def latest(held: F | None, new: F, place: Callable[[F], tuple[Any, ...]] = order) -> F:
    """The later of two facts about the same thing. The same fact again keeps the time it was logged first."""
    if held is None or place(new) > place(held):
        return new
    return _same(held, new) if place(new) == place(held) else held


def earliest(held: F | None, new: F) -> F:
    if held is None or order(new) < order(held):
        return new
    return _same(held, new) if order(new) == order(held) else held


def latest_few(held: Sequence[F], new: F, keep: int) -> tuple[F, ...]:
    """The latest `keep` different facts, newest first."""
    if not held or order(new) > order(held[0]):
        return (new, *held)[:keep]
    by_place = {order(fact): fact for fact in held}
    by_place[order(new)] = latest(by_place.get(order(new)), new)
    return tuple(by_place[place] for place in sorted(by_place, reverse=True)[:keep])


def _same(held: F, again: F) -> F:
    return again if again.logged_at < held.logged_at else held


def _latest_of(held: dict[str, F], key: str, new: F) -> dict[str, F]:
    return _with(held, key, latest(held.get(key), new))


V = TypeVar("V")


def _with(held: dict[str, V], key: str, value: V) -> dict[str, V]:
    held[key] = value
    return held


def _newest_days(held: Sequence[date], day: date) -> tuple[date, ...]:
    return tuple(sorted({*held, day}, reverse=True)[:DAYS_KEPT])


def _checked(health: WabaHealth, event: AccountChecked, place: dict[str, Any]) -> dict[str, Any]:
    """A refusal says nothing of the rest. Meta naming our callback for every number is proof that it reaches us."""
    ours = event.our_callback_url
    if event.error_code:
        failure = CheckFailure(
            **place, our_callback_url=ours, code=event.error_code, message=event.error_message or event.error_code
        )
        return {"check_failed": latest(health.check_failed, failure)}
    checked = Checked(
        **place,
        our_callback_url=ours,
        subscribed=event.subscribed,
        token_expires_at=event.token_expires_at and event.token_expires_at.astimezone(UTC),
        scopes=tuple(sorted(event.scopes)),
        numbers=tuple(sorted(event.numbers, key=lambda number: number.phone_number_id)),
        **_details(event),
        can_send_message=event.can_send_message,
        restrictions=tuple(event.restrictions),
        fields_missing=None if event.fields_missing is None else tuple(event.fields_missing),
        app_callback_host=event.app_callback_host,
    )
    changes: dict[str, Any] = {"checked": latest(health.checked, checked)}
    urls = [number.callback_url for number in checked.numbers]
    if checked.subscribed and urls and all(is_ours(url, ours) for url in urls):
        proof = Evidence(**place, detail=urls[0] or ours)
        changes["configuration_first"] = earliest(health.configuration_first, proof)
        changes["configuration_last"] = latest(health.configuration_last, proof)
        changes["configurations"] = _with_proof(health.configurations, proof)
    return changes


def _details(event: AccountConnected | AccountChecked) -> dict[str, Any]:
    return {name: getattr(event, name) for name in DETAILS}


def _with_proof(held: Proofs, proof: Evidence) -> Proofs:
    if proof.org_id is None:
        return held.model_copy(update={"unclaimed": latest_few(held.unclaimed, proof, PROOFS_KEPT)})
    first = {**held.first, proof.org_id: earliest(held.first.get(proof.org_id), proof)}
    return held.model_copy(update={"first": first})


def _with_ended_sync(health: WabaHealth, sync_id: str, place: dict[str, Any]) -> dict[str, Any]:
    return {"ended_syncs": latest_few(health.ended_syncs, SyncStep(**place, sync_id=sync_id), SYNCS_KEPT)}


def _template_told(
    health: WabaHealth, event: TemplateChanged | TemplateRemoved, place: dict[str, Any]
) -> dict[str, Any]:
    """A template told whole. What followed from webhooks counts too: it says what else is over."""
    number = event.version_number or 0
    began: dict[str, TroubleBegan] = {}
    if isinstance(event, TemplateChanged):
        template = event.template
        template_id, quality = template.template_id, template.quality.upper() if template.quality else None
        told = TemplateTold(
            **place,
            number=number,
            name=template.name,
            language=template.language,
            status=template.status.upper(),
            reason=template.rejected_reason,
            quality=quality,
        )
        for name, value in (("status", told.status), ("quality", quality)):
            if value in TROUBLED and (event.added or name in event.changed_fields):
                began[f"{name}_began"] = TroubleBegan(**place, number=number, value=value)
    else:
        template_id = event.template_id
        told = TemplateTold(**place, number=number, present=False, name=event.name, language=event.language)
    held = _template(health, template_id)
    changed: dict[str, Any] = {}
    if asked := asked_at(event):
        changed["asked_at"] = _later(held.asked_at, asked.astimezone(UTC))
    if place_of(event):
        changed["told"] = latest(held.told, told, _place_of_told)
        changed |= {name: latest(getattr(held, name), fact, _place_of_told) for name, fact in began.items()}
    return _with_template(health, template_id, changed)


def _place_of_told(fact: TemplateTold | TroubleBegan) -> tuple[int, datetime, str]:
    return fact.number, fact.at, fact.id


def _template_status(health: WabaHealth, event: TemplateStatusChanged, place: dict[str, Any]) -> dict[str, Any]:
    held = _template(health, event.template_id)
    named: dict[str, Any] = {**place, "name": event.name, "language": event.language}
    changed: dict[str, Any] = {"notice": latest(held.notice, TemplateNotice(**named, notice=notice_after(event.event)))}
    if status := status_after(event.event):
        told = TemplateStatus(**named, status=status, reason=event.reason)
        changed["status_told"] = latest(held.status_told, told)
    return _with_template(health, event.template_id, changed)


def _template(health: WabaHealth, template_id: str) -> TemplateHealth:
    return health.templates.get(template_id) or TemplateHealth()


def _with_template(health: WabaHealth, template_id: str, changed: dict[str, Any]) -> dict[str, Any]:
    known = _template(health, template_id).model_copy(update=changed)
    return {"templates": _with(health.templates, template_id, known)}


def _later(one: datetime | None, other: datetime) -> datetime:
    return max(one or other, other)


def _number_quality(health: WabaHealth, event: PhoneNumberQualityChanged, place: dict[str, Any]) -> dict[str, Any]:
    """FLAGGED and UNFLAGGED say how customers like the number, the other events what it may send."""
    number = _number(health, event.display_phone_number)
    kind = event.event.upper()
    if kind in ("FLAGGED", "UNFLAGGED"):
        changed: dict[str, Any] = {"flag": latest(number.flag, Flag(**place, flagged=kind == "FLAGGED"))}
    else:
        limit = MessagingLimit(**place, event=kind, tier=event.current_limit)
        changed = {"limits": latest_few(number.limits, limit, 2)}
    return _with_number(health, number.model_copy(update=changed))


def _number(health: WabaHealth, display: str) -> NumberHealth:
    key = digits(display)
    return health.numbers.get(key) or NumberHealth(display_phone_number=key)


def _with_number(health: WabaHealth, number: NumberHealth) -> dict[str, Any]:
    return {"numbers": _with(health.numbers, number.display_phone_number, number)}
