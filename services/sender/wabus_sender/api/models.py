"""What the API is asked and answers, as models: they check the questions, and `/openapi.json` is made from them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from wabus_events.models.sends import Lane
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor
from wabus_whatsapp.prices.message import Cheaper, Known
from wabus_whatsapp.sending.uploads import MediaKind

from wabus_sender.sending.states import State

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
MetaId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,40}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Limit = Annotated[int, Field(ge=1, le=200), DIGITS]
ListPlace = tuple[AwareDatetime, Id]
Content = dict[str, Any] | None
Kind = Literal[
    "text", "image", "audio", "video", "document", "sticker", "location", "contacts", "interactive", "reaction",
    "template",
]  # fmt: skip


class Whom(BaseModel):
    """A person, and one of your numbers."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: MetaId | None = Field(
        default=None,
        alias="from",
        description="The id of your phone number. May be left out with `conversation_id`.",
    )
    to: Annotated[str, StringConstraints(pattern=r"^(\+|00)?[1-9][0-9 ()./-]{4,30}$")] | None = Field(
        default=None, description="The person's telephone number with its country's code."
    )
    recipient: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}\.[A-Za-z0-9.]{1,140}$")] | None = Field(
        default=None, description="The person's business-scoped user id."
    )
    conversation_id: Id | None = Field(
        default=None, description="In place of `to` and `recipient`: the conversation that this is an answer in."
    )


class WhomRequest(Whom):
    """The body of POST /messages/opt-out, /opt-in, /block and /unblock."""


class OptedView(BaseModel):
    """What was asked for: it holds within a moment, for all numbers of the organisation."""

    opted_out: bool


class BlockView(BaseModel):
    """What was asked for, and whether WhatsApp has done it yet."""

    blocked: bool
    state: Literal["asked", "done"]


Word = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\x00]*$")]


class WordsBody(BaseModel):
    """What people write, and nothing else, to get no more marketing, or to get it again; in whatever case."""

    model_config = ConfigDict(extra="forbid")

    stop: Annotated[list[Word], Field(max_length=50)]
    start: Annotated[list[Word], Field(max_length=50)]


class MessageBody(Whom):
    """Meta's message object, and from which number and to whom it is.

    What is in the member that `type` names is Meta's: "Messages API".
    """

    label: Label | None = Field(default=None, description="Your word for what belongs together, such as a campaign.")
    metadata: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] | None = Field(
        default=None, description="Your own: it is not read, and comes back in answers and events."
    )
    messaging_product: Literal["whatsapp"] = "whatsapp"
    recipient_type: Literal["individual"] = "individual"
    type: Kind = Field(description="What it is: the member of this name has the content.")
    context: Content = Field(default=None, description="The message that it replies to.")
    recipient_identity_key_hash: Annotated[str, StringConstraints(max_length=200)] | None = None
    text: Content = None
    image: Content = None
    audio: Content = None
    video: Content = None
    document: Content = None
    sticker: Content = None
    location: Content = None
    contacts: list[dict[str, Any]] | None = None
    interactive: Content = None
    reaction: Content = None
    template: Content = None


class SendRequest(MessageBody):
    """The body of POST /messages: a message, and until when it is worth sending.

    What is in the member that `type` names is Meta's: "Messages API".
    """

    not_before: AwareDatetime | None = Field(default=None, description="It is not sent earlier.")
    expires_at: AwareDatetime | None = Field(
        default=None, description="It is not sent any more from then on, at most 28 days from now."
    )


class ReportRequest(MessageBody):
    """The body of POST /messages/reported: a message that another system has sent, by the id that Meta gave it."""

    wamid: Annotated[str, StringConstraints(pattern=r"^wamid\.[A-Za-z0-9+/=_-]{1,500}$")] = Field(
        description="Meta's id of the message: with it what is told twice is the same."
    )
    sent_at: AwareDatetime = Field(description="When it was sent: within the last 30 days.")


class ReportView(BaseModel):
    """It is in the log."""

    message_id: Id = Field(description="The message, as conversations name it.")


