"""What a send is refused for before Meta is asked. What is known refuses; what is not known Meta decides.

Each refusal has a stable code, a sentence and a remedy for the person who must act.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from wabus_whatsapp.sending.country_rules import rule_against
from wabus_whatsapp.window import Window, window

FRESH = timedelta(seconds=3)
"""What was read longer ago may have been overtaken by what Meta knows: then Meta decides."""

PAUSED = "PAUSED"
"""Of a template that Meta sends again after some hours by itself. Meta: "Template pausing"."""

FREE_AFTER = timedelta(hours=24)

SENDABLE = frozenset(("APPROVED", "FLAGGED"))
"""States of a template in which Meta sends it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a send is refused."""

    code: str
    message: str
    remedy: str


NOT_YOUR_NUMBER = Refusal(
    "not_your_number",
    "This phone number is not one of your organisation's.",
    "Use the id of a number of an account that you have connected.",
)
WINDOW_CLOSED = Refusal(
    "window_closed",
    "This person has not written to this number in the last 24 hours, so that only a template can be sent.",
    "Send an approved template.",
)
TEMPLATE_UNKNOWN = Refusal(
    "template_unknown",
    "This account has no template of this name in this language.",
    "Look up the name and the language with GET /templates.",
)
TEMPLATE_STOPPED = Refusal(
    "template_stopped",
    "WhatsApp does not send this template now: it is not approved, or it was paused or disabled.",
    "See GET /templates for its state, and choose another one until it is approved.",
)
NEEDS_A_NUMBER = Refusal(
    "needs_a_number",
    "A template with a one-time password can only be sent to a telephone number.",
    "Give the person's number as `to`.",
)

WANTS_NO_MARKETING = Refusal(
    "wants_no_marketing",
    "This person has stopped marketing messages of yours.",
    "Take them off your list, until they ask for such messages again.",
)

OPTED_OUT = Refusal(
    "opted_out",
    "This person has told you that they want no marketing.",
    "Take them off your list, until they ask for such messages again, and tell that with POST /messages/opt-in.",
)

NOT_DELIVERED_THERE = Refusal(
    "not_delivered_there",
    "WhatsApp delivers no marketing templates to numbers of the United States.",
    "Use another channel for this person, or a template of another category if the message is one.",
)

BLOCKED = Refusal(
    "blocked",
    "Your number has blocked this person.",
    "Unblock them with POST /messages/unblock, if you want to write to them.",
)

THREAD_OF_ANOTHER = Refusal(
    "thread_of_another",
    "Another responder on this number answers this person at present.",
    "Let them hand the conversation over, or send an approved template.",
)

NUMBER_STOPPED = Refusal(
    "number_stopped",
    "WhatsApp sends nothing for this number until somebody has acted.",
    "See GET /numbers/{id}/sending for what helps, and send it again then.",
)

HELD_OUT = Refusal(
    "held_out",
    "This person gets nothing: they are in the group that is sent nothing, so that you see what your messages achieve.",
    "There is nothing to do. Who is in the group stays in it; one-time passwords, notices and answers are sent.",
)

REFUSALS: Mapping[str, Refusal] = {
    each.code: each
    for each in (
        NOT_YOUR_NUMBER,
        WINDOW_CLOSED,
        TEMPLATE_UNKNOWN,
        TEMPLATE_STOPPED,
        NEEDS_A_NUMBER,
        WANTS_NO_MARKETING,
        OPTED_OUT,
        NOT_DELIVERED_THERE,
        BLOCKED,
        THREAD_OF_ANOTHER,
        NUMBER_STOPPED,
        HELD_OUT,
    )
}


class Facts(NamedTuple):
    """What is known of a send and of whom it is to."""

    is_template: bool
    read_until: datetime | None
    """All that the log had by then is known."""
    owner: str | None
    """Whose the number is now."""
    user_last_at: datetime | None = None
    maybe_at: datetime | None = None
    refused_at: datetime | None = None
    """When Meta last refused a message to the person because the window was closed."""
    template_status: str | None = None
    """None where the template is not known."""
    template_waits: bool = False
    """Whether the organisation wants its sends to wait while Meta has paused their template."""
    category: str | None = None
    wa_id: str | None = None
    """The person's number; None where only their user id is known."""
    asks_meta: bool = False
    """Whether the organisation leaves it to Meta where something is not delivered in a country."""
    stopped: bool = False
    """Whether the person wants no marketing from the number, as Meta tells it."""
    opted_out: bool = False
    """Whether the person wants no marketing of the organisation, as they have told it."""
    taken_at: datetime | None = None
    """Since when another responder answers the person."""
    blocked: bool = False
    """Whether the number has blocked the person."""


def refusal(org_id: str, facts: Facts, now: datetime) -> Refusal | None:
    """Why this is not sent, if so."""
    if facts.owner != org_id:
        return NOT_YOUR_NUMBER
    if facts.blocked:
        return BLOCKED
    if facts.is_template:
        stopped = facts.template_status is not None and facts.template_status not in SENDABLE
        if stopped and not must_wait(facts):
            return TEMPLATE_STOPPED
        if facts.category == "AUTHENTICATION" and facts.wa_id is None:
            return NEEDS_A_NUMBER
        if facts.category == "MARKETING" and (facts.stopped or facts.opted_out):
            return WANTS_NO_MARKETING if facts.stopped else OPTED_OUT
        if not facts.asks_meta and rule_against(facts.category, facts.wa_id, now.date()):
            return NOT_DELIVERED_THERE
        return None
    if facts.read_until is None or now - facts.read_until > FRESH:
        return None
    if _is_of_another(facts, now):
        return THREAD_OF_ANOTHER
    return WINDOW_CLOSED if _window(facts, now).state == "closed" else None


def writes_first(facts: Facts, now: datetime) -> bool:
    """Whether it counts among those whom a business writes to first: nothing of theirs has opened the window."""
    return _window(facts, now).state == "closed"


def must_wait(facts: Facts) -> bool:
    """Whether it is not sent now, and not refused either, if nothing else is in its way."""
    return facts.is_template and facts.template_waits and facts.template_status == PAUSED


def _window(facts: Facts, now: datetime) -> Window:
    return window(now, user_last_at=facts.user_last_at, maybe_at=facts.maybe_at, refused_at=facts.refused_at)


def _is_of_another(facts: Facts, now: datetime) -> bool:
    """Whether it is sure that somebody else answers the person.

    Who writes to us is ours to answer, and Meta tells nobody that a conversation has become free, which it is after a
    day in which nobody wrote. What they write to the other responder is told by a copy, of the same moment as
    `taken_at` then. Source: Meta, "Conversation Routing".
    """
    if facts.taken_at is None or now - facts.taken_at >= FREE_AFTER:
        return False
    return facts.user_last_at is None or facts.user_last_at <= facts.taken_at
