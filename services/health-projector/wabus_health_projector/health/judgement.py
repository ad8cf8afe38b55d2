"""Is this WABA healthy, and if not, why, and what should its people do? Pure: the moment is an argument."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wabus_health_projector.health.reasons.account import account_reasons
from wabus_health_projector.health.reasons.action import RECONNECT, action_of, ease
from wabus_health_projector.health.reasons.message_errors import NOT_REGISTERED, numbers_in, traffic_reasons
from wabus_health_projector.health.reasons.reason import SEVERITIES, Reason
from wabus_health_projector.health.reasons.routing import (
    checked_since,
    refused_since,
    restriction_reasons,
    routing_reasons,
)
from wabus_health_projector.health.reasons.sync_errors import meaning_of
from wabus_health_projector.health.state import Checked, CheckFailure, Connection, SyncFailure, WabaHealth, order
from wabus_health_projector.health.traffic import Traffic

Status = Literal["healthy", "pending", "degraded", "failing"]

TOKEN_WARNING = timedelta(days=7)  # before a token expires
TEMPLATES_STALE_AFTER = timedelta(hours=24)  # since the last sync that ended well, at least
SYNC_STALLED_AFTER = timedelta(minutes=15)  # since a sync was asked for or begun, or the account connected
HABIT_DAYS = 5  # days with a webhook before silence means anything
SILENCE_AT_LEAST = timedelta(days=3)

SCOPES = {
    "whatsapp_business_management": "manage your WhatsApp Business account",
    "whatsapp_business_messaging": "send and receive its messages",
}
"""What each of Meta's permissions lets us do."""

NO_TRAFFIC = Traffic()
HOURLY = timedelta(hours=1)  # how often templates are compared unless RECONCILE_INTERVAL says otherwise


class Verdict(BaseModel):
    """The worst reason decides the status; a `notice` never does. Reasons are sorted, the worst first."""

    model_config = ConfigDict(frozen=True)

    status: Status
    reasons: tuple[Reason, ...]


def judge(
    health: WabaHealth, now: datetime, traffic: Traffic = NO_TRAFFIC, *, reconcile_every: timedelta = HOURLY
) -> Verdict:
    """What is known of a WABA, judged at a moment. `traffic` is what its messages of the last day say.

    `reconcile_every` is how often its templates are compared with Meta's; zero if only when somebody asks. What was
    heard before the last time in which nobody had it connected counts no more, where nothing says that it is still so.
    """
    connection = health.connection
    if connection is None:
        return conclude([_not_connected(health)])
    gap = health.gap_before(connection)
    traffic = traffic.since(gap)
    failing_unregistered = numbers_in(NOT_REGISTERED, traffic, now)
    reasons = [
        *_token(health, connection, now),
        *_webhook(health, connection, now, traffic),
        *_sync(health.with_syncs_since(connection) if gap else health, connection, now, reconcile_every),
        *_templates(health),
        *routing_reasons(health, connection, failing_unregistered),
        *account_reasons(health, connection, now),
        *traffic_reasons(traffic, _displays(health, connection), now),
    ]
    reasons += restriction_reasons(health, connection, reasons)
    return conclude([_about(health, connection, reason) for reason in reasons])


def _about(health: WabaHealth, connection: Connection, reason: Reason) -> Reason:
    reason = reason.model_copy(update={"waba_id": health.waba_id})
    return reason.model_copy(update={"action": action_of(reason, connection.phone_numbers)})


def _displays(health: WabaHealth, connection: Connection) -> dict[str, str]:
    checked = checked_since(health, connection)
    return {
        number.phone_number_id: number.display_phone_number or number.phone_number_id
        for number in (*connection.phone_numbers, *(checked.numbers if checked else ()))
    }


def judge_organisation(
    wabas: Sequence[tuple[WabaHealth, Traffic]], now: datetime, *, reconcile_every: timedelta = HOURLY
) -> Verdict:
    """The verdict on an organisation's WABAs together; one that was given up says nothing while others are left."""
    connected = [(health, traffic) for health, traffic in wabas if health.connection]
    if not connected:
        latest = max((health for health, _ in wabas), key=_given_up_at, default=None)
        return conclude([_not_connected(latest)])
    verdicts = [judge(health, now, traffic, reconcile_every=reconcile_every) for health, traffic in connected]
    return conclude([reason for verdict in verdicts for reason in verdict.reasons])


def conclude(reasons: Sequence[Reason]) -> Verdict:
    """The verdict that these reasons add up to. Of two that are equally bad the one that is easier to mend is first."""
    ordered = sorted(
        reasons,
        key=lambda reason: (SEVERITIES.index(reason.severity), ease(reason), reason.code, reason.waba_id or ""),
    )
    worst = ordered[0].severity if ordered else "notice"
    return Verdict(status="healthy" if worst == "notice" else worst, reasons=tuple(ordered))


