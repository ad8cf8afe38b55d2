"""What the messages of a WABA say: how many were received, sent, delivered, read or failed, hour by hour, and why.

Messages age out of Kafka after `MESSAGE_RETENTION`, so their counts live apart from the state of `state.py`, which
is derived from facts that are kept for ever, and age out too: a rebuild from the log finds the same counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict
from wabus_events import Event, MessageReceived, MessageStatusChanged, fact_id
from wabus_events.topics import MESSAGE_RETENTION

from wabus_health_projector.reason import Reason, Severity

COUNTS_KEPT = MESSAGE_RETENTION - timedelta(
    days=1
)  # whole UTC days before today; Kafka still has every record of the first one
SEEN_KEPT = timedelta(days=9)  # Meta delivers again for up to 7 days
FAILING_SHARE = 0.2  # of the messages of a day
FAILING_AT_LEAST = 10  # messages


Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

Message = MessageReceived | MessageStatusChanged


class ErrorCount(BaseModel):
    """Messages that failed with one of Meta's error codes."""

    model_config = ConfigDict(frozen=True)

    code: int
    count: int
    last_at: Moment


class Traffic(BaseModel):
    """The last day of a WABA's messages."""

    model_config = ConfigDict(frozen=True)

    last_at: Moment | None = None
    """The newest message or status, of any kind."""
    last_sent_at: Moment | None = None
    """The newest proof that sending works: a message was sent, delivered or read."""
    sent: int = 0
    failed: int = 0
    errors: tuple[ErrorCount, ...] = ()


@dataclass(slots=True)
class Count:
    last_at: datetime
    count: int = 0

    def add(self, at: datetime) -> None:
        self.count += 1
        self.last_at = max(self.last_at, at)


@dataclass(slots=True)
class Tally:
    """Counts to add to what is stored."""

    messages: dict[tuple[str, datetime, str, str], Count] = field(
        default_factory=dict[tuple[str, datetime, str, str], Count]
    )
    """By WABA, hour (UTC), phone number id and kind."""
    errors: dict[tuple[str, datetime, int], Count] = field(default_factory=dict[tuple[str, datetime, int], Count])
    """By WABA, hour (UTC) and error code."""


def tally(events: Iterable[tuple[Message, datetime]], since: datetime) -> Tally:
    """Count messages and statuses, each with the time it was logged, that happened at or after `since`.

    Every event must be a different fact. One that claims to be of the future counts when it was logged.
    """
    counts = Tally()
    for event, logged_at in events:
        at = min(event.time.astimezone(UTC), logged_at)
        if at < since:
            continue
        hour = at.replace(minute=0, second=0, microsecond=0)
        kind = "received" if isinstance(event, MessageReceived) else event.status.lower()[:40]
        counts.messages.setdefault((event.waba_id, hour, event.phone_number_id, kind), Count(at)).add(at)
        for code in set(event.error_codes) if isinstance(event, MessageStatusChanged) else ():
            counts.errors.setdefault((event.waba_id, hour, code), Count(at)).add(at)
    return counts


def counts_kept_from(logged_on: date) -> datetime:
    """The first moment whose counts are kept, as of a day of the log."""
    return datetime.combine(logged_on, datetime.min.time(), UTC) - COUNTS_KEPT


def identity(event: Event) -> UUID:
    """The event's id in sixteen bytes; one that is no UUID gets one of its own."""
    try:
        return UUID(event.id)
    except ValueError:
        return UUID(fact_id(event.type, event.id))


def traffic_reasons(traffic: Traffic) -> Iterator[Reason]:
    """Meta: "Cloud API: Error codes". An error that concerns the account counts until a message gets through again."""
    explained = 0
    for error in traffic.errors:
        known = ACCOUNT_ERRORS.get(error.code)
        if known is None or (traffic.last_sent_at and traffic.last_sent_at > error.last_at):
            continue
        code, severity, message, remedy = known
        explained += error.count
        yield Reason(code=code, severity=severity, message=message, remedy=remedy, since=error.last_at)
    rest = traffic.failed - explained
    if rest >= FAILING_AT_LEAST and rest >= FAILING_SHARE * (traffic.sent + traffic.failed):
        codes = ", ".join(str(error.code) for error in traffic.errors[:3])
        yield Reason(
            code="messages_failing",
            severity="degraded",
            message=f"{traffic.failed} messages of the last day could not be delivered"
            + (f" (Meta's error {codes})." if codes else "."),
            remedy="Look the error code up in Meta's list of Cloud API error codes.",
            since=min((error.last_at for error in traffic.errors), default=None),
        )


ACCOUNT_ERRORS: Mapping[int, tuple[str, Severity, str, str]] = {
    131042: (
        "payment_problem", "failing", "Meta does not send your messages because of a problem with your payment method.",
        "Correct the payment method of your WhatsApp Business account in Meta's Billing Hub.",
    ),
    131031: (
        "account_locked", "failing", "Meta has locked your account, so messages fail.",
        "See the reason in Business Support Home and ask for a review.",
    ),
    368: (
        "account_blocked", "failing", "Meta blocks your account for a time because its rules were broken.",
        "See the reason in Business Support Home; it ends by itself.",
    ),
    133010: (
        "number_not_registered", "failing", "Your phone number is not registered for the Cloud API.",
        "Register the number again: connect your WhatsApp Business account once more.",
    ),
    131045: (
        "number_not_registered", "failing", "Your phone number's registration does not fit its certificate.",
        "Register the number again: connect your WhatsApp Business account once more.",
    ),
    131048: (
        "spam_limited", "degraded", "Meta holds messages back because many earlier ones were blocked or reported.",
        "Write only to people who asked for it; check the number's quality in WhatsApp Manager.",
    ),
}  # fmt: skip
"""Error codes that say something of the account rather than of one message: code, severity, sentence, remedy."""
