"""What the newest check of an account says of its access, its webhooks and its numbers, as reasons. Pure."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from wabus_health_projector.health.check import is_ours
from wabus_health_projector.health.reason import Reason, Severity
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


def routing_reasons(health: WabaHealth, connection: Connection) -> Iterator[Reason]:
    """Where Meta sends the account's webhooks, and how its numbers are connected."""
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
    if checked is None:
        return
    if not checked.subscribed:
        yield Reason(
            code="webhook_unsubscribed",
            severity="failing",
            message="Meta no longer sends us this account's webhooks: our app is not subscribed to it any more.",
            remedy="Connect your WhatsApp Business account again; this subscribes our app.",
            since=checked.at,
        )
    for number in checked.numbers:
        display = number.display_phone_number or number.phone_number_id
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
        if number.status and number.status in NOT_CONNECTED:
            severity, what, remedy = NOT_CONNECTED[number.status]
            yield Reason(
                code="phone_not_connected",
                severity=severity,
                message=f"The number {display} {what}.",
                remedy=remedy,
                since=checked.at,
            )


_REGISTER = "Finish the number's set-up in WhatsApp Manager, or connect the account again."
_APPEAL = "See the reason in WhatsApp Manager and ask Meta for a review."
NOT_CONNECTED: Mapping[str, tuple[Severity, str, str]] = {
    "PENDING": ("pending", "is not registered with WhatsApp yet", _REGISTER),
    "UNVERIFIED": ("pending", "is not verified yet", _REGISTER),
    "MIGRATED": ("failing", "was moved to another WhatsApp Business account", "Connect the account that has it now."),
    "DELETED": ("failing", "was deleted at Meta", "Add the number again in WhatsApp Manager."),
    "DISCONNECTED": ("failing", "is disconnected from WhatsApp", _REGISTER),
    "BANNED": ("failing", "was banned by Meta", _APPEAL),
    "RESTRICTED": ("degraded", "is restricted: it has reached its limit or its quality is low", _APPEAL),
    "RATE_LIMITED": ("degraded", "is limited by Meta for sending too much", "Send fewer messages for some hours."),
    "FLAGGED": ("degraded", "was flagged by Meta because its quality is low", _APPEAL),
}
"""Meta: "WhatsApp Business Phone Number", `status`. CONNECTED is none of them."""
