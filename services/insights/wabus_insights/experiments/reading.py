"""What events say of people in experiments: who was drawn, who is the same as whom, and what they did. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from wabus_events import (
    ContactIdentityChanged,
    Event,
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageReceived,
    MessageStatusChanged,
    OptedOut,
    PersonDrawn,
    SendExpired,
    SendRefused,
    SendRequested,
    SendSettled,
    contact_id,
    fact_id,
)
from wabus_whatsapp.ids import message_id

Sign = Literal["wrote", "tapped", "read", "failed", "held", "capped", "in_metas_test", "stopped"]
"""What happened to a person or to a message to them. `held` means that Meta has taken it and waits with it to see how
others like the template (pacing); `capped` and `in_metas_test` say why a message has failed."""

STOPPED, CAPPED, IN_METAS_TEST = 131050, 131049, 130472
"""Meta: "Cloud API: Error codes": the person has stopped marketing; gets too much of it from all businesses; is in an
experiment of Meta's own."""
HELD = "held_for_quality_assessment"
"""Meta: "Template pacing"."""
_OPAQUE = "w1:"
"""What the sender gives Meta along with a message begins with it; the send's id follows."""
OPAQUE_OF_A_DRAW = "x1:"
"""The same of a message that a platform sends by itself; `draw_id` follows."""
_SAYS_NOTHING = frozenset(("system", "request_welcome", "reaction", "edit", "revoke", "unsupported"))


class Whom(NamedTuple):
    """Somebody, by what they are known by."""

    wa_id: str | None
    user_id: str | None

    @property
    def is_known(self) -> bool:
        return bool(self.wa_id or self.user_id)


class Drawn(NamedTuple):
    """A person is in an arm."""

    experiment_id: UUID
    whom: Whom
    arm: str
    epoch: int | None
    """By which weights they were drawn just now; None where they were in the arm before."""
    at: datetime
    send_id: UUID | None = None


class Same(NamedTuple):
    """Two are one person."""

    one: Whom
    other: Whom
    at: datetime


class BecameMessage(NamedTuple):
    """A send has become this message."""

    send_id: UUID
    message_id: UUID


class SentOutside(NamedTuple):
    """What a platform has sent by itself to somebody who was drawn is this message."""

    draw_id: UUID
    message_id: UUID
    at: datetime


class Did(NamedTuple):
    """Somebody did something, or it happened to a message to them."""

    sign: Sign
    at: datetime
    whom: Whom | None = None
    key: UUID | None = None
    """A send or a message, where it is about one."""


Fact = Drawn | Same | BecameMessage | SentOutside | Did


def facts_of(event: Event) -> Iterator[Fact]:
    """What an event says; of most events nothing."""
    match event:
        case SendRequested(experiment_id=str(experiment_id), arm=str(arm)):
            whom = _whom(event.to, event.recipient)
            yield Drawn(UUID(experiment_id), whom, arm, event.epoch, event.time, UUID(event.send_id))
        case PersonDrawn():
            whom = _whom(event.to, event.recipient)
            yield Drawn(UUID(event.experiment_id), whom, event.arm, event.epoch, event.time)
        case MessageAccepted() | SendSettled():
            yield from _same(Whom(event.wa_id, event.user_id), event.time)
            found = message_id(event.org_id or "", event.phone_number_id, event.wamid)
            yield BecameMessage(UUID(event.send_id), UUID(found))
            if isinstance(event, MessageAccepted) and event.message_status == HELD:
                yield Did("held", event.time, key=UUID(event.send_id))
        case SendRefused() | SendExpired():
            yield Did("failed", event.time, key=UUID(event.send_id))
        case MessageReceived(group_id=None):
            whom = Whom(event.wa_id, event.user_id)
            yield from _same(whom, event.time)
            if event.message_type not in _SAYS_NOTHING:
                yield Did("wrote", event.time, whom)
            if event.message_type in ("button", "interactive") and (wamid := _replied_to(event.value)):
                found = message_id(event.org_id or "", event.phone_number_id, wamid)
                yield Did("tapped", event.time, key=UUID(found))
        case MessageStatusChanged(group_id=None) if not event.of_payment:
            yield from _of_status(event)
        case ContactIdentityChanged():
            before = _whom(event.previous_wa_id, event.previous_user_id)
            after = _whom(event.current_wa_id, event.current_user_id)
            if before.is_known and after.is_known:
                yield Same(before, after, event.time)
        case MarketingPreferenceChanged(category="marketing_messages", choice="stop"):
            yield Did("stopped", event.time, Whom(event.wa_id, event.user_id))
        case OptedOut():
            yield Did("stopped", event.time, _whom(event.wa_id, event.user_id))
        case _:
            return


def _of_status(event: MessageStatusChanged) -> Iterator[Fact]:
    whom = Whom(event.wa_id, event.user_id)
    yield from _same(whom, event.time)
    of_message = UUID(message_id(event.org_id or "", event.phone_number_id, event.wamid))
    key = _id_in(event.value, _OPAQUE) or of_message
    if drawn := _id_in(event.value, OPAQUE_OF_A_DRAW):
        key = drawn
        yield SentOutside(drawn, of_message, event.time)  # for whoever taps a button of it names the message
    match event.status:
        case "read" | "played":
            yield Did("read", event.time, key=key)
        case "failed":
            yield Did("failed", event.time, key=key)
            if CAPPED in event.error_codes:
                yield Did("capped", event.time, key=key)
            if IN_METAS_TEST in event.error_codes:
                yield Did("in_metas_test", event.time, key=key)
            if STOPPED in event.error_codes and whom.is_known:
                yield Did("stopped", event.time, whom)
        case _:
            return


def _same(whom: Whom, at: datetime) -> Iterator[Same]:
    if whom.wa_id and whom.user_id:
        yield Same(Whom(whom.wa_id, None), Whom(None, whom.user_id), at)


def _whom(wa_id: str | None, user_id: str | None) -> Whom:
    return Whom(contact_id(wa_id) if wa_id else None, user_id)


def _replied_to(value: dict[str, Any]) -> str | None:
    match value:
        case {"messages": [{"context": {"id": str(wamid)}}]}:
            return wamid
        case _:
            return None


def _id_in(value: dict[str, Any], prefix: str) -> UUID | None:
    match value:
        case {"statuses": [{"biz_opaque_callback_data": str(opaque)}]} if opaque.startswith(prefix):
            try:
                return UUID(opaque.removeprefix(prefix))
            except ValueError:
                return None
        case _:
            return None


def draw_id(experiment_id: UUID, person: UUID) -> UUID:
    """By what a platform that sends by itself lets Meta tell whom a message is to: of a person as they were drawn."""
    return UUID(fact_id("draw", str(experiment_id), str(person)))
