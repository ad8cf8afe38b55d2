"""What the API is asked and answers, as models: they check the questions, and `/openapi.json` is made from them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor

from wabus_conversations.api.work.models import Subject, Tag, TeamId, WorkView

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Text = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Field(ge=1, le=200), DIGITS]
ListPlace = tuple[AwareDatetime, Id]
"""Of a conversation in the list, of a message among those found, and of a person."""
ThreadPlace = tuple[AwareDatetime, Annotated[int, Field(ge=0, lt=2**63)], Id]
WindowState = Literal["open", "maybe", "closed"]
Ticket = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Yes = Literal["true", "false"]
After = Annotated[Cursor | None, Field(description="`next` of the page before.")]


class ConversationPath(BaseModel):
    conversation_id: Id


class MessagePath(ConversationPath):
    message_id: Id


class ContactPath(BaseModel):
    contact_id: Id


class MediumPath(BaseModel):
    media_id: Id


class MediumQuery(BaseModel):
    """The parameters of GET /media/{media_id}."""

    model_config = ConfigDict(extra="forbid")

    ticket: Ticket | None = Field(default=None, description="In place of a token, where none can be sent.")


class TicketsWanted(BaseModel):
    """The body of POST /media/tickets."""

    model_config = ConfigDict(extra="forbid")

    media_ids: list[Id] = Field(min_length=1, max_length=100)
    once: bool = Field(
        default=False,
        description="Whether a ticket is used up by the first request, as a link that somebody is given should be. A "
        "browser that shows a film, or a picture twice, asks several times.",
    )


class ListQuery(BaseModel):
    """The parameters of GET /conversations."""

    model_config = ConfigDict(extra="forbid")

    waba_id: Text | None = None
    phone_number_id: Text | None = None
    window: WindowState | None = Field(default=None, description="Those whose window is in this state now; no groups.")
    unread: Yes | None = Field(default=None, description="Those with unread messages, or those without.")
    assignee: Subject | None = Field(
        default=None, description="Those that somebody has, by their `sub`; `me` is the caller, `none` is nobody."
    )
    team: TeamId | None = Field(default=None, description="Those that are with a team.")
    state: Literal["open", "snoozed", "closed"] | None = Field(default=None, description="Those in this state.")
    tag: Tag | None = Field(default=None, description="Those with this tag.")
    named: Annotated[Words, Field(max_length=200)] | None = Field(
        default=None,
        description="Those with whoever has all of these words in their name, username or name in the phone's address "
        "book (of the last word its beginning will do), or a number that begins with these four digits or more.",
    )
    limit: Limit = 50
    after: After = None


class ThreadQuery(BaseModel):
    """The parameters of GET /conversations/{conversation_id}/messages."""

    model_config = ConfigDict(extra="forbid")

    include: Literal["unknown"] | None = Field(
        default=None, description="`unknown`: those too that are known by a status alone, for something else sent them."
    )
    around: Id | None = Field(default=None, description="A message that shall be in the middle of the page.")
    before: Cursor | None = Field(default=None, description="`previous` of a page: the messages that are newer.")
    limit: Limit = 50
    after: After = None


class SearchQuery(BaseModel):
    """The parameters of GET /conversations/search."""

    model_config = ConfigDict(extra="forbid")

    q: Words = Field(
        description="Words that are all in a message. Of a language without spaces, such as Chinese or Thai, any part."
    )
    waba_id: Text | None = None
    phone_number_id: Text | None = None
    conversation_id: Id | None = None
    limit: Limit = 50
    after: After = None


class StreamQuery(BaseModel):
    """The parameters of GET /conversations/stream and /conversations/ws."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str | None, StringConstraints(max_length=2048)] = Field(
        default=None, description="That of the last frame seen which had one: what was missed since is told first."
    )
    conversation_id: Id | None = Field(default=None, description="Of this conversation only.")
    phone_number_id: Text | None = Field(default=None, description="Of this business number only.")
    ticket: Annotated[str | None, StringConstraints(max_length=128)] = Field(
        default=None, description="Of `POST /stream-tickets`, where no header can be sent."
    )


class ContactsQuery(BaseModel):
    """The parameters of GET /contacts."""

    model_config = ConfigDict(extra="forbid")

    identifier: Text | None = Field(
        default=None, description="A telephone number with its country's code, however it is written, or a user id."
    )
    limit: Limit = 50
    after: After = None


class FreeEntryPointView(BaseModel):
    until: datetime
    source: Literal["reported", "computed"] = Field(description="Whether Meta said so, or it follows from the times.")


class WindowView(BaseModel):
    """Whether anything may be sent to the person when this was answered; `maybe` may send, and Meta decides."""

    state: WindowState
    closes_at: datetime | None = Field(description="When it closes, or has closed; null if it never was open.")
    certain: bool
    free_entry_point: FreeEntryPointView | None = Field(
        description="Until when messages cost nothing to who came by an ad. It does not open the window."
    )


