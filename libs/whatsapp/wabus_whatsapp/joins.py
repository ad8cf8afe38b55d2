"""Joins: what stands of several things that were told of one, whatever the order in which they came. Pure.

Each is commutative, associative and idempotent: to fold the same facts again, in any order, changes nothing.
"""

from datetime import datetime
from enum import IntEnum


class MessageState(IntEnum):
    """How far a message that the business sent has come. Of several the greatest stands, whenever it was told.

    A failure is below `DELIVERED`: a message that one of the person's devices has got was not lost, whatever another
    device says, before or afterwards. Source: Meta, "Status messages webhook reference".
    """

    NONE = 0
    """It is not one of ours, or nothing is known of it."""
    QUEUED = 1
    CALLING = 2
    UNKNOWN = 3
    """Meta was asked to send it and has not answered."""
    ACCEPTED = 4
    HELD = 5
    """Meta has it and waits before it is sent."""
    SENT = 6
    FAILED = 7
    DELIVERED = 8
    READ = 9
    PLAYED = 10


STATE_OF_STATUS = {
    "sent": MessageState.SENT,
    "failed": MessageState.FAILED,
    "delivered": MessageState.DELIVERED,
    "read": MessageState.READ,
    "played": MessageState.PLAYED,
}
"""Of Meta's words in a status. Any other says nothing of how far the message has come."""

STATE_OF_HISTORY = {
    "PENDING": MessageState.QUEUED,
    "SENT": MessageState.SENT,
    "ERROR": MessageState.FAILED,
    "DELIVERED": MessageState.DELIVERED,
    "READ": MessageState.READ,
    "PLAYED": MessageState.PLAYED,
}
"""Of Meta's words in `history_context`. Source: Meta, "history webhook reference"."""


def earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two moments of which each may not be known."""
    if one is None or other is None:
        return one or other
    return min(one, other)


def latest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The later of two moments of which each may not be known."""
    if one is None or other is None:
        return one or other
    return max(one, other)


Dated = tuple[datetime, str] | None
"""A word and when it was told; None for nothing."""


def newest(one: Dated, other: Dated) -> Dated:
    """The word that was told last; of two at the same moment the greater, so that the order does not matter."""
    if one is None or other is None:
        return one or other
    return max(one, other)
