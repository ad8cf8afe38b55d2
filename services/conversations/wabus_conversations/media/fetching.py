"""What becomes of a medium: when it is asked for again, and when it is lost or refused."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

ID_LIFETIME = timedelta(days=7)
"""How long Meta keeps what an id of a webhook means. "Media" (Cloud API reference)."""
ADDRESS_FRESH = timedelta(minutes=4)
"""How long the address in a webhook is tried, of the five minutes that it is good for."""
LARGEST = 100 * 1024 * 1024
"""Bytes of the largest medium that Meta takes: "Supported media types", error 131052."""

FIRST_PAUSE = 2.0  # seconds
LONGEST_PAUSE = 3_600.0  # seconds
GROWS_BY = 3.0
DIFFERS_MOST = 5  # times that the content is not what its hash says, then it is refused
TOO_LATE = timedelta(days=1)
"""So long after its id ended a medium is not even asked for: a log that is folded for the first time has many."""


class State(StrEnum):
    """Of a medium."""

    WANTED = "wanted"
    """It will be fetched."""
    STORED = "stored"
    LOST = "lost"
    """It could not be fetched while Meta had it; `reason` says why."""
    REFUSED = "refused"
    """It is not kept here; `reason` says why."""
    GONE = "gone"
    """Its message was taken back."""


class Reason(StrEnum):
    """Why the last attempt failed, and in the end why a medium is lost or refused."""

    META_UNAVAILABLE = "meta_unavailable"
    """Meta did not answer, or not all of it."""
    RATE_LIMITED = "rate_limited"
    NO_ACCESS = "no_access"
    """The account is not connected, or its token is not accepted."""
    ID_ENDED = "id_ended"
    """Meta knows nothing under the id, or does not let us see it."""
    HASH_DIFFERS = "hash_differs"
    """The bytes are not those of which Meta tells the hash."""
    TOO_LARGE = "too_large"
    STORE_UNAVAILABLE = "store_unavailable"
    """Our own store of media did not take it."""


@dataclass(frozen=True, slots=True)
class Later:
    """It is tried again."""

    at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Ended:
    """It is given up."""

    state: State
    reason: Reason


def deadline_of(at: datetime, first_heard: datetime, *, from_history: bool) -> datetime:
    """Until when Meta has what an id means.

    A message's id is as old as the message; one of a history is new, however old its message is.
    """
    return (first_heard if from_history else at) + ID_LIFETIME


def is_too_late(attempts: int, now: datetime, deadline: datetime) -> bool:
    """Whether it is not worth the first attempt."""
    return attempts == 0 and now > deadline + TOO_LATE


def after_failure(
    reason: Reason,
    *,
    attempts: int,
    differed: int,
    now: datetime,
    deadline: datetime,
    share: float,
    wait: float | None = None,
) -> Later | Ended:
    """What comes of so many attempts, the last of which has failed.

    `differed` is how often the content was not what its hash says; `share`, from 0 to 1, how much of the jitter is
    used; `wait` the seconds before which Meta wants no other call. The last attempt is when the id ends.
    """
    if reason is Reason.TOO_LARGE or (reason is Reason.HASH_DIFFERS and differed >= DIFFERS_MOST):
        return Ended(State.REFUSED, reason)
    if now >= deadline:
        return Ended(State.LOST, reason)
    pause = min(FIRST_PAUSE * GROWS_BY ** min(attempts - 1, 20), LONGEST_PAUSE) * (1 + share) / 2
    return Later(min(now + timedelta(seconds=max(pause, wait or 0.0)), deadline), reason)


def is_fresh(at: datetime, now: datetime) -> bool:
    """Whether the address in the webhook of a message may still be good."""
    return now - at < ADDRESS_FRESH
