"""What the newest check of an account says of its access, its webhooks, its numbers and who may send. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from wabus_events import CheckedNumber, PhoneNumber, SendingError, SendingRestriction
from wabus_whatsapp.accounts import is_registered
from wabus_whatsapp.sending.health import BLOCKED
from wabus_whatsapp.webhook_fields import FIELDS, Use

from wabus_health_projector.health.check import is_ours
from wabus_health_projector.health.reasons.message_errors import NOT_REGISTERED
from wabus_health_projector.health.reasons.reason import Reason, Severity
from wabus_health_projector.health.state import Checked, CheckFailure, Connection, WabaHealth, order


def checked_since(health: WabaHealth, connection: Connection) -> Checked | None:
    """What Graph said when it last answered, if that was after the account was connected."""
    return health.checked if health.checked and order(health.checked) > order(connection) else None


def refused_since(health: WabaHealth, connection: Connection) -> CheckFailure | None:
    """Graph's refusal of the newest check, unless it has answered since, or the account was connected again."""
    failed, done = health.check_failed, health.sync_done
    if failed is None or order(failed) < order(connection):
        return None
    if (health.checked and order(health.checked) > order(failed)) or (done and order(done) > order(failed)):
        return None
    return failed


def routing_reasons(
    health: WabaHealth, connection: Connection, failing_unregistered: Collection[str] = ()
) -> Iterator[Reason]:
    """Where Meta sends the account's webhooks, and how its numbers are connected.

    `failing_unregistered` are the ids of the numbers whose messages fail because they are not registered: those are
    told of already.
    """
    refused = refused_since(health, connection)
    if refused and refused.code in ("account_not_found", "account_blocked"):
        yield Reason(
            code=refused.code,
            severity="failing",
            message=refused.message,
            remedy="Look at the account in WhatsApp Manager; connect it again once it is in order there.",
            since=refused.at,
        )
    checked = checked_since(health, connection)
    for number in unregistered(health, connection):
        if number.phone_number_id not in failing_unregistered:
            yield _not_registered(number, (checked or connection).at)
    if checked is None:
        return
    yield from _fields_missing(checked)
    if not checked.subscribed:
        yield Reason(
            code="webhook_unsubscribed",
            severity="failing",
            message="Meta no longer sends us this account's webhooks: our app is not subscribed to it any more.",
            remedy="Connect your WhatsApp Business account again; this subscribes our app.",
            since=checked.at,
        )
    for number in checked.numbers:
        display = _display(number)
        if number.callback_url is not None and not is_ours(number.callback_url, checked.our_callback_url):
            where = (
                f"to {urlsplit(number.callback_url).netloc or number.callback_url}"
                if number.callback_url
                else "nowhere"
            )
            yield Reason(
                code="webhook_misrouted",
                severity="failing",
                message=f"Meta sends the messages of {display} {where} instead of to us: the callback URL was changed.",
                remedy="Connect your WhatsApp Business account again, which sets the callback URL right; ask whoever "
                "else uses your Meta app not to change it.",
                since=checked.at,
            )
        if number.status and number.status in NOT_CONNECTED and _is_registered(number):
            severity, what, remedy = NOT_CONNECTED[number.status]
            yield Reason(
                code="phone_not_connected",
                severity=severity,
                message=f"The number {display} {what}.",
                remedy=remedy,
                since=checked.at,
            )


def unregistered(health: WabaHealth, connection: Connection) -> list[CheckedNumber | PhoneNumber]:
    """The numbers that can neither send nor receive, for nobody has registered them: by the newest check, and until
    there is one by what Graph said when the account was connected.
    """
    checked = checked_since(health, connection)
    known = checked.numbers if checked else connection.phone_numbers
    return [each for each in known if not _is_registered(each)]


def _is_registered(number: CheckedNumber | PhoneNumber) -> bool:
    """Unless Graph says otherwise."""
    return is_registered(number.status, number.platform_type) is not False


def _not_registered(number: CheckedNumber | PhoneNumber, since: datetime) -> Reason:
    return Reason(
        code=NOT_REGISTERED,
        severity="pending",
        message=f"The number {_display(number)} is not registered with WhatsApp: it can neither send nor receive.",
        remedy="Finish the number's set-up in WhatsApp Manager. If nothing is left to do there, whoever runs this "
        "service has to register it with its six-digit PIN (Meta: “Registering phone numbers”, for the id "
        f"{number.phone_number_id}).",
        since=since,
    )