def _not_connected(health: WabaHealth | None) -> Reason:
    if health is None or health.owner is None:
        return Reason(
            code="not_connected",
            severity="pending",
            message="No WhatsApp Business account is connected yet.",
            remedy="Connect your WhatsApp Business account.",
            action=RECONNECT,
        )
    return Reason(
        code="not_connected",
        severity="pending",
        message="The WhatsApp Business account was disconnected.",
        remedy="Connect the account again to receive messages and use its templates.",
        action=RECONNECT,
        since=_given_up_at(health),
        waba_id=health.waba_id,
    )


def _given_up_at(health: WabaHealth) -> datetime:
    ended = [health.disconnections[org].at for org in (health.owner or "", "") if org in health.disconnections]
    return max(ended, default=datetime.min.replace(tzinfo=UTC))


def _token(health: WabaHealth, connection: Connection, now: datetime) -> Iterator[Reason]:
    """Meta: "Error codes", 190 (access token expired) and 10, 200–299 (permission). A new connection ends both."""
    refusals = _refusals(health, connection)
    checked = checked_since(health, connection)
    expires = checked.token_expires_at if checked else connection.token_expires_at
    expired = refusals.get("token_expired")
    if expired or (expires and expires <= now):
        moments = [expired.at] if expired else []
        yield Reason(
            code="token_expired",
            severity="failing",
            message="Our access to your WhatsApp account has ended: it has expired, or somebody has revoked it."
            if expired
            else f"Our access to your WhatsApp account expired on {expires:%-d %B %Y}.",
            remedy="Connect your WhatsApp Business account again: it takes a minute, and nothing is lost.",
            since=min([*moments, expires] if expires and expires <= now else moments),
        )
    elif expires and expires - TOKEN_WARNING <= now:
        yield Reason(
            code="token_expires_soon",
            severity="degraded",
            message=f"Our access to your WhatsApp account expires on {expires:%-d %B %Y}.",
            remedy="Connect your WhatsApp Business account again before that day.",
            since=max(connection.at, expires - TOKEN_WARNING),
        )
    lost = refusals.get("permission_lost")
    withdrawn = _withdrawn(connection, checked)
    if lost or (checked and withdrawn):
        yield Reason(
            code="permission_lost",
            severity="failing",
            message="Meta does not let us manage your WhatsApp account any more."
            if lost
            else f"Somebody has withdrawn our permission to {' and '.join(withdrawn)}.",
            remedy="Connect the account again and grant every permission that Meta asks for.",
            since=lost.at if lost else checked.at if checked else None,
        )


def _withdrawn(connection: Connection, checked: Checked | None) -> list[str]:
    """What we were allowed to do when the account was connected, and no longer are."""
    if checked is None or not checked.scopes:
        return []
    return [SCOPES[each] for each in sorted({*SCOPES} & {*connection.scopes} - {*checked.scopes})]


def _refusals(health: WabaHealth, connection: Connection) -> dict[str, SyncFailure | CheckFailure]:
    """What Graph refused us, by code, the first of each: by the newest sync and by the newest check."""
    found: dict[str, SyncFailure | CheckFailure] = {}
    failure = health.last_failure if health.sync_status == "failed" or _failed_since(health, connection) else None
    checked = checked_since(health, connection)
    if failure and failure.at >= connection.at and not (checked and order(checked) > order(failure)):
        found[failure.code] = failure
    refused = refused_since(health, connection)
    if refused and (refused.code not in found or refused.at < found[refused.code].at):
        found[refused.code] = refused
    return found


def _failed_since(health: WabaHealth, connection: Connection) -> bool:
    """Whether the last sync that has ended since the connection failed, even if another has begun meanwhile."""
    failure, done = health.last_failure, health.sync_done
    return failure is not None and failure.at >= connection.at and (done is None or done.at < failure.at)


def _webhook(health: WabaHealth, connection: Connection, now: datetime, traffic: Traffic) -> Iterator[Reason]:
    if not _reached(health, connection, traffic):
        yield Reason(
            code="webhook_unverified",
            severity="pending",
            message="Meta has not reached our webhook for this account yet.",
            remedy="Send a message to your WhatsApp number. If this stays, check the callback URL in "
            "Meta's App Dashboard.",
            since=connection.at,
        )
        return
    days = health.days_seen
    if len(days) < HABIT_DAYS:
        return
    longest_gap = max(newer - older for newer, older in pairwise(days))
    heard = [datetime.combine(days[0], time.max, UTC), connection.at, *([traffic.last_at] if traffic.last_at else [])]
    silent_from = max(heard) + max(SILENCE_AT_LEAST, 2 * longest_gap)
    if now >= silent_from:
        yield Reason(
            code="webhook_silent",
            severity="degraded",
            message=f"Nothing has arrived from Meta since {days[0]:%-d %B %Y}, which is unusual here.",
            remedy="Send a message to your WhatsApp number. If it does not arrive, check the callback URL in "
            "Meta's App Dashboard, and connect the account again.",
            since=silent_from,
        )