class BatchedRequest(SendRequest):
    """One of a batch."""

    idempotency_key: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,255}$")] | None = Field(
        default=None, description="As the header `Idempotency-Key` of POST /messages."
    )


class BatchRequest(BaseModel):
    """The body of POST /messages/batch."""

    model_config = ConfigDict(extra="forbid")

    messages: Annotated[list[BatchedRequest], Field(min_length=1, max_length=1000)]


class Taken(BaseModel):
    """A send that was taken: it is in the log, and will be sent or told of."""

    send_id: Id
    state: Literal["queued", "refused"] = Field(
        description="As it was when it was taken; GET /sends/{send_id} says how it is. `refused` if it is `withheld`."
    )
    lane: Lane
    experiment_id: Id | None = Field(description="The experiment that has chosen what is sent.")
    arm: str | None = Field(description="Of an experiment, the arm that the person is in.")
    withheld: Literal["experiment", "holdout"] | None = Field(
        description="Nothing is sent: the person is in an arm that gets nothing, or in your holdout."
    )
    requested_at: datetime
    expires_at: datetime


class RefusalView(BaseModel):
    """Why it was not sent."""

    code: str = Field(description="Stable.")
    message: str = Field(description="A sentence for people.")
    remedy: str = Field(description="What helps.")
    stage: str = Field(description="`check` before Meta was asked, `graph` by Meta.")
    error_code: int | None = Field(description="Meta's error code.")


class SendView(BaseModel):
    """A send, and what became of it."""

    send_id: Id
    state: State
    from_: str = Field(alias="from", description="The id of your phone number.")
    to: str | None
    recipient: str | None
    conversation_id: Id | None
    kind: str
    lane: Lane
    label: str | None
    metadata: str | None
    requested_at: datetime
    expires_at: datetime
    next_at: datetime | None = Field(description="While it is queued: not to be called before.")
    attempts: int
    message_id: Id | None = Field(description="The message, as conversations name it.")
    message_status: str | None = Field(description="What Meta said when it took a template; `accepted` is not sent.")
    delivery: str | None = Field(
        description="The furthest that Meta's statuses have told: sent, delivered, read, failed."
    )
    delivery_errors: list[int]
    waits_for: str | None = Field(
        description="Why the last attempt came to nothing, while it waits for the next; or `label_paused`."
    )
    refusal: RefusalView | None
    again_of: Id | None
    experiment_id: Id | None = Field(description="The experiment that has chosen what is sent.")
    arm: str | None = Field(description="Of an experiment, the arm that the person is in.")
    withheld: Literal["experiment", "holdout"] | None = Field(
        description="Nothing is sent: the person is in an arm that gets nothing, or in your holdout."
    )
    changed_at: datetime


class Sends(BaseModel):
    sends: list[SendView]
    next: str | None = Field(description="`after` for the page that follows; null on the last one.")


class BatchRefusal(BaseModel):
    """Why one of a batch was not taken: what POST /messages would have answered."""

    status: int
    code: str
    detail: str
    fields: list[str]
    remedy: str | None


class BatchResult(BaseModel):
    """Either is there."""

    taken: Taken | None
    refused: BatchRefusal | None


class BatchResults(BaseModel):
    results: list[BatchResult] = Field(description="In the order of the messages.")


class ReadRequest(BaseModel):
    """The body of POST /messages/read."""

    model_config = ConfigDict(extra="forbid")

    conversation_id: Id
    typing: bool = Field(default=False, description="Show the person that an answer is being written.")


class ReadView(BaseModel):
    """What was asked for: WhatsApp is told within a moment."""

    conversation_id: Id
    typing: bool


class SendPath(BaseModel):
    send_id: Id


class LabelRequest(BaseModel):
    """The body of POST /sends/pause and /sends/resume."""

    model_config = ConfigDict(extra="forbid")

    label: Label


class LabelView(BaseModel):
    """What was asked for; what has the label waits, or goes on, within a moment."""

    label: str
    paused: bool


