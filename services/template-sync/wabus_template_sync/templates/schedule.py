"""When an account is due for its next sync: reconciliation in its own place of the interval, sooner after a failure
that may pass. Pure: what is known follows from the events, so a restart neither forgets anybody nor starts all at once.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from wabus_events import Event, TemplatesSynced, TemplateSyncFailed, TemplateSyncRequested, TemplateSyncStarted

RETRY_FIRST = timedelta(seconds=30)
RETRY_JITTER = 0.5  # of the delay, added at most
LOST_AFTER = timedelta(hours=1)  # a sync asked for and not ended is asked for again, whatever became of it
SOONEST = 0.25  # of the interval: less than that after a sync there is no need for another

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What decides when an account is due; of each, the latest in the log."""

    waba_id: str
    asked_at: datetime | None = None
    asked_sync_id: str | None = None
    ended_at: datetime | None = None
    ended_sync_id: str | None = None
    failures: int = 0
    """In a row."""
    retryable: bool = False
    retry_at: datetime | None = None

    @property
    def is_pending(self) -> bool:
        return self.asked_sync_id is not None and self.asked_sync_id != self.ended_sync_id


@dataclass(frozen=True, slots=True)
class Due:
    """An account's next sync: when, why, and after which one (its id, or what connected the account)."""

    at: datetime
    reason: Literal["reconciliation", "retry"]
    after: str


def fold_schedule(row: Schedule, event: Event) -> Schedule:
    """Take in the next event in the order of the log."""
    match event:
        case TemplateSyncRequested() | TemplateSyncStarted():
            if event.sync_id == row.ended_sync_id:
                return row
            return replace(row, asked_at=event.time, asked_sync_id=event.sync_id)
        case TemplatesSynced() | TemplateSyncFailed() if event.sync_id == row.ended_sync_id:
            return row
        case TemplatesSynced():
            return replace(
                row, ended_at=event.time, ended_sync_id=event.sync_id, failures=0, retryable=False, retry_at=None
            )
        case TemplateSyncFailed():
            return replace(
                row,
                ended_at=event.time,
                ended_sync_id=event.sync_id,
                failures=row.failures + 1,
                retryable=event.retryable,
                retry_at=event.time + timedelta(seconds=event.retry_after) if event.retry_after else None,
            )
        case _:
            return row


def due(row: Schedule, connected_at: datetime, interval: timedelta) -> Due:
    """The next sync of a connected account, given what became of the last.

    >>> base = datetime(2025, 1, 1, tzinfo=UTC)
    >>> due(Schedule("1"), base, timedelta(hours=1)).reason
    'reconciliation'
    """
    if row.is_pending and row.asked_at and (row.ended_at is None or row.ended_at <= row.asked_at):
        return Due(row.asked_at + max(LOST_AFTER, interval), "reconciliation", row.asked_sync_id or "")
    if row.ended_at is None:
        return Due(_slot(row.waba_id, connected_at, interval), "reconciliation", connected_at.isoformat())
    after, regular = row.ended_sync_id or "", _slot(row.waba_id, row.ended_at, interval)
    if row.failures and row.retryable:
        delay = RETRY_FIRST * 2 ** min(row.failures - 1, 20)
        again = row.ended_at + delay * (1 + RETRY_JITTER * _share(row.waba_id, after))
        again = max(again, row.retry_at) if row.retry_at else again
        if again < regular:
            return Due(again, "retry", after)
        regular = max(regular, row.retry_at) if row.retry_at else regular
    return Due(regular, "reconciliation", after)


def _slot(waba_id: str, since: datetime, interval: timedelta) -> datetime:
    """The account's own place in each interval, first at least `SOONEST` of it after `since`.

    The places of all accounts are spread evenly, wherever their last syncs were; a little jitter keeps those
    with neighbouring places from meeting in every round.
    """
    place = interval * _share(waba_id) + interval * 0.02 * _share(waba_id, since.isoformat())
    earliest = since + interval * SOONEST
    rounds = (earliest - _EPOCH - place) // interval + 1
    return _EPOCH + place + interval * rounds


def _share(*parts: str) -> float:
    """A number from 0 to 1 that follows from the parts, and is spread evenly."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
