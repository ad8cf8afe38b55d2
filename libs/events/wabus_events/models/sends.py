"""Facts about what organisations want to be sent, and what became of it.

Everything about one send has the key of its business number, so that it is in one order, and the owner of the
partition is the only one who calls Meta for that number. A call without an answer is unknown, not failed: Graph knows
no idempotency key (Meta: "Messages API"), so what was claimed is not called again by itself.
"""

from typing import Any, Literal

from pydantic import AwareDatetime

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import SENDS

Lane = Literal["authentication", "service", "utility", "marketing"]
"""What goes first: one-time passwords, answers to people, notices, campaigns."""


class SendEvent(WabaEvent):
    """A fact about one send."""

    phone_number_id: str
    """The business number that it is sent from."""
    send_id: str

    @property
    def key(self) -> str:
        return self.phone_number_id


class SendRequested(SendEvent, topic=SENDS):
    """Somebody wants a message to be sent. Holds a person's number or user id, and what is written to them."""

    lane: Lane
    """What it goes before, and after."""
    kind: str
    """Meta's `type` of the message: text, image, template, …"""
    to: str | None = None
    """The recipient's number, in digits."""
    recipient: str | None = None
    """The recipient's business-scoped user id. At least one of the two is there."""
    conversation_id: str | None = None
    """The conversation that it was said to be an answer in."""
    message: dict[str, Any]
    """Meta's message object, without whom it is to."""
    template_name: str | None = None
    """Of a template, its name."""
    template_language: str | None = None
    """Of a template, its language."""
    template_id: str | None = None
    """Which of Meta's templates that was when it was asked for; None where it was not known."""
    template_version: int | None = None
    """Which version of it, as `TemplateChanged` counts them."""
    not_before: AwareDatetime | None = None
    """It is not sent earlier."""
    expires_at: AwareDatetime
    """From when on it is not sent any more."""
    label: str | None = None
    """The caller's word for what belongs together, such as a campaign."""
    metadata: str | None = None
    """The caller's own, unread by us."""
    requested_by: str | None = None
    """Who of the platform asked: an HMAC under a key of the organisation's."""
    again_of: str | None = None
    """The send whose message this one repeats, because a person wanted it."""
    experiment_id: str | None = None
    """The experiment that has chosen what is sent."""
    arm: str | None = None
    """Of an experiment, the arm that the person is in."""
    epoch: int | None = None
    """Of an experiment, the weights by which the person was drawn, as `ExperimentStarted` counts them."""
    withheld: Literal["experiment", "holdout"] | None = None
    """Nothing is sent: the arm is that of people who get nothing, or the person is one of the organisation's holdout.
    Then `message` is empty."""


class SendCancelled(SendEvent, topic=SENDS):
    """Somebody wants it not to be sent. Of what Meta was asked already, it changes nothing."""

    requested_by: str | None = None


class SendClaimed(SendEvent, topic=SENDS):
    """Meta is about to be asked at this attempt. Published before the call: what is here may have been sent."""

    attempt: int
    """From 1 on."""


class SendReturned(SendEvent, topic=SENDS):
    """Meta has certainly not sent it at this attempt, and it is to be tried again: it was not reached, or was busy."""

    attempt: int
    reason: str
    """A stable word for why: `not_connected`, or the class of Meta's error."""
    error_code: int | None = None
    """Meta: "Cloud API: Error codes"."""
    retry_at: AwareDatetime
    """Not to be tried again before."""
    tries: int = 0
    """At how many attempts Meta was in trouble, this one counted: after a few of them it is refused for it."""


class MessageAccepted(SendEvent, topic=SENDS):
    """Meta has taken the message, which does not mean that it was sent. Holds ids of a person."""

    attempt: int
    wamid: str
    message_status: str | None = None
    """Of a template `accepted`, `held_for_quality_assessment` or `paused`; None of anything else."""
    wa_id: str | None = None
    """The recipient's number as Meta has it, which may differ from the one that was asked for."""
    user_id: str | None = None
    """The recipient's business-scoped user id."""
    kind: str
    message: dict[str, Any] | None = None
    """Meta's message object, without whom it is to."""
    label: str | None = None


class SendRefused(SendEvent, topic=SENDS):
    """It is not sent, for good: by Meta, or before Meta was asked. Holds an id of a person."""

    stage: Literal["check", "graph"]
    """Whether it was refused by us, before a call, or by Meta."""
    attempt: int
    """At which attempt; 0 before the first."""
    code: str
    """A stable word for why."""
    error_code: int | None = None
    """Meta: "Cloud API: Error codes"."""
    wa_id: str | None = None
    """The number that it was to, in digits."""
    user_id: str | None = None
    """The business-scoped user id that it was to, where no number was known."""
    label: str | None = None


class SendExpired(SendEvent, topic=SENDS):
    """Its time was over before Meta could be asked."""

    label: str | None = None


class SendUnknown(SendEvent, topic=SENDS):
    """Meta was asked and no answer came: whether it was sent only a status of Meta's tells. It is not tried again."""

    attempt: int
    reason: str
    """A stable word: `answer_lost`, `no_graph_answer`, or `owner_gone` where the process that called has ended."""
    label: str | None = None


