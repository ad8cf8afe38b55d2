"""What the API is asked and answers, as models: they check the questions, and `/openapi.json` is made from them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor
from wabus_whatsapp.templates.parse import APPROVED

Text = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]
LISTED_IDS = 20  # sync ids that an address can carry
WORDS_MOST = 20  # that are looked for: each is looked for in every text
Overall = Literal["never", "syncing", "synced", "failed"]


class HeaderView(BaseModel):
    format: str
    text: str | None = None
    variables: list[str] = []
    examples: dict[str, str] = {}


class BodyView(BaseModel):
    text: str
    variables: list[str] = []
    examples: dict[str, str] = {}
    security_recommendation: bool = False


class FooterView(BaseModel):
    text: str
    code_expiration_minutes: int | None = None


class ButtonView(BaseModel):
    type: str
    text: str | None = None
    url: str | None = None
    phone_number: str | None = None
    variables: list[str] = []
    example: str | None = None
    otp_type: str | None = None
    flow_id: str | None = None
    flow_action: str | None = None
    navigate_screen: str | None = None


class CardView(BaseModel):
    header: HeaderView | None = None
    body: BodyView | None = None
    buttons: list[ButtonView] = []


class OfferView(BaseModel):
    text: str
    has_expiration: bool = False


class RejectionView(BaseModel):
    """Why Meta rejected a template, in its own words; it says so for some rejections only."""

    reason: str | None
    recommendation: str | None = Field(description="What Meta advises to do about it.")


class PauseView(BaseModel):
    """That Meta pauses a template."""

    title: str | None = Field(description="FIRST_PAUSE, SECOND_PAUSE, RATE_LIMITING_PAUSE, …")
    began_at: datetime
    ends_at: datetime | None = Field(description="When it ends by itself, where that is known.")


class TemplateView(BaseModel):
    """A template as it is now. With `fields` an answer has only these, and always the id."""

    template_id: str
    waba_id: str | None = None
    name: str | None = None
    language: str | None = None
    category: str | None = None
    status: str | None = None
    quality: str | None = None
    rejected_reason: str | None = None
    rejection: RejectionView | None = Field(default=None, description="While it is rejected, and Meta said why.")
    pause: PauseView | None = Field(default=None, description="While it is paused, and Meta told us when it began.")
    parameter_format: str | None = None
    header: HeaderView | None = None
    body: BodyView | None = None
    footer: FooterView | None = None
    buttons: list[ButtonView] = []
    carousel: list[CardView] = []
    limited_time_offer: OfferView | None = None
    components: list[dict[str, Any]] = Field(default=[], description="As Meta sent them.")
    version: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


_FIELDS = {"type": "array", "items": {"enum": sorted(TemplateView.model_fields)}}
Fields = Annotated[Text, WithJsonSchema(_FIELDS)]


class ListQuery(BaseModel):
    """The parameters of GET /templates."""

    model_config = ConfigDict(extra="forbid")

    status: Text = Field(default=APPROVED, description="One or more, comma separated, or `all`.")
    waba_id: Text | None = None
    language: Text | None = None
    category: Text | None = None
    quality: Text | None = Field(default=None, description="GREEN, YELLOW, RED or UNKNOWN.")
    name: Text | None = None
    q: Text | None = Field(
        default=None, description=f"Words that are all in the template's name or texts; the first {WORDS_MOST} count."
    )
    fields: Fields = Field(default="", description="Which fields of each template, comma separated.")
    limit: Annotated[int, Field(ge=1, le=500), DIGITS] = 100
    after: Cursor | None = Field(default=None, description="`next` of the page before.")


class TemplatePath(BaseModel):
    template_id: Text


class SyncPath(BaseModel):
    sync_id: Text


class TemplateQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fields: Fields = Field(default="", description="Which fields of the template, comma separated.")


class VersionsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100), DIGITS] = 20
    before: Annotated[int, Field(ge=2, le=2**31 - 1), DIGITS] | None = Field(
        default=None, description="Versions before this number."
    )


class StatusQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sync_id: list[Text] = Field(default=[], max_length=LISTED_IDS, description="Only these syncs.")


class SyncBody(BaseModel):
    """The body of POST /templates/sync; an empty one means every WABA of the organisation."""

    model_config = ConfigDict(extra="forbid")

    waba_id: Text | None = None


class TemplateList(BaseModel):
    templates: list[TemplateView]
    total: int
    next: str | None = Field(description="`after` of the next page; null on the last.")


class PieceView(BaseModel):
    op: Literal["same", "removed", "added"]
    text: str


class DifferenceView(BaseModel):
    field: str
    before: Any = None
    after: Any = None
    readable: str = Field(description="Words as [-removed-] and {+added+}, or lines with - and +.")
    words: list[PieceView] | None = None


class VersionView(BaseModel):
    number: int
    kind: Literal["added", "changed", "removed", "restored"]
    at: datetime
    source: Literal["sync", "fetch", "webhook"]
    event_id: str
    changed_fields: list[str]
    differences: list[DifferenceView]
    template: TemplateView | None = Field(description="As it was then; null once it is removed.")


class VersionList(BaseModel):
    """The latest first."""

    template_id: str
    deleted: bool
    versions: list[VersionView]
    next: int | None = Field(description="`before` of the next page; null on the last.")


class Message(BaseModel):
    """The `template` object of a message to the Cloud API."""

    name: str
    language: dict[str, str]
    components: list[dict[str, Any]]


class RenderedView(BaseModel):
    template_id: str
    sendable: bool = Field(description="Whether Meta sends it as it is now: whether it is approved.")
    status: str
    header: dict[str, Any] | None
    body: str | None
    footer: str | None
    buttons: list[dict[str, Any]]
    cards: list[dict[str, Any]]
    template: Message


class Progress(BaseModel):
    fetched: int
    expected: int | None


class SyncError(BaseModel):
    code: str
    message: str
    retryable: bool
    at: datetime | None = None


class AccountView(BaseModel):
    waba_id: str
    status: Overall
    sync_id: str | None
    last_sync_at: datetime | None
    total: int
    approved: int
    by_status: dict[str, int]
    last_error: SyncError | None
    next_try_at: datetime | None = Field(
        default=None, description="When a sync that failed is asked for again by itself; null if it is not."
    )
    progress: Progress | None = Field(description="While a sync takes a while.")


class SyncView(BaseModel):
    sync_id: str
    waba_id: str
    reason: str | None
    status: Literal["requested", "syncing", "synced", "failed"]
    asked_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error: SyncError | None
    progress: Progress | None = None
    total: int | None = None
    approved: int | None = None
    by_status: dict[str, int] | None = None
    added: int | None = None
    changed: int | None = None
    removed: int | None = None


class StatusView(BaseModel):
    """How the organisation stands; with `sync_id`, how those syncs do."""

    status: Overall
    last_sync_at: datetime | None = None
    total: int | None = None
    approved: int | None = None
    by_status: dict[str, int] | None = None
    last_error: SyncError | None = None
    accounts: list[AccountView] | None = None
    sync_id: str | None = None
    syncs: list[SyncView] | None = None


class SyncsView(BaseModel):
    status: Overall
    sync_id: str | None = None
    sync_ids: list[str] | None = None
    status_url: str | None = None
    syncs: list[SyncView] = []