def _reached(health: WabaHealth, connection: Connection, traffic: Traffic) -> bool:
    """Whether anything shows that Meta reaches us since the account was connected without a break."""
    gap = health.gap_before(connection)
    proofs = (health.handshake_last, health.webhook_last, health.configuration_last)
    if gap is None:
        return traffic.last_at is not None or any(proofs)
    # The first webhook of a day alone is evidence of its own, and it may have come before the gap.
    return bool(traffic.last_at or traffic.reached_at) or any(proof and proof.at > gap for proof in proofs)


def stale_after(reconcile_every: timedelta) -> timedelta | None:
    """How long after a comparison templates are stale; None if they never are, for nobody compares them regularly.

    One that is missed is no reason yet: the next may do.
    """
    return max(TEMPLATES_STALE_AFTER, 2 * reconcile_every) if reconcile_every else None


def _sync(health: WabaHealth, connection: Connection, now: datetime, reconcile_every: timedelta) -> Iterator[Reason]:
    failure, done, status = health.last_failure, health.sync_done, health.sync_status
    if failure and _failed_since(health, connection) and failure.code not in ("token_expired", "permission_lost"):
        since_success = [each.at for each in health.sync_failures if done is None or each.at > done.at]
        message, remedy = meaning_of(failure)
        yield Reason(
            code="sync_failing",
            severity="degraded" if failure.retryable else "failing",
            message=message,
            remedy=remedy,
            since=min(since_success),
        )
    stale = stale_after(reconcile_every)
    stale_from = max(done.at, connection.at) + stale if done and stale else None
    if done and stale_from and now > stale_from:
        yield Reason(
            code="templates_stale",
            severity="degraded",
            message=f"Your templates were last compared with Meta on {done.at:%-d %B %Y at %H:%M} UTC.",
            remedy="Press “Sync now”.",
            since=stale_from,
        )
    begun = {"requested": health.sync_requested, "syncing": health.sync_started}.get(status)
    waiting_since = begun.at if begun else connection.at if status == "never" else None
    if waiting_since is None:
        return
    # An end without success or failure: our own app was refused, and the next sync comes by itself.
    if now - waiting_since > SYNC_STALLED_AFTER and (begun or not health.ended_syncs):
        yield Reason(
            code="sync_stalled",
            severity="degraded",
            message="Comparing your templates with Meta takes much longer than usual.",
            remedy="Press “Sync now”; tell support if this goes on.",
            since=waiting_since + SYNC_STALLED_AFTER,
        )
    elif done is None and failure is None:
        yield Reason(
            code="first_sync_pending",
            severity="pending",
            message="Your templates are being fetched from Meta for the first time.",
            remedy="Nothing to do: this takes a few seconds.",
            since=waiting_since,
        )


def _templates(health: WabaHealth) -> Iterator[Reason]:
    shown = health.shown_templates
    for trouble, code, severity, what, *remedies in TEMPLATE_TROUBLES:
        troubled = [each for each in shown if trouble in each.troubles]
        if troubled:
            yield Reason(
                code=code,
                severity=severity,
                message=_named([(each.name, each.language) for each in troubled], what),
                remedy=remedies[len(troubled) > 1],
                since=min(filter(None, (each.troubles[trouble] for each in troubled)), default=None),
            )


TEMPLATE_TROUBLES: tuple[tuple[str, str, Literal["degraded", "notice"], str, str, str], ...] = (
    (
        "PAUSED", "template_paused", "degraded", "paused by Meta because of low quality",
        "Don't send it while it is paused; Meta ends the pause by itself. Change its text before it is disabled.",
        "Don't send them while they are paused; Meta ends the pause by itself. Change their texts before they are "
        "disabled.",
    ),
    (
        "DISABLED", "template_disabled", "degraded", "disabled by Meta and can't be sent",
        "Use another template, or appeal in WhatsApp Manager.",
        "Use other templates, or appeal in WhatsApp Manager.",
    ),
    (
        "FLAGGED", "template_flagged", "degraded", "flagged by Meta and will be disabled soon",
        "Change its text in WhatsApp Manager, or send it to fewer people.",
        "Change their texts in WhatsApp Manager, or send them to fewer people.",
    ),
    (
        "LOCKED", "template_locked", "degraded", "locked by Meta and can't be edited",
        "See in WhatsApp Manager what Meta asks for.",
        "See in WhatsApp Manager what Meta asks for.",
    ),
    (
        "REJECTED", "template_rejected", "notice", "rejected by Meta",
        "Edit it in WhatsApp Manager after reading why, or delete it.",
        "Edit them in WhatsApp Manager after reading why, or delete them.",
    ),
    (
        "RED", "template_quality_red", "degraded", "disliked by customers and may be paused",
        "Send it to fewer people, or change its text in WhatsApp Manager.",
        "Send them to fewer people, or change their texts in WhatsApp Manager.",
    ),
)  # fmt: skip
"""Trouble, reason code, severity, what is said of the templates, remedy for one, for several.

A rejected template was never in use.
"""


def _named(templates: Sequence[tuple[str, str]], what: str) -> str:
    """A sentence that names up to three templates."""
    names = [f"{name} ({language})" for name, language in sorted(templates)]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(names)} templates are {what}: {shown}." if len(names) > 1 else f"The template {shown} is {what}."
