"""What the messages of a WABA say: how many were received, sent, delivered, read or failed, hour by hour, and why.

Messages age out of Kafka after `MESSAGE_RETENTION`, so their counts live apart from the state of `state.py`, which
is derived from facts that are kept for ever, and age out too: a rebuild from the log finds the same counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict
from wabus_events import Event, MessageReceived, MessageStatusChanged, fact_id
from wabus_events.topics import MESSAGE_RETENTION

COUNTS_KEPT = MESSAGE_RETENTION - timedelta(
    days=1
)  # whole UTC days before today; Kafka still has every record of the first one
SEEN_KEPT = timedelta(days=9)  # Meta delivers again for up to 7 days

Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

Message = MessageReceived | MessageStatusChanged


class ErrorCount(BaseModel):
    """Messages from one phone number that failed with one of Meta's error codes."""

    model_config = ConfigDict(frozen=True)

    phone_number_id: str
    code: int
    count: int
    first_at: Moment
    last_at: Moment


class Traffic(BaseModel):
    """The last day of a WABA's messages."""

    model_config = ConfigDict(frozen=True)

    last_at: Moment | None = None
    """The newest message or status, of any kind."""
    last_sent_at: dict[str, Moment] = {}
    """By phone number id the newest proof that sending works. One that is delivered or read may be of long ago."""
    sent: int = 0
    failed: int = 0
    errors: tuple[ErrorCount, ...] = ()


@dataclass(slots=True)
class Count:
    first_at: datetime
    last_at: datetime
    count: int = 0

    def add(self, at: datetime) -> None:
        self.count += 1
        self.first_at = min(self.first_at, at)
        self.last_at = max(self.last_at, at)


@dataclass(slots=True)
class Tally:
    """Counts to add to what is stored."""

    messages: dict[tuple[str, datetime, str, str], Count] = field(
        default_factory=dict[tuple[str, datetime, str, str], Count]
    )
    """By WABA, hour (UTC), phone number id and kind."""
    errors: dict[tuple[str, datetime, str, int], Count] = field(
        default_factory=dict[tuple[str, datetime, str, int], Count]
    )
    """By WABA, hour (UTC), phone number id and error code."""


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
        counts.messages.setdefault((event.waba_id, hour, event.phone_number_id, kind), Count(at, at)).add(at)
        for code in set(event.error_codes) if isinstance(event, MessageStatusChanged) else ():
            key = event.waba_id, hour, event.phone_number_id, code
            counts.errors.setdefault(key, Count(at, at)).add(at)
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
