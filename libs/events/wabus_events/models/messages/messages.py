"""Facts about messages, and the webhooks that no other model covers."""

from typing import Any

from pydantic import Field

from wabus_events.models.event import Event, WabaEvent
from wabus_events.models.topics import MESSAGES

MOST_DIGITS = 15
"""Of a phone number (E.164). Groups of the phone app have ids of more."""


def shown_number(contact: str) -> str | None:
    """The number in `contact`, unless that is what Meta gives instead of one: an id of the person's, or a group's."""
    return contact if is_number(contact) else None


def is_number(contact: str) -> bool:
    """Whether it is a phone number, with or without a plus sign."""
    digits = contact.removeprefix("+")
    return digits.isdecimal() and len(digits) <= MOST_DIGITS


def original_of(change: Any) -> str | None:
    """The message that an edit or a revoke names. Meta: "Edit messages webhook reference", "Revoke messages …"."""
    match change:
        case {"original_message_id": str(wamid)} if wamid:
            return wamid
        case _:
            return None


class MessageReceived(WabaEvent, topic=MESSAGES):
    """A customer sent a message. `value` is Meta's change value with this one message and its contact in it."""

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str
    contact: str
    """The sender: their WhatsApp id, or what Meta gives instead of it. In a group, the participant who wrote."""
    user_id: str | None = None
    """The sender's business-scoped user id, in every webhook since April 2026; another one after a change of number."""
    parent_user_id: str | None = None
    """The sender's id for all portfolios of a parent business, where that has been set up."""
    username: str | None = None
    """The name that the sender goes by in place of a number. It may change, and says nothing of who they are."""
    group_id: str | None = None
    """The group that it was sent to, as Meta names it; statuses of messages to that group have it as `contact`."""
    message_type: str
    """text, image, interactive, … or one that did not exist when this was written."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.group_id or self.contact}"

    @property
    def wa_id(self) -> str | None:
        """The sender's number; None where Meta hides it."""
        return shown_number(self.contact)

    @property
    def original_wamid(self) -> str | None:
        """Which message an `edit` or a `revoke` is about; None of any other."""
        match self.value:
            case {"messages": [{"type": "edit" | "revoke" as kind, **item}]}:
                return original_of(item.get(kind))
            case _:
                return None


class MessageStatusChanged(WabaEvent, topic=MESSAGES):
    """A message that the business sent was sent, delivered, read, played, deleted, or has failed.

    Or, where `of_payment`, the order in it is being paid, was paid, or could not be.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str
    contact: str
    """Whom it was sent to: their WhatsApp id, what Meta gives instead of it, or the group."""
    user_id: str | None = None
    """The recipient's business-scoped user id; None for a group, and where the message failed."""
    parent_user_id: str | None = None
    """The recipient's, or in a group the participant's, id for all portfolios of a parent business."""
    username: str | None = None
    """The recipient's, or in a group the participant's, user name."""
    group_id: str | None = None
    """The group that the message was sent to: then `participant` and `participant_user_id` say whose status it is."""
    participant: str | None = None
    """In a group: the WhatsApp id of the participant whose status it is; None where Meta hides it."""
    participant_user_id: str | None = None
    """In a group: the business-scoped user id of the participant whose status it is."""
    status: str
    """sent, delivered, read, played, deleted or failed; of a payment pending, captured, failed, …"""
    error_codes: list[int] = []
    """Meta: "Cloud API: Error codes". Empty unless `status` is failed."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}"

    @property
    def wa_id(self) -> str | None:
        """The recipient's, or in a group the participant's, number; None where Meta hides it."""
        return self.participant if self.group_id else shown_number(self.contact)

    @property
    def of_payment(self) -> bool:
        """Whether it tells how a payment goes, which says nothing of the message. Meta: "Payments API"."""
        # Asked of each status: a pattern takes six times as long.
        statuses = self.value.get("statuses")
        return (
            type(statuses) is list
            and len(statuses) == 1
            and type(statuses[0]) is dict
            and statuses[0].get("type") == "payment"
        )


class MessagingFailed(WabaEvent, topic=MESSAGES):
    """Meta could not handle what a number sends, and names no message: too much was sent at once (130429), …

    Meta may tell it alone, or beside messages and statuses that it is none of.
    Source: Meta, "Errors webhooks reference" of the field `messages`.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    error_codes: list[int]
    """Meta: "Cloud API: Error codes"."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return self.phone_number_id


class Unrecognised(Event, topic=MESSAGES):
    """A correctly signed webhook, or a part of one, that this version has no model for. Kept whole.

    Either `value` (the change's JSON value) or `body` (the request's body as base64, where it is no JSON
    that could be taken apart) holds it.
    """

    waba_id: str | None = None
    portfolio_id: str | None = None
    """The business portfolio that Meta told, where it did not tell the account itself."""
    field: str | None = None
    reason: str
    """Why there is no model for it, without quoting it."""
    value: Any = None
    """The change's value as Meta sent it."""
    body: str | None = Field(default=None)
    """The request's whole body, base64."""

    @property
    def subject(self) -> str | None:
        return self.waba_id
