"""Facts about what an organisation's people do with its conversations: take, close, snooze, read, tag and note.

All of an organisation have one key, so they have one order: of two who take the same conversation the first in the log
has it. Who acts is named by the `sub` of their token, for an inbox shows who has what; the topic keeps it 30 days.
"""

from typing import Literal

from pydantic import AwareDatetime

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import CONVERSATIONS


class ConversationEvent(WabaEvent):
    """A fact about one conversation."""

    phone_number_id: str
    """The business number that it is with."""
    conversation_id: str
    """The conversation's id in our API."""
    contacts: list[str] = []
    """By which numbers and user ids the person is known. Empty in a group."""
    by: str | None = None
    """Who did it: the `sub` of their token; None for a program without one, and for what wabus does by itself."""

    @property
    def key(self) -> str:
        return self.org_id or ""


class _UpTo(ConversationEvent):
    """Something that holds for what was there when it was done, and for nothing that comes later."""

    up_to_at: AwareDatetime | None = None
    """The time of the last message that was there, by Meta's clock; None where none was."""
    up_to_tie: int = 0
    """Its place in the log, among those of the same second."""


class ConversationAssigned(_UpTo, topic=CONVERSATIONS):
    """Somebody was to have the conversation: an agent, a bot, a team that has still to choose, or nobody any more.

    It counts if `instead_of` had the conversation when this came to the log; else somebody was faster. A rule does not
    count either where somebody has closed the conversation meanwhile.
    """

    agent: str | None = None
    """The `sub` of who answers."""
    bot: str | None = None
    """The name of a program that answers."""
    team: str | None = None
    """The id of the team that it is with."""
    instead_of: str | None = None
    """The agent or bot that had it; None where nobody had."""
    reason: Literal["asked", "routed"] = "asked"
    """Whether somebody wanted it, or a rule did."""
    rule: str | None = None
    """The name of the rule."""


class ConversationClosed(_UpTo, topic=CONVERSATIONS):
    """Nothing is to be done in it, and nobody has it, until the person writes or calls again."""


class ConversationSnoozed(_UpTo, topic=CONVERSATIONS):
    """Nothing is to be done in it until a moment, or until the person writes or calls again."""

    until: AwareDatetime
    """When it comes back by itself."""


class ConversationReopened(ConversationEvent, topic=CONVERSATIONS):
    """Something is to be done in it again."""

    snooze: str | None = None
    """The id of the `ConversationSnoozed` whose time is over, and which alone is ended; None where somebody did it."""


class ConversationRead(_UpTo, topic=CONVERSATIONS):
    """Somebody has looked at its messages up to one. The person at the other end is told nothing by that."""


class ConversationMarkedUnread(ConversationEvent, topic=CONVERSATIONS):
    """Somebody is to look at its last message once more."""


class ConversationTagged(ConversationEvent, topic=CONVERSATIONS):
    """Tags were put on it, and taken off."""

    added: list[str] = []
    """Tags that it has from now on."""
    removed: list[str] = []
    """Tags that it has no more."""


class NoteAdded(ConversationEvent, topic=CONVERSATIONS):
    """Somebody wrote a note for colleagues. May say anything about a person."""

    note_id: str
    """The note's id in our API."""
    text: str
    """What it says."""


class NoteRemoved(ConversationEvent, topic=CONVERSATIONS):
    """A note was deleted."""

    note_id: str
    """The note's id in our API."""
