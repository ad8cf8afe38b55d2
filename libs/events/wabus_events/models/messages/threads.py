"""Facts about a conversation beside its messages: who the person is, what they want, who answers them, and calls."""

from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime

from wabus_events.models.event import WabaEvent
from wabus_events.models.messages.messages import shown_number
from wabus_events.models.topics import MESSAGES


class ContactIdentityChanged(WabaEvent, topic=MESSAGES):
    """Somebody has another number, and so another business-scoped user id, or only another id.

    Meta tells it as a `system` message, of which there is a `MessageReceived` too with the same `wamid`; some providers
    as a webhook of the field `user_id_update`, to which nobody can subscribe since August 2026. What Meta does not
    tell is None, not unchanged. Sources: Meta, "System messages webhook reference", "Business-scoped user IDs".
    """

    phone_number_id: str
    display_phone_number: str | None = None
    wamid: str | None = None
    """The system message that says so; None if it came as `user_id_update`."""
    previous_user_id: str | None = None
    """The business-scoped user id that is theirs no more."""
    current_user_id: str | None = None
    """The one that they have now."""
    previous_parent_user_id: str | None = None
    """The same for all portfolios of a parent business, as it was."""
    current_parent_user_id: str | None = None
    """The same as it is now."""
    previous_wa_id: str | None = None
    """The number that is theirs no more; somebody else may have it one day."""
    current_wa_id: str | None = None
    """The number that they have now, where Meta shows it."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        known = (self.current_user_id, self.current_wa_id, self.previous_user_id, self.previous_wa_id)
        return f"{self.phone_number_id}:{next(filter(None, known), '')}"


class MarketingPreferenceChanged(WabaEvent, topic=MESSAGES):
    """`user_preferences`: somebody wants no more marketing messages from this number, or wants them again.

    `value` is Meta's with this one choice in it. Who taps “Not interested” sends none.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    contact: str
    """Who: their WhatsApp id, or their business-scoped user id where Meta hides it."""
    user_id: str | None = None
    """Their business-scoped user id."""
    parent_user_id: str | None = None
    """Their id for all portfolios of a parent business."""
    username: str | None = None
    """Their user name."""
    category: str
    """`marketing_messages`."""
    choice: str
    """`stop`, `resume` or `signup`, in small letters. After `stop` marketing messages fail with 131050."""
    signup_id: str | None = None
    """Which sign-up link it was, for `signup`."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}"

    @property
    def wa_id(self) -> str | None:
        """Their number; None where Meta hides it."""
        return shown_number(self.contact)

    @property
    def wants_marketing(self) -> bool | None:
        """Whether marketing messages may be sent from now on; None if the choice is a word not known here."""
        return {"stop": False, "resume": True, "signup": True}.get(self.choice)


class ThreadControlChanged(WabaEvent, topic=MESSAGES):
    """`messaging_handovers`: somebody else answers a conversation from now on, where a number has several responders.

    Meta tells the new owner `control_passed` and the old one `control_taken`. A release has no new owner, and Meta
    tells nobody of it; nor that a conversation nobody wrote in for 24 hours is free again.
    Source: Meta, "messaging_handovers webhook reference", "Conversation Routing".
    """

    phone_number_id: str
    display_phone_number: str | None = None
    contact: str | None = None
    """With whom the conversation is: a number without a plus sign, or a business-scoped user id."""
    user_id: str | None = None
    """That person's business-scoped user id."""
    parent_user_id: str | None = None
    """That person's id for all portfolios of a parent business."""
    username: str | None = None
    """That person's user name."""
    change: str
    """`control_passed`, `control_taken`, or a word of Meta's that did not exist when this was written."""
    previous_owner_role: str | None = None
    """customer_service, marketing, utility, ctwa, ai_agent or escalation: who answered until now; or, where Meta names
    only that, the role of their app, such as meta_business_agent."""
    new_owner_role: str | None = None
    """The same for who answers from now on."""
    previous_owner_app_id: str | None = None
    """The app that answered until now, where Meta names it."""
    new_owner_app_id: str | None = None
    """The app that answers from now on, where Meta names it."""
    metadata: str | None = None
    """What who handed it over wrote for who gets it."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}" if self.contact else self.phone_number_id

    @property
    def wa_id(self) -> str | None:
        """The person's number; None where Meta hides it."""
        return shown_number(self.contact or "")

    @property
    def is_ours(self) -> bool | None:
        """Whether the conversation is ours to answer from now on; None if the change is a word not known here."""
        return {"control_passed": True, "control_taken": False}.get(self.change)


