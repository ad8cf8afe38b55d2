"""What the messages of a WABA say: how many were received, sent, delivered, read or failed, hour by hour, and why.

Messages age out of Kafka after `MESSAGE_RETENTION`, so their counts live apart from the state of `state.py`, which
is derived from facts that are kept for ever, and age out too: a rebuild from the log finds the same counts.
"""

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict
from wabus_events import Event, MessageReceived, MessageStatusChanged, fact_id
from wabus_events.models.topics import DELETED_WITHIN, MESSAGE_RETENTION

# Whole UTC days before today, of whose first one Kafka still has every record: it began up to a day earlier than that.
COUNTS_KEPT = MESSAGE_RETENTION - DELETED_WITHIN - timedelta(days=1)
LATE_MOST = timedelta(days=9)  # between the day of a message and the day it was logged; Meta tries for up to 7 days
EARLY_MOST = timedelta(days=1)  # the same the other way round, for clocks differ
STAMPED_BEFORE = timedelta(days=1)  # a record's time is when it was sent: how long before it was in Kafka, at most

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


class NumberError(BaseModel):
    """One of Meta's error codes that it told of a phone number, with no message."""

    model_config = ConfigDict(frozen=True)

    phone_number_id: str
    code: int
    first_at: Moment
    last_at: Moment


class Traffic(BaseModel):
    """The last day of a WABA's messages."""

    model_config = ConfigDict(frozen=True)

    reached_at: Moment | None = None
    """When Meta last reached us, with whatever of whichever time."""
    last_at: Moment | None = None
    """The newest message or status, of any kind, by its own time."""
    last_sent_at: dict[str, Moment] = {}
    """By phone number id the newest proof that sending works. One that is delivered or read may be of long ago."""
    sent: int = 0
    failed: int = 0
    errors: tuple[ErrorCount, ...] = ()
    of_numbers: tuple[NumberError, ...] = ()

    def since(self, moment: datetime | None) -> "Traffic":
        """The same without what was over before a moment; all of it where there is none."""
        if moment is None:
            return self
        errors = tuple(error for error in self.errors if error.last_at >= moment)
        over = sum(error.count for error in self.errors if error.last_at < moment)
        return self.model_copy(
            update={
                "reached_at": self.reached_at if self.reached_at and self.reached_at >= moment else None,
                "last_at": self.last_at if self.last_at and self.last_at >= moment else None,
                "last_sent_at": {phone: at for phone, at in self.last_sent_at.items() if at >= moment},
                "errors": errors,
                "of_numbers": tuple(error for error in self.of_numbers if error.last_at >= moment),
                "failed": max(0, self.failed - over),
            }
        )


@dataclass(slots=True)
class Count:
    first_at: datetime
    last_at: datetime
    count: int = 1

    def add(self, at: datetime) -> None:
        self.count += 1
        if at < self.first_at:
            self.first_at = at
        elif at > self.last_at:
            self.last_at = at


K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Tally:
    """Counts to add to what is stored, each by whose the WABA was; empty where it was nobody's."""

    messages: dict[tuple[str, int, str, str, str], Count] = field(
        default_factory=dict[tuple[str, int, str, str, str], Count]
    )
    """By WABA, `hour_number`, phone number id, kind and organisation."""
    errors: dict[tuple[str, int, str, int, str], Count] = field(
        default_factory=dict[tuple[str, int, str, int, str], Count]
    )
    """By WABA, `hour_number`, phone number id, error code and organisation."""


def tally(events: Iterable[tuple[Message, datetime]], since: datetime) -> Tally:
    """Count messages and statuses, each with the time it was logged, that happened at or after `since`.

    Every event must be a different fact. One that claims to be of the future counts when it was logged.
    """
    counts = Tally()
    for event, logged_at in events:
        at = min(event.time.astimezone(UTC), logged_at)
        if at < since:
            continue
        hour, org_id = hour_number(at), event.org_id or ""
        if isinstance(event, MessageReceived):
            kind, codes = "received", ()
        elif event.of_payment:
            kind, codes = "payment", ()
        else:
            kind, codes = event.status.lower()[:40], event.error_codes
        _count(counts.messages, (event.waba_id, hour, event.phone_number_id, kind, org_id), at)
        for code in set(codes):
            _count(counts.errors, (event.waba_id, hour, event.phone_number_id, code, org_id), at)
    return counts


def hour_number(at: datetime) -> int:
    """The hour of a moment in UTC, from the beginning of the calendar; a datetime takes ten times as long to make."""
    return at.toordinal() * 24 + at.hour


@lru_cache(maxsize=1_000)
def hour_of(number: int) -> datetime:
    """When the hour with this number begins."""
    return datetime.combine(date.fromordinal(number // 24), time(number % 24), UTC)


def _count(counts: dict[K, Count], key: K, at: datetime) -> None:
    held = counts.get(key)
    if held is None:
        counts[key] = Count(at, at)
    else:
        held.add(at)


def counted_on(happened_at: datetime, logged_at: datetime) -> date | None:
    """The day (UTC) under which a message's id is remembered, by Meta's time and so the same for each delivery of it.

    `logged_at` is UTC. None for a delivery that does not count, because it was logged too long after that day, or
    before it: after `LATE_MOST` the id may be forgotten, so that nothing that comes again can count a second time.
    """
    day = happened_at.astimezone(UTC).date()
    return day if -EARLY_MOST.days <= logged_at.toordinal() - day.toordinal() <= LATE_MOST.days else None


def remembered_from(complete_until: datetime) -> date:
    """The first day whose ids can still come, where everything that was in Kafka at a moment has been counted."""
    return (complete_until.astimezone(UTC) - STAMPED_BEFORE).date() - LATE_MOST


def counts_kept_from(logged_on: date) -> datetime:
    """The first moment whose counts are kept, as of a day of the log."""
    return datetime.combine(logged_on, datetime.min.time(), UTC) - COUNTS_KEPT


def identity(event: Event) -> str:
    """The event's id as PostgreSQL writes a UUID; one that is no UUID gets one of its own."""
    if _WRITTEN_PLAINLY.fullmatch(event.id):
        return event.id
    try:
        return str(UUID(event.id))
    except ValueError:
        return fact_id(event.type, event.id)


_WRITTEN_PLAINLY = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a UUID costs five times as much