class ReadMarkRequested(WabaEvent, topic=SENDS):
    """Somebody has read what a person wrote, and perhaps writes an answer. Holds a wamid.

    Meta may be told twice, which changes nothing (Meta: "Mark messages as read", "Typing indicators").
    """

    phone_number_id: str
    """The business number that it was written to."""
    wamid: str
    """The message that was read, with all before it. The customer's number is encoded in it."""
    typing: bool
    """Whether the person sees that an answer is being written."""
    expires_at: AwareDatetime
    """From when on nobody cares any more."""
    requested_by: str | None = None

    @property
    def key(self) -> str:
        return self.phone_number_id


class MessageReported(WabaEvent, topic=SENDS):
    """A message that another system sent from a number of the organisation's, as that system tells it.

    Holds ids of a person, and what was written to them. What was told twice has the same id; the first is as good as
    the second.
    """

    phone_number_id: str
    """The business number that it was sent from."""
    wamid: str
    wa_id: str | None = None
    """The recipient's number, in digits."""
    user_id: str | None = None
    """The recipient's business-scoped user id. At least one of the two is there."""
    conversation_id: str | None = None
    """The conversation that it was said to be in."""
    kind: str
    """Meta's `type` of the message."""
    message: dict[str, Any] | None = None
    """Meta's message object, without whom it is to."""
    template_name: str | None = None
    """Of a template, its name."""
    template_language: str | None = None
    """Of a template, its language."""
    template_id: str | None = None
    """Which of Meta's templates that is; None where it is not known."""
    label: str | None = None
    metadata: str | None = None
    """The caller's own, unread by us."""
    requested_by: str | None = None
    """Who of the platform told it: an HMAC under a key of the organisation's."""

    @property
    def key(self) -> str:
        return self.phone_number_id


class _Chosen(WabaEvent):
    """What a person wants of an organisation. Holds ids of a person."""

    phone_number_id: str
    """The business number that they wrote to, or that was named."""
    wa_id: str | None = None
    """Their number, in digits."""
    user_id: str | None = None
    """Their business-scoped user id. At least one of the two is there."""
    by: Literal["keyword", "api"]
    """Whether they wrote a word for it, or the platform has told it."""
    wamid: str | None = None
    """The message with the word."""
    requested_by: str | None = None
    """Who of the platform told it: an HMAC under a key of the organisation's."""

    @property
    def key(self) -> str:
        return self.phone_number_id


class OptedOut(_Chosen, topic=SENDS):
    """Somebody wants no marketing of the organisation, from whichever of its numbers: none is sent to them.

    What they say in WhatsApp itself is `MarketingPreferenceChanged`.
    """


class OptedIn(_Chosen, topic=SENDS):
    """Somebody wants marketing of the organisation again."""


class _OfBlock(WabaEvent):
    """A fact about whom a number does not want to hear of. Holds ids of a person."""

    phone_number_id: str
    wa_id: str | None = None
    """The person's number, in digits."""
    user_id: str | None = None
    """The person's business-scoped user id. At least one of the two is there."""

    @property
    def key(self) -> str:
        return self.phone_number_id


class BlockRequested(_OfBlock, topic=SENDS):
    """Somebody wants a number to block a person, or to block them no more. Meta may be told twice."""

    blocks: bool
    """Whether to block; else to unblock."""
    requested_by: str | None = None


class ContactBlocked(_OfBlock, topic=SENDS):
    """Meta has a person on the block list of a number: neither hears of the other."""

    request_id: str
    """The id of the `BlockRequested`."""


class ContactUnblocked(_OfBlock, topic=SENDS):
    """A person is on the block list of a number no more."""

    request_id: str
    """The id of the `BlockRequested`."""


class BlockRefused(_OfBlock, topic=SENDS):
    """Meta has not done what was asked for; all is as it was."""

    request_id: str
    """The id of the `BlockRequested`."""
    blocks: bool
    """What was asked for."""
    code: str
    """A stable word for why: `not_written_lately`, `block_list_full`, or the class of Meta's error."""
    error_code: int | None = None
    """Meta: "Cloud API: Error codes"."""


class _OfLabel(WabaEvent):
    """A fact about all sends of an organisation that have a label, from one number."""

    phone_number_id: str
    """The business number that they are sent from."""
    label: str
    requested_by: str | None = None

    @property
    def key(self) -> str:
        return self.phone_number_id


class LabelPaused(_OfLabel, topic=SENDS):
    """What has this label waits, until it is resumed or its time is over."""


class LabelResumed(_OfLabel, topic=SENDS):
    """What has this label does not wait any more."""


class SendSettled(SendEvent, topic=SENDS):
    """A webhook of Meta's tells what became of a call whose answer is not known: it was sent. Holds a wamid."""

    by: Literal["status"]
    """What has told it."""
    wamid: str
    wa_id: str | None = None
    """The recipient's number, as the status has it."""
    user_id: str | None = None
    """The recipient's business-scoped user id, as the status has it."""
    kind: str | None = None
    """Meta's `type` of the message."""
    message: dict[str, Any] | None = None
    """Meta's message object, without whom it is to."""
    label: str | None = None