class SendsQuery(BaseModel):
    """The parameters of GET /sends."""

    model_config = ConfigDict(extra="forbid")

    state: State | None = None
    label: Label | None = None
    phone_number_id: MetaId | None = None
    limit: Limit = 50
    after: Annotated[Cursor | None, Field(description="`next` of the page before.")] = None


class NumberPath(BaseModel):
    phone_number_id: MetaId


class UploadPath(NumberPath):
    upload_id: Id


class UploadView(BaseModel):
    """A file that WhatsApp is to keep, or keeps."""

    upload_id: Id
    state: Literal["waiting", "stored", "refused"] = Field(description="`stored` once WhatsApp has it.")
    content_type: str = Field(description="As WhatsApp was told.")
    kind: MediaKind = Field(description="The `type` of the message to send it in.")
    size: int = Field(description="Bytes.")
    uploaded_at: datetime
    media_id: str | None = Field(description="For the member `id` of a message, once it is stored.")
    ends_at: datetime | None = Field(description="Until when WhatsApp keeps it.")
    refusal: RefusalView | None


class PolicyBody(BaseModel):
    """What happens to what can't be sent for a while: it waits until its own time is over, or it is refused."""

    model_config = ConfigDict(extra="forbid")

    paused_template: Literal["wait", "refuse"] = Field(
        default="refuse", description="A send whose template WhatsApp has paused."
    )
    stopped_number: Literal["wait", "refuse"] = Field(
        default="wait", description="Sends of a number for which WhatsApp sends nothing until somebody has acted."
    )
    country_rules: Literal["refuse", "ask_meta"] = Field(
        default="refuse", description="A template that WhatsApp does not deliver in the person's country."
    )


class LaneView(BaseModel):
    """What waits in a lane of a number."""

    lane: Lane
    waiting: int = Field(description="Counted up to 10,000.")
    oldest: datetime | None = Field(description="When the oldest of those that are counted was asked for.")


class PauseView(BaseModel):
    """Why nothing is sent for a number now."""

    until: datetime = Field(description="It is tried again then.")
    reason: str = Field(description="The class of Meta's error, or `no_access`.")
    error_code: int | None = Field(description="Meta's error code.")
    message: str | None
    remedy: str | None


class ReachView(BaseModel):
    """To how many people the number's portfolio has written first in the last 24 hours, and may."""

    people: int = Field(description="People whose window was closed, over all numbers of the portfolio.")
    limit: int | None = Field(description="Null where WhatsApp has told none, or there is none.")
    holds_marketing: bool = Field(
        description="Whether marketing waits until people fall out of the 24 hours: from 95 % of the limit on the rest "
        "is for other messages."
    )


class NumberView(BaseModel):
    """How a number sends."""

    phone_number_id: str
    level: float = Field(description="Messages a second that Meta allows it, as far as Graph says.")
    rate: float = Field(description="Messages a second that are sent at most.")
    comes_in: float = Field(description="Messages a second that are left to what people write, who wrote just now.")
    lanes: list[LaneView]
    paused: PauseView | None
    reach: ReachView


class FreeEntryPointView(BaseModel):
    """Until when messages cost nothing to somebody who came by an ad or a button of a page."""

    until: AwareDatetime
    source: Literal["reported", "computed"] = Field(
        description="Whether WhatsApp said so, or it follows from when they came and were answered: then it is not "
        "sure, and `known` of the price is `estimated`."
    )


class PriceView(BaseModel):
    """What a message costs at most, if it is delivered now, or at its `not_before`."""

    amount: Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?$")] | None = Field(
        description="The list rate, or 0 where it is free; null where it is not known, which is never nothing."
    )
    currency: str | None = Field(description="That of the account.")
    known: Known
    market: str | None = Field(description="In which WhatsApp charges it.")
    cheaper: list[Cheaper] = Field(description="Why it may cost less.")
    free_entry_point: FreeEntryPointView | None = Field(description="Null where none is known to be open then.")


class CheckView(BaseModel):
    """What POST /messages would do with it now."""

    ok: bool
    lane: Lane
    refusal: RefusalView | None
    price: PriceView
