"""The state of a send: a fold of its events that gives the same in whatever order, and however often, they come.

What each event adds is a join (of attempts the highest, of moments the earliest), so that a replay over rows that are
there, or into empty ones, ends where the worker is. What an attempt may have done weighs more than what people want:
once Meta may have been asked, a send is not queued again unless it is certain that nothing was sent.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar

from wabus_events import (
    Event,
    MessageAccepted,
    SendCancelled,
    SendClaimed,
    SendExpired,
    SendRefused,
    SendRequested,
    SendReturned,
    SendSettled,
    SendUnknown,
)
from wabus_whatsapp.joins import earliest

State = Literal["queued", "calling", "unknown", "accepted", "refused", "expired", "cancelled"]
FINAL: frozenset[State] = frozenset(("accepted", "refused", "expired", "cancelled"))
"""States from which nothing leads on, but that a status tells of a message after all."""


class Return(NamedTuple):
    """Up to this attempt it is certain that nothing was sent."""

    attempt: int
    retry_at: datetime
    reason: str
    error_code: int | None
    tries: int = 0
    """At how many attempts Meta was in trouble."""


class Lost(NamedTuple):
    """At this attempt no answer came."""

    attempt: int
    reason: str
    at: datetime


class Refusal(NamedTuple):
    """It is not sent. At this attempt, or before the next one."""

    attempt: int
    stage: str
    code: str
    error_code: int | None
    at: datetime


class Acceptance(NamedTuple):
    """Meta has it."""

    attempt: int
    wamid: str
    at: datetime
    message_status: str | None
    wa_id: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Send:
    """What the events of one send add up to."""

    requested: bool = False
    claimed: int = 0
    """The highest attempt that was claimed."""
    returned: Return | None = None
    lost: Lost | None = None
    refusal: Refusal | None = None
    acceptance: Acceptance | None = None
    settled_at: datetime | None = None
    settled_wamid: str | None = None
    cancelled_at: datetime | None = None
    expired_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether Meta may have been asked, and it is not certain that nothing was sent."""
        return self.claimed > (self.returned.attempt if self.returned else 0)

    @property
    def state(self) -> State:
        """What it has come to."""
        if self.acceptance or self.settled_at:
            return "accepted"
        if self.refusal and self.refusal.attempt >= self.claimed:
            return "refused"
        if self.is_open:
            return "unknown" if self.lost and self.lost.attempt >= self.claimed else "calling"
        if self.cancelled_at:
            return "cancelled"
        return "expired" if self.expired_at else "queued"

    @property
    def wamid(self) -> str | None:
        """Meta's id of the message, where it is known."""
        return self.acceptance.wamid if self.acceptance else self.settled_wamid


def fold(send: Send, event: Event) -> Send:
    """What one more event adds. What is no event of a send adds nothing."""
    match event:
        case SendRequested():
            return replace(send, requested=True)
        case SendClaimed():
            return replace(send, claimed=max(send.claimed, event.attempt))
        case SendReturned():
            # Who says that an attempt came to nothing has made it.
            found = Return(event.attempt, event.retry_at, event.reason, event.error_code, event.tries)
            return replace(send, claimed=max(send.claimed, event.attempt), returned=_later(send.returned, found))
        case SendUnknown():
            found = Lost(event.attempt, event.reason, event.time)
            return replace(send, claimed=max(send.claimed, event.attempt), lost=_later(send.lost, found))
        case SendRefused():
            found = Refusal(event.attempt, event.stage, event.code, event.error_code, event.time)
            return replace(send, refusal=_later(send.refusal, found))
        case MessageAccepted():
            found = Acceptance(event.attempt, event.wamid, event.time, event.message_status, event.wa_id, event.user_id)
            return replace(send, acceptance=_later(send.acceptance, found))
        case SendSettled():
            first = min(filter(None, (send.settled_wamid, event.wamid)))
            return replace(send, settled_at=earliest(send.settled_at, event.time), settled_wamid=first)
        case SendCancelled():
            return replace(send, cancelled_at=earliest(send.cancelled_at, event.time))
        case SendExpired():
            return replace(send, expired_at=earliest(send.expired_at, event.time))
        case _:
            return send


_Told = TypeVar("_Told", Return, Lost, Refusal, Acceptance)


def _later(one: _Told | None, other: _Told) -> _Told:
    """Of two that say the same kind of thing that of the higher attempt; a tie goes by what else they say."""
    return other if one is None else max(one, other, key=_rank)


def _rank(told: Return | Lost | Refusal | Acceptance) -> tuple[int, tuple[str, ...]]:
    return told.attempt, tuple("" if part is None else str(part) for part in told[1:])