def _fields_missing(checked: Checked) -> Iterator[Reason]:
    """What Meta does not tell us of, the fields that are equally bad to lack in one reason."""
    phones = [_display(number) for number in checked.numbers if number.coexistence]
    lacking: dict[Severity, list[tuple[str, Use]]] = {}
    for name in checked.fields_missing or ():
        use = FIELDS.get(name)
        if use and (phones or not use.coexistence):
            lacking.setdefault(use.severity, []).append((name, use))
    host, ours = checked.app_callback_host, checked.our_callback_url
    for severity, fields in lacking.items():
        names = ", ".join(f"“{name}”" for name, _ in fields)
        uses = dict.fromkeys(use for _, use in fields)
        why = f": the app's callback is at {host}" if host else ""
        told = f"Meta does not tell us of {names}{why}."
        yield Reason(
            code="fields_missing",
            severity=severity,
            message=" ".join((told, *(use.without for use in uses))),
            remedy="This is for whoever runs this service: in Meta's App Dashboard, under WhatsApp, Configuration, "
            + (f"set the callback URL {ours} and subscribe" if host else "subscribe")
            + " to these fields.",
            since=checked.at,
        )


def restriction_reasons(health: WabaHealth, connection: Connection, told: Sequence[Reason]) -> Iterator[Reason]:
    """What Meta itself says keeps somebody from sending, but for what `told` says already of the same cause."""
    checked = checked_since(health, connection)
    if checked is None:
        return
    codes = {reason.code for reason in told}
    numbers = {number.phone_number_id: number for number in checked.numbers}
    for restriction in checked.restrictions:
        number = numbers.get(restriction.entity_id or "")
        if restriction.entity_type in JUDGED_OTHERWISE or (number and _is_told_of(number)):
            continue
        what = _named(restriction, number)
        for error in restriction.errors or (SendingError(description=" ".join(restriction.additional_info) or None),):
            code = MEANT_BY.get(error.error_code or 0)
            if code and codes & SAME_CAUSE.get(code, {code}):
                continue
            yield _restricted(restriction, error, what, code, checked.at)


def _restricted(
    restriction: SendingRestriction, error: SendingError, what: str, code: str | None, since: datetime
) -> Reason:
    blocked = restriction.can_send_message == BLOCKED
    why = f": {error.description}" if error.description else "."
    remedy = error.possible_solution or "See in WhatsApp Manager what Meta asks for."
    return Reason(
        code=code or ("sending_blocked" if blocked else "sending_limited"),
        severity="failing" if blocked else "degraded",
        message=f"Meta {'blocks' if blocked else 'limits'} sending by {what}{why}",
        remedy=f"This is for whoever runs this service: {remedy}" if restriction.entity_type == "APP" else remedy,
        since=since,
    )


def _is_told_of(number: CheckedNumber) -> bool:
    """Whether a reason of its own says how the number is connected; what Meta blocks follows from that."""
    return number.status in NOT_CONNECTED or not _is_registered(number)


def _named(restriction: SendingRestriction, number: CheckedNumber | None) -> str:
    if number:
        return f"the number {_display(number)}"
    return ENTITIES.get(restriction.entity_type, restriction.entity_type.replace("_", " ").lower())


def _display(number: CheckedNumber | PhoneNumber) -> str:
    return number.display_phone_number or number.phone_number_id


ENTITIES = {
    "PHONE_NUMBER": "a number",
    "WABA": "your account",
    "BUSINESS": "your business portfolio",
    "APP": "this service's app at Meta",
}
JUDGED_OTHERWISE = frozenset({"MESSAGE_TEMPLATE", "FLOW"})
MEANT_BY = {141006: "payment_problem", 141010: "business_not_verified", 141014: "account_banned"}
"""Codes of Meta's "Messaging and Calling Health Status" whose cause is known here."""
SAME_CAUSE = {
    "account_banned": {
        *("account_banned", "account_disabled", "account_deleted", "account_offboarded", "account_blocked"),
    }
}
"""Reasons that say the same as one of these, in their own words."""

_SET_UP = "Finish the number's set-up in WhatsApp Manager, or connect the account again."
_APPEAL = "See the reason in WhatsApp Manager and ask Meta for a review."
NOT_CONNECTED: Mapping[str, tuple[Severity, str, str]] = {
    "PENDING": ("pending", "waits for Meta", _SET_UP),
    "UNVERIFIED": ("pending", "is not verified yet", _SET_UP),
    "MIGRATED": ("failing", "was moved to another WhatsApp Business account", "Connect the account that has it now."),
    "DELETED": ("failing", "was deleted at Meta", "Add the number again in WhatsApp Manager."),
    "DISCONNECTED": ("failing", "is disconnected from WhatsApp", _SET_UP),
    "BANNED": ("failing", "was banned by Meta", _APPEAL),
    "RESTRICTED": ("degraded", "is restricted: it has reached its limit or its quality is low", _APPEAL),
    "RATE_LIMITED": ("degraded", "is limited by Meta for sending too much", "Send fewer messages for some hours."),
    "FLAGGED": ("degraded", "was flagged by Meta because its quality is low", _APPEAL),
}
"""Meta: "WhatsApp Business Phone Number", `status`, of numbers that are registered. CONNECTED is none of them."""