class StandbyReceived(WabaEvent, topic=MESSAGES):
    """`standby`: a copy of what goes on in a conversation that another responder on the same number answers.

    A copy is no `MessageReceived`: it came to somebody else. `value` is Meta's with this one item in it.
    Source: Meta, "Standby webhooks".
    """

    phone_number_id: str
    display_phone_number: str | None = None
    kind: Literal["message", "status", "echo"]
    """What it is a copy of: a person's message, what became of one to them, or one that the other responder sent."""
    wamid: str
    contact: str
    """With whom the conversation is, as for the event that this is a copy of; in a group the participant who wrote."""
    user_id: str | None = None
    """That person's business-scoped user id."""
    parent_user_id: str | None = None
    """That person's id for all portfolios of a parent business."""
    username: str | None = None
    """That person's user name."""
    group_id: str | None = None
    """The group, if it is about one."""
    participant: str | None = None
    """Of a status in a group: the WhatsApp id of the participant whose status it is."""
    participant_user_id: str | None = None
    """Of a status in a group: the business-scoped user id of the participant whose status it is."""
    message_type: str | None = None
    """text, template, …; None for a status."""
    original_wamid: str | None = None
    """The message that an edit or a revoke is about."""
    status: str | None = None
    """sent, delivered, read, …; None unless it is a status."""
    error_codes: list[int] = []
    """Meta: "Cloud API: Error codes"."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.group_id or self.contact}"

    @property
    def wa_id(self) -> str | None:
        """The person's number; None where Meta hides it."""
        if self.kind == "status" and self.group_id:
            return self.participant
        return shown_number(self.contact)


class CallReported(WabaEvent, topic=MESSAGES):
    """`calls`: a call begins or ends, or one of the business rings, is accepted or is rejected.

    A call that a person begins opens their service window. `value` is Meta's with this one call in it.
    Source: Meta, "Cloud API Calling", webhooks.
    """

    phone_number_id: str
    display_phone_number: str | None = None
    call_id: str
    """The call's id at Meta, the same in all that is told of it."""
    contact: str
    """Who is at the other end: their number without a plus sign, or their business-scoped user id."""
    user_id: str | None = None
    """Their business-scoped user id."""
    parent_user_id: str | None = None
    """Their id for all portfolios of a parent business."""
    username: str | None = None
    """Their user name."""
    event: str
    """`connect`, `terminate`, …; for a status of a call `status`."""
    direction: str | None = None
    """USER_INITIATED or BUSINESS_INITIATED: who began it."""
    status: str | None = None
    """How it ended, COMPLETED or FAILED; for a status RINGING, ACCEPTED or REJECTED."""
    began_at: AwareDatetime | None = None
    """When it was picked up; None if it was not, or is told before."""
    ended_at: AwareDatetime | None = None
    """When it ended, if it was picked up."""
    duration: int | None = None
    """Seconds from `began_at` to `ended_at`."""
    error_codes: list[int] = []
    """Meta: "Cloud API Calling", error codes."""
    value: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.phone_number_id}:{self.contact}"

    @property
    def wa_id(self) -> str | None:
        """Their number; None where Meta hides it."""
        return shown_number(self.contact)

    @property
    def opens_window_at(self) -> datetime | None:
        """From when the person's service window counts because of this; None if the business began the call."""
        return self.time if self.direction == "USER_INITIATED" and self.event == "connect" else None