class ListedContact(BaseModel):
    """A person as far as a list shows them."""

    contact_id: Id
    name: str | None = Field(description="What the person calls themself.")
    username: str | None
    book_name: str | None = Field(description="Their name in the address book of the phone app.")
    numbers: list[str] = Field(description="Telephone numbers as Meta writes them, without `+`.")
    user_ids: list[str]


class ThreadOwnerView(BaseModel):
    """Who may answer, where several answer on one number."""

    ours: bool | None
    role: str | None
    app_id: str | None
    at: datetime


class LastMessage(BaseModel):
    message_id: Id
    direction: Literal["in", "out"]
    type: str
    at: datetime
    text: str | None = Field(description="What it says now, or its beginning; null if it says nothing in words.")
    revoked: bool
    state: str | None


class ConversationView(BaseModel):
    """One business number with one person or group, for ever."""

    conversation_id: Id
    merged_into: Id | None = Field(description="The id that it has now, where it was asked for by a former one.")
    waba_id: str
    phone_number_id: str
    contact: ListedContact | None = Field(description="Null in a group.")
    group_id: str | None
    unread: int = Field(description="Messages that nobody has looked at.")
    first_at: datetime
    last_activity_at: datetime | None = Field(
        description="By Meta's time; what the history of before the connection has brought is none."
    )
    sorted_at: datetime = Field(description="Its place in the list.")
    window: WindowView | None = Field(description="Null in a group.")
    thread_owner: ThreadOwnerView | None
    last_message: LastMessage | None
    work: WorkView
    version: int = Field(description="Greater whenever something about it may have changed.")


class Conversations(BaseModel):
    """The newest activity first."""

    conversations: list[ConversationView]
    next: Cursor | None = Field(description="`after` of the next page; null on the last.")


class Quoted(BaseModel):
    """The message that one replies to."""

    message_id: Id
    here: bool = Field(description="Whether it is kept here: a person can quote what was before.")
    direction: Literal["in", "out"] | None
    type: str | None
    text: str | None


class Reaction(BaseModel):
    emoji: str
    by: Literal["business", "contact"]
    contact_id: Id | None = Field(description="Whose it is, in a group.")


class Edit(BaseModel):
    at: datetime
    content: dict[str, Any] | None = Field(description="What it said from then on, as Meta sends a message.")


class CallUpdate(BaseModel):
    at: datetime
    content: dict[str, Any] | None


class MetaError(BaseModel):
    """As Meta has it."""

    code: int | None
    title: str | None
    message: str | None
    details: str | None
    meaning: str | None = Field(description="What its code says, as a sentence for people; null for one we don't know.")
    remedy: str | None = Field(description="What helps.")


class Failure(BaseModel):
    at: datetime
    note: bool = Field(
        description="Whether it got there all the same: a device, or a member of the group, did not get it."
    )
    errors: list[MetaError]


class Sender(BaseModel):
    """Who wrote it, in a group."""

    contact_id: Id | None
    name: str | None


class MediumView(BaseModel):
    """The picture, film, sound or file of a message, and how far it has come."""

    media_id: Id
    kind: Literal["image", "video", "audio", "document", "sticker"]
    state: Literal["wanted", "stored", "lost", "refused", "gone"] = Field(
        description="`wanted`: it is being fetched. `lost`: WhatsApp has it no more. `refused`: it is not kept. "
        "`gone`: its message was taken back."
    )
    reason: str | None = Field(description="Why the last attempt to fetch it failed.")
    type_told: str | None = Field(description="Its MIME type as its sender's WhatsApp says.")
    name: str | None = Field(description="The name to save it under, without path and tricks.")
    bytes: int | None
    type: str | None = Field(description="Its MIME type by its content, as which it is served.")
    type_as_told: bool | None = Field(
        description="Whether it is what `type_told` says; `null` if nobody can tell, as of a text. Be careful if not."
    )
    shown: bool = Field(description="Whether a page may show it; otherwise it is something to save.")
    sha256: str | None = Field(description="Of its content, hexadecimal.")
    link: str | None = Field(description="Where it is, with a token; for one without, see POST /media/tickets.")


class TicketView(BaseModel):
    media_id: Id
    link: str = Field(description="An address for `<img>` and the like, good until `ends_at`.")
    ends_at: datetime


class Tickets(BaseModel):
    """One for each of the media asked for that is stored."""

    tickets: list[TicketView]


class MessageView(BaseModel):
    """A message, a call or a notice of the system, with what was said about it later."""

    message_id: Id
    direction: Literal["in", "out"]
    source: Literal["status", "placeholder", "history", "accepted", "echo", "standby", "received"]
    kind: Literal["message", "call", "system"]
    type: str
    at: datetime = Field(description="By Meta's time.")
    sender: Sender | None
    content: dict[str, Any] | None = Field(
        description="As Meta sent it, or what it was edited to; null where it was taken back, or never was told."
    )
    altered: bool = Field(description="Whether characters were replaced by U+FFFD, for nothing can hold them.")
    text: str | None = Field(description="What it says in words.")
    medium: MediumView | None
    unread: bool
    reply_to: Quoted | None
    reactions: list[Reaction]
    revoked_at: datetime | None
    edited_at: datetime | None
    original: dict[str, Any] | None = Field(description="What it said before it was edited.")
    edits: list[Edit] = Field(description="The oldest first; none where it was taken back.")
    call_updates: list[CallUpdate]
    state: Literal[
        "queued", "calling", "unknown", "accepted", "held", "sent", "failed", "delivered", "read", "played"
    ] | None = Field(description="How far a message of the business has come.")  # fmt: skip
    failure: Failure | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    played_at: datetime | None


