"""What the error codes of failed messages say: of the account, of a number, or of what is sent to whom. Pure.

Source: Meta, "Cloud API: Error codes".
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from wabus_health_projector.health.reason import Reason, Severity
from wabus_health_projector.health.traffic import ErrorCount, NumberError, Traffic

FAILING_SHARE = 0.2  # of the messages of a day
FAILING_AT_LEAST = 10  # messages
REFUSED_FOR = timedelta(hours=1)  # since Meta last told an error of a number, unless it sends again before


class Trouble(NamedTuple):
    """What a code says of a whole account, or of one of its numbers."""

    code: str
    severity: Severity
    message: str
    """`{number}` stands for the number that the messages were sent from, as a sentence begins with it."""
    remedy: str
    of_number: bool = False
    """Whether only a message from the same number proves that it is over."""


class Meaning(NamedTuple):
    """What a code says of single messages: `what` completes "could not be delivered because …"."""

    what: str
    remedy: str


def traffic_reasons(traffic: Traffic, numbers: Mapping[str, str], now: datetime) -> Iterator[Reason]:
    """An error that concerns the account or a number counts until a message is sent again.

    `numbers` has the numbers as people write them, by their ids.
    """
    yield from _refused(traffic, numbers, now)
    rest: list[ErrorCount] = []
    found: dict[tuple[str, str], Reason] = {}
    for error in traffic.errors:
        trouble = TROUBLES.get(error.code)
        if trouble is None:
            rest.append(error)
            continue
        sent_at = _last_sent_at(traffic, error, trouble)
        if sent_at and sent_at > error.last_at:
            continue
        reason = Reason(
            code=trouble.code,
            severity=trouble.severity,
            message=trouble.message.format(number=_named(error.phone_number_id, numbers)),
            remedy=trouble.remedy,
            since=max(error.first_at, sent_at) if sent_at else error.first_at,
        )
        held = found.setdefault((reason.code, reason.message), reason)
        if held.since and reason.since and reason.since < held.since:
            found[reason.code, reason.message] = reason
    yield from found.values()
    failed = traffic.failed - sum(error.count for error in traffic.errors if error.code in TROUBLES)
    if failed >= FAILING_AT_LEAST and failed >= FAILING_SHARE * (traffic.sent + traffic.failed):
        yield _failing(failed, rest)


def _refused(traffic: Traffic, numbers: Mapping[str, str], now: datetime) -> Iterator[Reason]:
    """What Meta told of a number with no message; the newest error of each."""
    newest: dict[str, NumberError] = {}
    for error in sorted(traffic.of_numbers, key=lambda each: (each.last_at, each.code)):
        newest[error.phone_number_id] = error
    for phone, error in sorted(newest.items()):
        sent_at = traffic.last_sent_at.get(phone)
        if now - error.last_at >= REFUSED_FOR or (sent_at and sent_at > error.last_at):
            continue
        known = MEANINGS.get(error.code)
        trouble = TROUBLES.get(error.code)
        why = f" because {known.what}" if known else ""
        yield Reason(
            code=trouble.code if trouble else "sending_refused",
            severity=trouble.severity if trouble else "degraded",
            message=trouble.message.format(number=_named(phone, numbers))
            if trouble
            else f"{_named(phone, numbers)} could not send{why} (Meta's error {error.code}).",
            remedy=trouble.remedy if trouble else known.remedy if known else _LOOK_UP,
            since=max(error.first_at, sent_at) if sent_at else error.first_at,
        )


def meaning(code: int) -> str | None:
    """What an error code says, as a sentence; None for one that is not known here."""
    if code in TROUBLES:
        return TROUBLES[code].message.format(number="The number")
    return f"Not delivered because {MEANINGS[code].what}." if code in MEANINGS else None


def _named(phone_number_id: str, numbers: Mapping[str, str]) -> str:
    return f"The number {numbers[phone_number_id]}" if phone_number_id in numbers else "Your phone number"


def _last_sent_at(traffic: Traffic, error: ErrorCount, trouble: Trouble) -> datetime | None:
    if trouble.of_number and error.phone_number_id:  # failures of before these were counted by number have none
        return traffic.last_sent_at.get(error.phone_number_id)
    return max(traffic.last_sent_at.values(), default=None)


def _failing(failed: int, errors: list[ErrorCount]) -> Reason:
    """Names the commonest cause of all, and what to do about that."""
    counts: dict[int, int] = {}
    for error in errors:
        counts[error.code] = counts.get(error.code, 0) + error.count
    commonest = sorted(counts, key=lambda code: (-counts[code], code))
    known = MEANINGS.get(commonest[0]) if commonest else None
    listed = ", ".join(str(code) for code in commonest[:3])
    message = f"{failed} messages of the last day could not be delivered"
    if known:
        message += f", {counts[commonest[0]]} of them because {known.what}"
    return Reason(
        code="messages_failing",
        severity="degraded",
        message=message + (f" (Meta's error {listed})." if listed else "."),
        remedy=known.remedy if known else _LOOK_UP,
        since=min((error.first_at for error in errors), default=None),
    )


_LOOK_UP = "Look the error code up in Meta's list of Cloud API error codes."
_REVIEW = "See the reason in Business Support Home and ask for a review."
_REGISTER = (
    "Register the number again: in WhatsApp Manager, or by Embedded Signup when you connect your account once more."
)
TROUBLES: Mapping[int, Trouble] = {
    131042: Trouble(
        "payment_problem", "failing", "Meta does not send your messages because of a problem with your payment method.",
        "Correct the payment method of your WhatsApp Business account in Meta's Billing Hub.",
    ),
    131031: Trouble("account_locked", "failing", "Meta has locked your account, so messages fail.", _REVIEW),
    368: Trouble(
        "account_blocked", "failing", "Meta blocks your account for a time because its rules were broken.",
        "See the reason in Business Support Home; it ends by itself.",
    ),
    133010: Trouble(
        "number_not_registered", "failing", "{number} is not registered for the Cloud API.", _REGISTER,
        of_number=True,
    ),
    131045: Trouble(
        "number_not_registered", "failing", "{number} has a registration that does not fit its certificate.", _REGISTER,
        of_number=True,
    ),
    131048: Trouble(
        "spam_limited", "degraded", "{number} is held back by Meta: many earlier messages were blocked or reported.",
        "Write only to people who asked for it; check the number's quality in WhatsApp Manager.", of_number=True,
    ),
    131037: Trouble(
        "display_name_not_approved", "failing", "{number} can't send before Meta has approved a display name for it.",
        "Ask for a display name in WhatsApp Manager, under Phone numbers, and send again once it is approved.",
        of_number=True,
    ),
}  # fmt: skip
"""Codes that one message suffices to tell of."""

_TEMPLATE = "Press “Sync now”, then use a template and language that are listed as approved."
_PARAMETERS = "Fill the template in with POST /templates/{id}/render before sending it: that names what is wrong."
_SLOWER = "Send more slowly, and try again those that failed."
_AGAIN = "Try again; ask Meta's support if this lasts for hours."
_OUR_REQUEST = "Tell whoever writes these messages: the details are in the error that Meta gives with each of them."
_ACCESS = "Connect the account again and grant every permission that Meta asks for."
_MARKETING = "Nothing to correct: send fewer marketing messages, and don't try again at once."
MEANINGS: Mapping[int, Meaning] = {
    131047: Meaning(
        "the customer had not written for 24 hours", "Begin such conversations with a template that Meta has approved."
    ),
    131026: Meaning(
        "the recipients can't get them: they are not on WhatsApp, or have an old version",
        "Check those numbers, and reach these people another way.",
    ),
    131049: Meaning("Meta limits how much marketing a person gets", _MARKETING),
    130472: Meaning("Meta tries out what happens without marketing messages", _MARKETING),
    131050: Meaning(
        "the recipients have stopped your marketing messages", "Take them off your list of marketing messages."
    ),
    131021: Meaning("they were sent to the number that sent them", "Leave your own number out."),
    131030: Meaning(
        "the recipients are not on the list of those that Meta's test number may write to",
        "Add them to that list in Meta's App Dashboard, or send from a number of your own.",
    ),
    130497: Meaning(
        "the business may not write to people in that country",
        "Leave these people out; Meta's policy names the trades that may not write to some countries.",
    ),
    131062: Meaning(
        "Meta sends this kind of template to phone numbers only, and the recipient's was not given",
        "Give the phone number, or ask the customer for it.",
    ),
    137000: Meaning(
        "the recipients have changed their phone since you last checked who they are",
        "Confirm who they are, then send again.",
    ),
    132000: Meaning("a template got the wrong number of parameters", _TEMPLATE),
    132001: Meaning("the template does not exist in that language, or is not approved", _TEMPLATE),
    132005: Meaning("a template is too long with its parameters filled in", _PARAMETERS),
    132007: Meaning("a template's text is against Meta's rules", "See in WhatsApp Manager why, and change the text."),
    132008: Meaning("a template's parameter was not accepted", _PARAMETERS),
    132012: Meaning("a template got a parameter of the wrong kind or form", _PARAMETERS),
    132018: Meaning("something was wrong with a template's parameters", _PARAMETERS),
    132068: Meaning("the template's Flow is blocked", "Correct the Flow in WhatsApp Manager, or use another template."),
    132069: Meaning(
        "the template's Flow is slowed down: it was sent ten times in the last hour",
        "Correct the Flow in WhatsApp Manager; Meta lets it pass again by itself.",
    ),
    131061: Meaning(
        "templates with a maximum price are sent by the Marketing Messages API only", "Send them through that API."
    ),
    131063: Meaning(
        "marketing templates are switched off for the Cloud API here",
        "Send them through the Marketing Messages API, or switch them on in WhatsApp Manager.",
    ),
    131064: Meaning(
        "Meta has lowered the limit for templates of the wrong category",
        "Correct the categories in WhatsApp Manager, and send marketing with marketing templates.",
    ),
    132015: Meaning("the template is paused", "Use another template until Meta ends the pause."),
    132016: Meaning("the template is disabled", "Use another template."),
    130429: Meaning("more was sent than Meta takes at once", _SLOWER),
    4: Meaning("this service made more calls than Meta takes at once", _SLOWER),
    80007: Meaning("more calls were made for the account than Meta takes at once", _SLOWER),
    131057: Meaning(
        "the account was in maintenance at Meta, as while its rate is raised", "Try again after a minute."
    ),
    131056: Meaning("too much was sent to the same person at once", _SLOWER),
    131053: Meaning("a picture or file could not be used", "Check its type and size against what WhatsApp supports."),
    131051: Meaning("the message was of a type that WhatsApp does not have", _OUR_REQUEST),
    131052: Meaning("Meta could not fetch the picture or file", "Check that its address can be reached from anywhere."),
    131008: Meaning("a parameter was missing", _OUR_REQUEST),
    131009: Meaning("a parameter had a value that Meta does not take", _OUR_REQUEST),
    100: Meaning("Meta did not accept the request", _OUR_REQUEST),
    134011: Meaning(
        "the terms of WhatsApp Payments are not accepted", "Accept them in WhatsApp Manager, then send again."
    ),
    131044: Meaning("Meta does not let the account send", _REVIEW),
    131005: Meaning("access was denied", _ACCESS),
    10: Meaning("a permission was missing", _ACCESS),
    200: Meaning("a permission was missing", _ACCESS),
    190: Meaning("the access to WhatsApp has expired", "Connect the account again."),
    1: Meaning("something failed at Meta", _AGAIN),
    2: Meaning("Meta was out of order for a moment", _AGAIN),
    131016: Meaning("Meta was out of order for a moment", _AGAIN),
    131000: Meaning("something failed at Meta", _AGAIN),
}  # fmt: skip
"""Codes that matter once many messages fail."""
