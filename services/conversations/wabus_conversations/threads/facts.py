"""What an event says about conversations, taken apart: a message, a status, who somebody is, what they want."""

from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from wabus_whatsapp.joins import MessageState
from wabus_whatsapp.window import Opens

from wabus_conversations.media.reading import MediumInMessage


class Source(IntEnum):
    """Where a message is known from. Of two the greater tells more, and stands."""

    STATUS = 1
    """Only by a status: something else sends with the same number."""
    PLACEHOLDER = 2
    """From before the connection, of which the medium is told later."""
    HISTORY = 3
    ACCEPTED = 4
    """Sent through us, and Meta has it."""
    ECHO = 5
    """Written in the phone app."""
    STANDBY = 6
    """A copy of what another responder got or wrote."""
    RECEIVED = 7


LIVE = Source.ACCEPTED
"""From here on a message is news: what is below says what was before, or that there is something."""


class Whose(NamedTuple):
    """The identifiers that one item has for one person; at least one is there, unless it is nobody's."""

    wa_id: str | None
    user_id: str | None


NOBODY = Whose(None, None)


class Account(NamedTuple):
    """Whose number it is: the organisation at that time, the WABA and the business number."""

    org_id: str
    waba_id: str
    phone_number_id: str


class MessageFact(NamedTuple):
    """A message, call or notice, or a reaction, edit or revoke, which are about another message."""

    account: Account
    message_id: str
    wamid: str
    at: datetime
    tie: int
    """What orders messages of one second: where in the log it was."""
    source: Source
    outgoing: bool
    kind: str
    """message, call, call_update, system, reaction, edit or revoke."""
    type: str
    whose: Whose
    group_id: str | None
    name: str | None
    """What the person calls themself."""
    username: str | None
    content: bytes | None
    """The message as Meta sent it, as JSON that PostgreSQL takes."""
    altered: bool
    """Whether characters were replaced for that."""
    text: str | None
    about_id: str | None
    """The message that a reaction, edit or revoke is about."""
    context_id: str | None
    """The message that it replies to."""
    opens: Opens
    unread: bool
    """Whether somebody should look at it, if it is no older than the service."""
    referred: bool
    """Whether the person came by an ad or a button of a page."""
    state: MessageState
    medium: MediumInMessage | None = None

    @property
    def is_activity(self) -> bool:
        """Whether the conversation is as new as this message."""
        return self.source >= LIVE and self.kind in ("message", "call")


class StatusFact(NamedTuple):
    """What became of a message."""

    account: Account
    message_id: str
    wamid: str
    at: datetime
    tie: int
    participant: str
    """Whose status it is in a group; of a payment, its digest; else empty."""
    status: str
    whose: Whose
    group_id: str | None
    content: bytes
    state: MessageState
    refused: bool
    """Whether Meta refused it because the window was closed."""
    free_until: datetime | None
    """Until when messages are free, as Meta says with a conversation that an ad began."""


class BecameFact(NamedTuple):
    """Somebody has another number, another user id, or both."""

    account: Account
    at: datetime
    before: Whose
    after: Whose


class SameFact(NamedTuple):
    """Somebody has shared a number of their own."""

    account: Account
    at: datetime
    whose: Whose
    wa_id: str


class BookFact(NamedTuple):
    """The name that somebody has in the address book of the phone app; None if they are in it no more."""

    account: Account
    at: datetime
    whose: Whose
    name: str | None


class ContactFact(NamedTuple):
    """What somebody wants, who answers them, or that Meta has refused to send to them. The newest stands."""

    account: Account
    at: datetime
    whose: Whose
    fact: str
    value: bytes
    """JSON."""


class MediumFact(NamedTuple):
    """The medium of a message is stored, or lost: how that is says its row."""

    account: Account
    message_id: str
    at: datetime


class HistoryFact(NamedTuple):
    """How far the messages of before the connection have come."""

    account: Account
    at: datetime
    phase: int
    """-1 where the business does not share them."""
    progress: int | None
    chunk_order: int | None


Fact = MessageFact | StatusFact | BecameFact | SameFact | BookFact | ContactFact | MediumFact | HistoryFact
