"""What the error codes of failed messages say: of the account, of a number, or of what is sent to whom. Pure.

Source: Meta, "Cloud API: Error codes".
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from wabus_health_projector.health.reason import Reason, Severity
from wabus_health_projector.health.traffic import ErrorCount, Traffic

FAILING_SHARE = 0.2  # of the messages of a day
FAILING_AT_LEAST = 10  # messages


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


def traffic_reasons(traffic: Traffic, numbers: Mapping[str, str]) -> Iterator[Reason]:
    """An error that concerns the account or a number counts until a message is sent again.

    `numbers` has the numbers as people write them, by their ids.
    """
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
        remedy=known.remedy if known else "Look the error code up in Meta's list of Cloud API error codes.",
        since=min((error.first_at for error in errors), default=None),
    )


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
}  # fmt: skip
"""Codes that one message suffices to tell of."""

_TEMPLATE = "Press “Sync now”, then use a template and language that are listed as approved."
_SLOWER = "Send more slowly, and try again those that failed."
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
    132000: Meaning("a template got the wrong number of parameters", _TEMPLATE),
    132001: Meaning("the template does not exist in that language, or is not approved", _TEMPLATE),
    132015: Meaning("the template is paused", "Use another template until Meta ends the pause."),
    132016: Meaning("the template is disabled", "Use another template."),
    130429: Meaning("more was sent than Meta takes at once", _SLOWER),
    131056: Meaning("too much was sent to the same person at once", _SLOWER),
    131053: Meaning("a picture or file could not be used", "Check its type and size against what WhatsApp supports."),
    131000: Meaning("something failed at Meta", "Try again; ask Meta's support if this lasts for hours."),
}  # fmt: skip
"""Codes that matter once many messages fail."""
