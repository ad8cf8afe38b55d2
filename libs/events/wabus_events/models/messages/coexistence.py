"""Facts about a number that people also use in the WhatsApp Business app: what they write there, and what was before.

Meta: "Onboarding WhatsApp Business app users", which calls it coexistence.
"""

from typing import Any

from wabus_events.models.event import WabaEvent
from wabus_events.models.messages.messages import shown_number
from wabus_events.models.topics import MESSAGES


class MessageEchoed(WabaEvent, topic=MESSAGES):
    """`smb_message_echoes`: somebody of the business wrote, edited or deleted a message in the WhatsApp Business app.

    `value` is Meta's with this one message in it. It neither opens nor extends the customer's service window.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str
    contact: str
    """Whom it was sent to: their number without a plus sign, their business-scoped user id where Meta hides it, or the
    group."""
    user_id: str | None = None
    """The recipient's business-scoped user id."""
    parent_user_id: str | None = None
    """The recipient's id for all portfolios of a parent business."""
    username: str | None = None
    """The recipient's user name."""
    group_id: str | None = None
    """The group that it was sent to, if Meta tells of those."""
    message_type: str
    """text, image, … or `edit` and `revoke`, which are about `original_wamid`."""
    original_wamid: str | None = None
    """The message that an edit or a revoke is about; it need not be known here."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.group_id or self.contact}"

    @property
    def wa_id(self) -> str | None:
        """The recipient's number; None where Meta hides it."""
        return shown_number(self.contact)


class MessageImported(WabaEvent, topic=MESSAGES):
    """`history`: one message of up to 180 days before the number was connected, either way.

    A medium comes twice: first as `media_placeholder`, then, if it is not older than 14 days, with its type and id.
    `value` is Meta's with this one message in it. `time` is when the message arrived on the recipient's device.
    It is the past: nobody received a message now, and nobody waits for an answer.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str
    contact: str
    """The person in the thread, whoever wrote: their number, or their business-scoped user id where Meta hides it. In a
    group the participant who wrote, or the group where the business did."""
    user_id: str | None = None
    """That person's business-scoped user id."""
    parent_user_id: str | None = None
    """That person's id for all portfolios of a parent business."""
    username: str | None = None
    """That person's user name."""
    group_id: str | None = None
    """The group, where the thread is one. Meta says that it leaves groups out."""
    from_business: bool
    """Whether the business wrote it, and not the person."""
    message_type: str
    """text, media_placeholder, image, …"""
    original_wamid: str | None = None
    """The message that an edit or a revoke is about."""
    status: str | None = None
    """DELIVERED, ERROR, PENDING, PLAYED, READ or SENT: how far it had come; None for a medium that is told later."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.group_id or self.contact}"

    @property
    def wa_id(self) -> str | None:
        """The person's number; None where Meta hides it."""
        return shown_number(self.contact)


class HistoryProgressed(WabaEvent, topic=MESSAGES):
    """`history`: a chunk of the messages of before has come, or the business does not share them (`declined`).

    One for each chunk, beside the chunk's messages; chunks may come in any order. Sharing nothing is no error.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    phase: int | None = None
    """0: the day of connecting and the one before, 1: up to 90 days before, 2: up to 180. An empty one is left out."""
    chunk_order: int | None = None
    """Which chunk of the phase it is."""
    progress: int | None = None
    """Per cent of all that is to come; 100 is the end."""
    messages: int = 0
    """How many messages this chunk has: so many `MessageImported` were made of it, or kept as `Unrecognised`."""
    declined: bool = False
    """Whether the business does not share its history (2593109)."""
    error_codes: list[int] = []
    """Meta: "history webhook reference": 2593109, or another error of the synchronisation."""
    value: dict[str, Any]
    """Meta's value without its threads, whose messages are events of their own."""


class ContactSynced(WabaEvent, topic=MESSAGES):
    """`smb_app_state_sync`: a contact was added to, edited in, or removed from the address book of the app.

    `value` is Meta's with this one contact in it.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    contact: str
    """Whose entry it is: their number without a plus sign, or their business-scoped user id where Meta hides it."""
    user_id: str | None = None
    """Their business-scoped user id."""
    parent_user_id: str | None = None
    """Their id for all portfolios of a parent business."""
    username: str | None = None
    """Their user name."""
    action: str
    """`add`, also for an edited entry, or `remove`."""
    full_name: str | None = None
    """The name that the business gave them; None when it is removed."""
    first_name: str | None = None
    """Its first part."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}"

    @property
    def wa_id(self) -> str | None:
        """Their number; None where Meta hides it."""
        return shown_number(self.contact)