class Thread(BaseModel):
    """The newest first."""

    conversation_id: Id
    messages: list[MessageView]
    next: Cursor | None = Field(description="`after` of the older messages; null where there are none.")
    previous: Cursor | None = Field(description="`before` of the newer messages; null in an empty thread.")


class FoundMessage(MessageView):
    conversation_id: Id


class Found(BaseModel):
    """The newest first."""

    messages: list[FoundMessage]
    next: Cursor | None = Field(description="`after` of the next page; null on the last.")


class StatusView(BaseModel):
    status: str
    at: datetime
    contact_id: Id | None = Field(description="Whose it is, in a group.")
    errors: list[MetaError]
    pricing: dict[str, Any] | None = Field(description="As Meta has it.")
    conversation: dict[str, Any] | None = Field(description="As Meta has it.")


class Statuses(BaseModel):
    """Each once, with its earliest time, the first first."""

    message_id: Id
    statuses: list[StatusView]


class IdentifierView(BaseModel):
    kind: Literal["wa_id", "user_id"]
    value: str
    first_seen: datetime
    current: bool = Field(description="Whether it is still theirs: numbers are passed on to others.")


class ConversationOfContact(BaseModel):
    conversation_id: Id
    waba_id: str
    phone_number_id: str
    last_activity_at: datetime | None


class Preference(BaseModel):
    phone_number_id: str
    category: str
    choice: str | None
    wants_marketing: bool | None
    at: datetime


class ContactView(ListedContact):
    """A person, and all that they are known by, from Meta's evidence only."""

    merged_into: Id | None = Field(description="The id that they have now, where they were asked for by a former one.")
    first_seen: datetime
    identifiers: list[IdentifierView]
    conversations: list[ConversationOfContact]
    preferences: list[Preference]


class ListedContactView(ContactView):
    match: Literal["same", "similar"] | None = Field(
        description="`similar`: the number is written otherwise, as in countries that add digits. It may be another's."
    )


class Contacts(BaseModel):
    """Those who were seen first last."""

    contacts: list[ListedContactView]
    next: Cursor | None = Field(description="`after` of the next page; null on the last.")


class Forgotten(BaseModel):
    contact_id: Id
    status: Literal["forgotten", "forgetting"]


class ExportLine(BaseModel):
    """A line of JSON. The last one is `end`: without it something is missing."""

    model_config = ConfigDict(extra="allow")

    record: Literal["contact", "message", "end"]


class FrameView(BaseModel):
    """A frame of the feed. Which members it has follows from its type."""

    type: Literal["hello", "change", "removed", "reset", "alive", "authorised", "looking", "bye"]
    cursor: str | None = Field(
        default=None, description="What was sent up to here is all there was; null where more of it follows."
    )
    resumed: bool | None = Field(default=None, description="`hello`: whether what was missed follows.")
    heartbeat: float | None = Field(default=None, description="`hello`: seconds of silence until an `alive`.")
    conversation: ConversationView | None = Field(default=None, description="`change`: as it is now.")
    messages: list[MessageView] | None = Field(
        default=None, description="`change`: those that are new or have changed, as they are now; the oldest first."
    )
    reload: bool | None = Field(
        default=None, description="`change`: whether more of its messages have changed, or some are gone."
    )
    conversation_id: Id | None = Field(
        default=None, description="`removed`: the id that is no conversation's now; `looking`: whose."
    )
    agent: str | None = Field(default=None, description="`looking`: the `sub` of who does.")
    doing: Literal["looking", "writing", "gone"] | None = Field(
        default=None, description="`looking`: what they do in the conversation with this `conversation_id`, now."
    )
    merged_into: Id | None = Field(default=None, description="`removed`: the conversation that has its messages.")
    reason: (
        Literal[
            "expired", "epoch", "too_many", "teams", "out_of_sight", "token_expired", "not_allowed", "draining", "slow"
        ]
        | None
    ) = Field(
        default=None,
        description="`reset`: why to load anew; `removed`: `out_of_sight` where it is there, and you do not see it any "
        "more; `bye`: why it ends.",
    )
    retry_ms: int | None = Field(default=None, description="`bye`: milliseconds after which to come back.")
    expires_at: float | None = Field(default=None, description="`authorised`: Unix seconds.")


class StreamTicket(BaseModel):
    ticket: str = Field(description="For `?ticket=`, once.")
    expires_at: datetime
