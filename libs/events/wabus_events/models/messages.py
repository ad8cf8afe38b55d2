"""Facts about messages, and the webhooks that no other model covers."""

from typing import Any

from pydantic import Field

from wabus_events.models.event import Event, WabaEvent
from wabus_events.models.topics import MESSAGES


class MessageReceived(WabaEvent, topic=MESSAGES):
    """A customer sent a message. `value` is Meta's change value with this one message and its contact in it."""

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str
    contact: str
    """The sender: their WhatsApp id, or what Meta gives instead of it."""
    group_id: str | None = None
    """The group that it was sent to, as Meta names it; statuses of messages to that group have it as `contact`."""
    message_type: str
    """text, image, interactive, … or one that did not exist when this was written."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.group_id or self.contact}"


class MessageStatusChanged(WabaEvent, topic=MESSAGES):
    """A message that the business sent was sent, delivered, read, played, deleted, or has failed.

    Or, where `of_payment`, the order in it is being paid, was paid, or could not be.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str
    contact: str
    status: str
    """sent, delivered, read, played, deleted or failed; of a payment pending, captured, failed, …"""
    error_codes: list[int] = []
    """Meta: "Cloud API: Error codes". Empty unless `status` is failed."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}"

    @property
    def of_payment(self) -> bool:
        """Whether it tells how a payment goes, which says nothing of the message. Meta: "Payments API"."""
        match self.value:
            case {"statuses": [{"type": "payment"}]}:
                return True
            case _:
                return False


class MessagingFailed(WabaEvent, topic=MESSAGES):
    """Meta could not handle what a number sends, and names no message: too much was sent at once (130429), …

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
