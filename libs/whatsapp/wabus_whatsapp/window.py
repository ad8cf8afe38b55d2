"""The customer service window: until when anything may be sent to a person, and how sure that is. Pure.

Sources: Meta, "Send messages" (customer service windows), "Pricing" (free entry point windows), "Calling API". All
moments are Meta's: what counts is when Meta got the person's message, not when we did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Literal

from wabus_events.webhooks.values import moment

OPEN_FOR = timedelta(hours=24)
FREE_IF_ANSWERED_WITHIN = timedelta(hours=24)
FREE_FOR = timedelta(hours=72)
"""From the answer to somebody who came by an ad or a button of a page."""

REFUSED = 131047
"""Meta: "Cloud API: Error codes": more than 24 hours have passed since the person last replied."""


class Opens(IntEnum):
    """What something that came does to the window."""

    NO = 0
    """A status, an echo from the phone app, something from before the connection, a notice of the system."""
    MAYBE = 1
    """A reaction, an edit, a revoke: Meta does not say. Who sends is told by Meta."""
    YES = 2
    """A message of any kind, or a call that the person began."""


_MAYBE_TYPES = frozenset(("reaction", "edit", "revoke"))
_NO_TYPES = frozenset(("system", "request_welcome"))


def opened_by(message_type: str) -> Opens:
    """What a person's message of this type does; one that this version does not know is a message like any other."""
    if message_type in _MAYBE_TYPES:
        return Opens.MAYBE
    return Opens.NO if message_type in _NO_TYPES else Opens.YES


def came_by_ad(message: Mapping[str, Any]) -> bool:
    """Whether a person's message says that they came by an ad, or by a button of a page.

    Source: Meta, "Messages webhook reference", `referral`.
    """
    return isinstance(message.get("referral"), dict)


def free_until_in(status: Mapping[str, Any]) -> datetime | None:
    """Until when a status says that messages are free; None where it does not say.

    Meta names the end of a conversation's window only where an ad began it, since version 24; before, of any.
    """
    match status.get("conversation"):
        case {"origin": {"type": "referral_conversion"}, "expiration_timestamp": seconds}:
            return moment(seconds)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class FreeEntryPoint:
    """Until when messages to somebody who came by an ad cost nothing. It does not open the window."""

    until: datetime
    source: Literal["reported", "computed"]
    """Whether Meta said so in a status, or it follows from the times; on WhatsApp Web, which Meta does not tell of,
    nothing is free."""


@dataclass(frozen=True, slots=True)
class Window:
    """Whether anything may be sent to a person now; `maybe` may send, and Meta decides."""

    state: Literal["open", "maybe", "closed"]
    closes_at: datetime | None
    """When it closes, or has closed; None if it never was open."""
    certain: bool
    """Whether that is sure: not where Meta does not say, nor where Meta has refused a message since it opened."""
    free_entry_point: FreeEntryPoint | None


def window(
    now: datetime,
    *,
    user_last_at: datetime | None,
    maybe_at: datetime | None = None,
    refused_at: datetime | None = None,
    free_reported_until: datetime | None = None,
    free_computed_until: datetime | None = None,
) -> Window:
    """The window at a moment.

    `user_last_at` is the person's last message or call, `maybe_at` the last of what may count, `refused_at` when Meta
    last refused a message because the window was closed.
    """
    free = _free(now, free_reported_until, free_computed_until)
    sure_until = user_last_at + OPEN_FOR if user_last_at else None
    if user_last_at and sure_until and now < sure_until:
        # Meta: "In rare cases, you may receive a message from a user, but be unable to respond."
        return Window("open", sure_until, not _since(refused_at, user_last_at), free)
    maybe_until = maybe_at + OPEN_FOR if maybe_at else None
    if maybe_at and maybe_until and now < maybe_until and not _since(refused_at, maybe_at):
        return Window("maybe", maybe_until, False, free)
    return Window("closed", sure_until, True, free)


def free_entry_until(referred_at: datetime, answered_at: datetime | None) -> datetime | None:
    """Until when messages are free to somebody who came by an ad then and was first answered then; None if not."""
    if answered_at is None or answered_at - referred_at > FREE_IF_ANSWERED_WITHIN:
        return None
    return answered_at + FREE_FOR


def _free(now: datetime, reported: datetime | None, computed: datetime | None) -> FreeEntryPoint | None:
    """What Meta reports goes before what is computed, unless that is of a later window."""
    if reported and not (computed and computed - reported >= FREE_FOR):
        return FreeEntryPoint(reported, "reported") if now < reported else None
    return FreeEntryPoint(computed, "computed") if computed and now < computed else None


def _since(refused_at: datetime | None, opened_at: datetime) -> bool:
    return refused_at is not None and refused_at >= opened_at
