"""What Meta has decided about an account and its phone numbers, as reasons: restrictions, reviews, quality, limits."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from wabus_events import CheckedNumber, PhoneNumber
from wabus_events.models.messaging_limit import is_lower, people_a_day
from wabus_whatsapp.text.shown import isolated

from wabus_health_projector.health.reasons.reason import Reason, Severity
from wabus_health_projector.health.state import Checked, Connection, Fact, NumberHealth, WabaHealth, digits, order

WARNING_LASTS = timedelta(days=30)  # for what Meta announces once and never takes back: violations, alerts
PIN_RESET_LASTS = timedelta(days=7)

ACCOUNT_GONE = {
    "ACCOUNT_DELETED": ("account_deleted", "The WhatsApp Business account was deleted at Meta."),
    "ACCOUNT_OFFBOARDED": (
        "account_offboarded",
        "The account can't send or receive through us: its number was moved to another phone, or registered again, in "
        "the WhatsApp Business app.",
    ),
    "PARTNER_REMOVED": ("permission_lost", "The account is no longer shared with us."),
    "PARTNER_APP_UNINSTALLED": ("permission_lost", "Our app was removed from the account."),
}  # fmt: skip
ACCOUNT_GONE_REMEDIES = {
    "ACCOUNT_OFFBOARDED": "Finish the registration in the WhatsApp Business app, and leave this platform ticked where "
    "it lists those that were connected: within minutes the account comes back by itself. If not, connect it again.",
}
"""Where it is not to connect the account again. Meta: "Reconnect offboarded coexistence clients"."""
ACCOUNT_BACK = {
    "ACCOUNT_OFFBOARDED": "ACCOUNT_RECONNECTED",
    "PARTNER_REMOVED": "PARTNER_ADDED",
    "PARTNER_APP_UNINSTALLED": "PARTNER_APP_INSTALLED",
}


class Number(NamedTuple):
    """A phone number as the connection and the webhooks together tell it; `display` is how people write it."""

    display: str
    known: PhoneNumber | None
    heard: NumberHealth | None
    quality: str | None
    """GREEN, YELLOW, RED, UNKNOWN or FLAGGED."""
    quality_since: datetime | None
    tier: str | None
    checked: CheckedNumber | None
    checked_at: datetime | None


def account_reasons(health: WabaHealth, connection: Connection, now: datetime) -> Iterator[Reason]:
    gap = health.gap_before(connection)
    yield from _gone(health, connection)
    yield from _banned(health, gap)
    yield from _restricted(health, now, gap)
    yield from _reviewed(health, now, gap)
    for number in numbers(health, connection):
        yield from _quality(number)
        yield from _limit(number)
        yield from _name_and_pin(number, now)
    if len(health.capabilities) == 2:
        newest, before = health.capabilities
        if is_lower(newest.limit, before.limit) and _counts(newest, gap):
            yield _limit_lowered("your business", f"{newest.limit} conversations a day", newest.at)


def numbers(health: WabaHealth, connection: Connection) -> list[Number]:
    """All phone numbers of the WABA that anything is known of, in the order of their digits."""
    gap = health.gap_before(connection)
    heard = {key: number.only(lambda fact: _counts(fact, gap)) for key, number in health.numbers.items()}
    known = {digits(each.display_phone_number or each.phone_number_id): each for each in connection.phone_numbers}
    since = health.checked if health.checked and order(health.checked) > order(connection) else None
    checked = {
        digits(each.display_phone_number or each.phone_number_id): each for each in (since.numbers if since else ())
    }
    return [
        _number(key, known.get(key), heard.get(key), checked.get(key), connection, since)
        for key in sorted({*known, *heard, *checked})
    ]


def _number(
    key: str,
    known: PhoneNumber | None,
    heard: NumberHealth | None,
    checked: CheckedNumber | None,
    connection: Connection,
    check: Checked | None,
) -> Number:
    """Of what the connection, the webhooks and the newest check say, the latest stands."""
    quality, since, asked = known.quality_rating if known else None, connection.at, order(connection)
    if checked and check:
        quality, since, asked = checked.quality_rating, check.at, order(check)
    flag = heard.flag if heard else None
    if flag and flag.flagged and not (checked and order(flag) < asked):
        quality, since = "FLAGGED", flag.at
    elif flag and order(flag) > asked:
        quality = None
    limits = heard.limits if heard else ()
    tier, told = known.messaging_limit if known else None, order(connection)
    if checked and check and checked.messaging_limit:
        tier, told = checked.messaging_limit, order(check)
    if limits and (tier is None or order(limits[0]) > told):
        tier = limits[0].tier
    display = next((each.display_phone_number for each in (checked, known) if each and each.display_phone_number), None)
    return Number(
        display or f"+{key}",
        known,
        heard,
        quality.upper() if quality else None,
        since if quality else None,
        tier,
        checked,
        check.at if checked and check else None,
    )


def _gone(health: WabaHealth, connection: Connection) -> Iterator[Reason]:
    """Meta: "account_update webhook reference". What happened before the account was connected (again) is over."""
    events = health.account_events
    for event, (code, message) in ACCOUNT_GONE.items():
        gone, back = events.get(event), events.get(ACCOUNT_BACK.get(event, ""))
        if gone and order(gone) > order(connection) and not (back and order(back) > order(gone)):
            remedy = ACCOUNT_GONE_REMEDIES.get(event, "Connect your WhatsApp Business account again.")
            yield _account(code, "failing", message, remedy, gone)


def _counts(fact: Fact, gap: datetime | None) -> bool:
    """Whether what Meta said still counts. The end of it may have come while nobody had the account connected."""
    return gap is None or fact.at >= gap


def _banned(health: WabaHealth, gap: datetime | None) -> Iterator[Reason]:
    ban = health.account_events.get("DISABLED_UPDATE")
    if ban is None or not _counts(ban, gap):
        return
    appeal = "Ask Meta for a review in Business Support Home."
    if ban.ban_state == "SCHEDULE_FOR_DISABLE":
        yield _account("account_disable_scheduled", "degraded", "Meta is going to disable this account.", appeal, ban)
    elif ban.ban_state == "DISABLE":
        yield _account(
            "account_banned", "failing", "Meta has banned this account: it can't send messages.", appeal, ban
        )
    elif ban.ban_state != "REINSTATE":
        yield _account("account_disabled", "failing", "Meta has disabled this account.", appeal, ban)


def _restricted(health: WabaHealth, now: datetime, gap: datetime | None) -> Iterator[Reason]:
    events = health.account_events
    restriction, ban = events.get("ACCOUNT_RESTRICTION"), events.get("DISABLED_UPDATE")
    lifted = restriction and ban and ban.ban_state == "REINSTATE" and order(ban) > order(restriction)
    if restriction and not lifted:
        counts = _counts(restriction, gap)
        lasting = [each for each in restriction.restrictions if (each.expires_at > now if each.expires_at else counts)]
        if lasting:
            ends = [each.expires_at for each in lasting if each.expires_at]
            until = f" until {max(ends):%-d %B %Y}" if len(ends) == len(lasting) else ""
            what = _any_of([RESTRICTIONS.get(kind, kind) for kind in _worst_first({each.kind for each in lasting})])
            severity: Severity = "failing" if any("MESSAGING" in each.kind for each in lasting) else "degraded"
            message = f"Meta does not let this account {what}{until}."
            yield _account(
                "account_restricted", severity, message, "See the reason in Business Support Home.", restriction
            )
    violation = events.get("ACCOUNT_VIOLATION")
    if violation and now - violation.at < WARNING_LASTS:
        kind = (violation.violation or "policy").replace("_", " ").lower()
        message = f"Meta says that this account broke its rules ({kind})."
        yield _account(
            "account_violation", "degraded", message, "Read what Meta found in Business Support Home.", violation
        )


RESTRICTIONS = {
    "RESTRICTED_CUSTOMER_INITIATED_MESSAGING": "answer customers",
    "RESTRICTED_BIZ_INITIATED_MESSAGING": "start conversations",
    "RESTRICTION_ON_PAYMENTS": "take payments",
    "RESTRICTED_ADD_PHONE_NUMBER_ACTION": "add phone numbers",
}
"""What each forbids, the worst first."""


def _worst_first(kinds: set[str]) -> list[str]:
    known = list(RESTRICTIONS)
    return sorted(kinds, key=lambda kind: (known.index(kind) if kind in known else len(known), kind))


def _any_of(what: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, (", ".join(what[:-1]), what[-1])))


def _reviewed(health: WabaHealth, now: datetime, gap: datetime | None) -> Iterator[Reason]:
    if health.review and health.review.decision == "REJECTED" and _counts(health.review, gap):
        message = "Meta has reviewed this account and rejected it."
        remedy = "Correct your business details in WhatsApp Manager and ask for another review."
        yield _account("account_review_rejected", "failing", message, remedy, health.review)
    for alert in health.alerts.values():
        if alert.active and alert.severity in ("CRITICAL", "WARNING") and now - alert.at < WARNING_LASTS:
            about = alert.description or alert.kind.replace("_", " ").capitalize() + "."
            severity: Severity = "degraded" if alert.severity == "CRITICAL" else "notice"
            message = f"Meta wants you to look at something: {about}"
            yield _account("account_alert", severity, message, "Open WhatsApp Manager and follow Meta's advice.", alert)


def _quality(number: Number) -> Iterator[Reason]:
    trouble: Mapping[str, tuple[Severity, str]] = {
        "YELLOW": ("degraded", "has medium quality: some customers block or report it"),
        "RED": ("degraded", "has low quality: many customers block or report it"),
        "FLAGGED": ("degraded", "was flagged by Meta because its quality is low"),
    }
    if number.quality in trouble:
        severity, what = trouble[number.quality]
        code = "phone_flagged" if number.quality == "FLAGGED" else f"phone_quality_{number.quality.lower()}"
        yield Reason(
            code=code,
            severity=severity,
            message=f"The number {number.display} {what}.",
            remedy="Write only to people who asked for it, and send fewer marketing messages for some days.",
            since=number.quality_since,
        )


def _limit(number: Number) -> Iterator[Reason]:
    """By what the webhooks said, unless a check has found another limit since."""
    limits = number.heard.limits if number.heard else ()
    checked = number.checked
    if checked and number.checked_at and checked.messaging_limit and number.tier == checked.messaging_limit:
        lowered = _is_lower(checked.messaging_limit, checked.messaging_limit_before)
        if not limits or limits[0].tier != checked.messaging_limit:
            if lowered:
                yield _limit_lowered(number.display, _tier(number.tier), number.checked_at)
            return
    if not limits:
        return
    newest, before = limits[0], limits[1] if len(limits) > 1 else None
    if newest.event == "DOWNGRADE" or _is_lower(newest.tier, before.tier if before else None):
        yield _limit_lowered(number.display, _tier(newest.tier), newest.at)


def _is_lower(tier: str | None, before: str | None) -> bool:
    return is_lower(people_a_day(tier), people_a_day(before))


def _tier(tier: str | None) -> str:
    return (tier or "a lower tier").replace("TIER_", "").lower()


def _limit_lowered(whose: str, limit: str, since: datetime) -> Reason:
    return Reason(
        code="messaging_limit_lowered",
        severity="degraded",
        message=f"Meta has lowered the messaging limit of {whose} to {limit}.",
        remedy="Raise the quality of what you send; Meta raises the limit again by itself.",
        since=since,
    )


def _name_and_pin(number: Number, now: datetime) -> Iterator[Reason]:
    rejected = bool(number.heard and number.heard.name and number.heard.name.decision == "REJECTED")
    if number.checked and number.checked.name_status in ("DECLINED", "REJECTED") and not rejected:
        yield Reason(
            code="display_name_rejected",
            severity="notice",
            message=f"Meta has rejected the display name of {number.display}.",
            remedy="Choose another name in WhatsApp Manager.",
            since=number.checked_at,
        )
    if number.heard is None:
        return
    name, security = number.heard.name, number.heard.security
    if name and name.decision == "REJECTED":
        message = (
            f"Meta has rejected the display name {f'“{isolated(name.name)}” ' if name.name else ''}of {number.display}."
        )
        yield _account("display_name_rejected", "notice", message, "Choose another name in WhatsApp Manager.", name)
    if security and security.event == "PIN_RESET_REQUEST" and now - security.at < PIN_RESET_LASTS:
        message = f"Somebody has asked Meta to switch off the two-step PIN of {number.display}."
        yield _account(
            "pin_reset_requested", "degraded", message, "If it was not you, refuse it in WhatsApp Manager.", security
        )


def _account(code: str, severity: Severity, message: str, remedy: str, fact: Fact) -> Reason:
    return Reason(code=code, severity=severity, message=message, remedy=remedy, since=fact.at)
