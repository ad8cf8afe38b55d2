"""What events of messages say that sending has to know: who wrote, and what became of what was sent."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from wabus_events import (
    CallReported,
    Event,
    MarketingPreferenceChanged,
    MessageEchoed,
    MessageReceived,
    MessageStatusChanged,
    StandbyReceived,
    ThreadControlChanged,
)
from wabus_whatsapp.joins import STATE_OF_STATUS
from wabus_whatsapp.window import REFUSED, Opens, came_by_ad, free_until_in, opened_by

from wabus_sender.sending.people.opting import written_in

OPAQUE = "w1:"
"""What `biz_opaque_callback_data` of ours begins with; the send's id follows. Meta gives it back with each status."""


STOPPED = 131050
"""Meta: "Cloud API: Error codes": the person has stopped marketing messages of the business."""


class Seen(NamedTuple):
    """Somebody wrote, called, or was written to."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    at: datetime
    opens: Opens
    wamid: str | None = None
    """Of the message that they wrote."""
    refused: bool = False
    """Whether Meta has refused a message to them because the window was closed."""


class Preferred(NamedTuple):
    """Somebody wants marketing from a number, or no more."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    at: datetime
    stopped: bool


class Handed(NamedTuple):
    """Somebody else answers a person from now on, or we do."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    at: datetime
    ours: bool


class Copied(NamedTuple):
    """Somebody wrote to whoever answers them: if that was not us, it still is not."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    at: datetime


class FreeEntry(NamedTuple):
    """Somebody came by an ad or a button of a page, or Meta tells until when messages to them are free for that."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    at: datetime
    until: datetime | None
    """None where they came: until when depends on when they are answered."""


class ShortText(NamedTuple):
    """Somebody wrote something so short that it may be a word by which they choose."""

    phone_number_id: str
    wa_id: str | None
    user_id: str | None
    at: datetime
    wamid: str
    text: str


class StatusOfSend(NamedTuple):
    """A status of a message that was sent by a send."""

    send_id: str
    wamid: str
    status: str
    rank: int
    error_codes: tuple[int, ...]
    at: datetime
    wa_id: str | None
    """The recipient's number, as the status has it."""
    user_id: str | None


def facts_of(event: Event) -> Iterator[Seen | StatusOfSend | Preferred | ShortText | Handed | Copied | FreeEntry]:
    """What an event says; of most events nothing."""
    match event:
        case MessageReceived(group_id=None):
            opens = opened_by(event.message_type)
            yield Seen(event.phone_number_id, event.wa_id, event.user_id, event.time, opens, event.wamid)
            if _has_referral(event.value):
                yield FreeEntry(event.phone_number_id, event.wa_id, event.user_id, event.time, None)
            if text := written_in(event):
                yield ShortText(event.phone_number_id, event.wa_id, event.user_id, event.time, event.wamid, text)
        case CallReported(event="connect", direction="USER_INITIATED"):
            yield Seen(event.phone_number_id, event.wa_id, event.user_id, event.time, Opens.YES)
        case MarketingPreferenceChanged(category="marketing_messages", choice="stop" | "resume" as choice):
            yield Seen(event.phone_number_id, event.wa_id, event.user_id, event.time, Opens.NO)
            yield Preferred(event.phone_number_id, event.wa_id, event.user_id, event.time, choice == "stop")
        case ThreadControlChanged(is_ours=bool(ours)) if event.contact:
            yield Handed(event.phone_number_id, event.wa_id, event.user_id, event.time, ours)
        case StandbyReceived(kind="message", group_id=None):
            # The window is the number's, whoever answers. Meta: "Standby webhooks".
            opens = opened_by(event.message_type or "unknown")
            yield Seen(event.phone_number_id, event.wa_id, event.user_id, event.time, opens)
            yield Copied(event.phone_number_id, event.wa_id, event.user_id, event.time)
            if text := written_in(event):
                yield ShortText(event.phone_number_id, event.wa_id, event.user_id, event.time, event.wamid, text)
        case MessageEchoed(group_id=None):
            yield Seen(event.phone_number_id, event.wa_id, event.user_id, event.time, Opens.NO)
        case MessageStatusChanged():
            if event.group_id is None:
                refused = REFUSED in event.error_codes
                yield Seen(event.phone_number_id, event.wa_id, event.user_id, event.time, Opens.NO, refused=refused)
                if until := _free_until(event.value):
                    yield FreeEntry(event.phone_number_id, event.wa_id, event.user_id, event.time, until)
                if STOPPED in event.error_codes:
                    yield Preferred(event.phone_number_id, event.wa_id, event.user_id, event.time, stopped=True)
            state = STATE_OF_STATUS.get(event.status)
            send_id = send_id_in(event.value)
            if state is not None and send_id and not event.of_payment:
                codes = tuple(event.error_codes)
                yield StatusOfSend(
                    send_id, event.wamid, event.status, state, codes, event.time, event.wa_id, event.user_id
                )
        case _:
            return


def send_id_in(value: Mapping[str, Any]) -> str | None:
    """The send that a status says that it is about, by what we gave Meta along with the message."""
    match value:
        case {"statuses": [{"biz_opaque_callback_data": str(opaque)}]} if opaque.startswith(OPAQUE):
            try:
                return str(UUID(opaque.removeprefix(OPAQUE)))
            except ValueError:
                return None
        case _:
            return None


def opaque_of(send_id: str) -> str:
    """What is given to Meta along with a message."""
    return OPAQUE + send_id


def _has_referral(value: Mapping[str, Any]) -> bool:
    match value:
        case {"messages": [{**message}]}:
            return came_by_ad(message)
        case _:
            return False


def _free_until(value: Mapping[str, Any]) -> datetime | None:
    match value:
        case {"statuses": [{**status}]}:
            return free_until_in(status)
        case _:
            return None
