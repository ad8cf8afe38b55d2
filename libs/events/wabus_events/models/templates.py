"""Facts about message templates: syncs asked for, begun and ended, and every change of a template."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import TEMPLATES


class Part(BaseModel):
    """A part of a template. `raw` is the component as Graph sent it, with whatever this model has no field for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    raw: dict[str, Any]


class Header(Part):
    format: str
    """TEXT, IMAGE, VIDEO, DOCUMENT, LOCATION, …"""
    text: str | None = None
    variables: list[str] = []
    examples: dict[str, str] = {}
    """What the business gave as an example for each variable; for media, `media` is a link to it."""


class Body(Part):
    text: str
    variables: list[str] = []
    """The placeholders in the order of their first use: `1`, `2` (POSITIONAL) or names (NAMED)."""
    examples: dict[str, str] = {}
    security_recommendation: bool = False
    """Of an AUTHENTICATION template: whether WhatsApp adds "For your security, do not share this code."."""


class Footer(Part):
    text: str
    code_expiration_minutes: int | None = None


class Button(Part):
    type: str
    """QUICK_REPLY, URL, PHONE_NUMBER, COPY_CODE, OTP, FLOW, CATALOG, MPM, SPM, VOICE_CALL, …"""
    text: str | None = None
    url: str | None = None
    phone_number: str | None = None
    variables: list[str] = []
    example: str | None = None
    """Of a URL the whole address, of a COPY_CODE the code."""
    otp_type: str | None = None
    """COPY_CODE, ONE_TAP or ZERO_TAP."""
    flow_id: str | None = None
    flow_action: str | None = None
    navigate_screen: str | None = None


class LimitedTimeOffer(Part):
    text: str
    has_expiration: bool = False


class Card(Part):
    """One card of a CAROUSEL; `raw` is the card."""

    header: Header | None = None
    body: Body | None = None
    buttons: list[Button] = []


class Template(BaseModel):
    """A message template of a WABA in one language. Its identity is `template_id`: a name exists once a language."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    template_id: str
    name: str
    language: str
    category: str
    status: str
    """APPROVED, PENDING, REJECTED, PAUSED, DISABLED, …"""
    parameter_format: str = "POSITIONAL"
    quality: str | None = None
    """GREEN, YELLOW, RED or UNKNOWN."""
    rejected_reason: str | None = None
    header: Header | None = None
    body: Body | None = None
    footer: Footer | None = None
    buttons: list[Button] = []
    other_components: list[dict[str, Any]] = []
    """CAROUSEL, LIMITED_TIME_OFFER and whatever comes next, as Graph sent them."""
    carousel: list[Card] = []
    """The cards of the CAROUSEL among `other_components`, typed."""
    limited_time_offer: LimitedTimeOffer | None = None
    """The LIMITED_TIME_OFFER among `other_components`, typed."""
    raw: dict[str, Any] = {}
    """The template's remaining fields as Graph sent them."""
    fingerprint: str | None = None
    """A digest of all that Graph sent but what it words anew at every call: as long as it is the same, so is all."""


class TemplateSyncRequested(WabaEvent, topic=TEMPLATES):
    """Somebody, or a schedule, wants the WABA's templates to be compared with Meta's."""

    sync_id: str
    reason: str
    """`manual`, `reconciliation`, `retry` (the one before failed for a while), `webhook` (it could not be followed),
    `send_refused` (Meta refused to send a template as it is known here)."""
    requested_by: str | None = None


class TemplateSyncStarted(WabaEvent, topic=TEMPLATES):
    """A sync has begun. The same sync may start again after a crash; the last start counts."""

    sync_id: str
    reason: str
    """What led to it: `connected`, or the reason of the request."""


class TemplateSyncProgressed(WabaEvent, topic=TEMPLATES):
    """How far a sync is that takes a while. Told now and then, and never twice: nothing may depend on it."""

    sync_id: str
    fetched: int
    """Templates read from Graph so far."""
    expected: int | None = None
    """How many there are, as Graph says, or were last time; None where neither is known."""
    started_at: datetime


class TemplateChanged(WabaEvent, topic=TEMPLATES):
    """A template was added, or is other than it was; the whole of it as it is now, and as it was before."""

    template: Template
    """The whole template as it is now."""
    added: bool
    """Whether it is new."""
    changed_fields: list[str] = []
    """Which fields of `template` differ; empty for a new one, and where it is told once more because what was told of
    it before may have been superseded already."""
    previous: Template | None = None
    """The whole template as it was told before; None for a new one."""
    version_number: int | None = None
    """Grows with each time that the template is told. Whoever drops what has a smaller number than the one they hold
    never goes back. None in events of releases before 0.3."""
    sync_id: str | None = None
    """The sync that found it; the changes of a sync count from its `TemplatesSynced` on."""
    caused_by: str | None = None
    """The id of the webhook's event that led to it."""
    observed: bool = True
    """Whether Graph gave the template at `time`. False when it is what webhooks made of the template told before."""


class TemplateRemoved(WabaEvent, topic=TEMPLATES):
    """Graph no longer has the template."""

    template_id: str
    name: str
    language: str
    version_number: int | None = None
    """As in `TemplateChanged`: both count the same versions."""
    sync_id: str | None = None
    caused_by: str | None = None
    """The id of the webhook's event that led to it."""
    observed: bool = True
    """Whether Graph said so at `time`. False when it was a webhook."""


class TemplateConfirmed(WabaEvent, topic=TEMPLATES):
    """Graph was asked for the template at `time`, and has it as it was told last: what webhooks told before is over."""

    template_id: str
    version_number: int | None = None
    """The number of the version that was told last."""
    fingerprint: str | None = None
    """The template's fingerprint as Graph gave it now."""
    sync_id: str | None = None
    caused_by: str | None = None
    """The id of the webhook's event because of which Graph was asked."""


class TemplatesSynced(WabaEvent, topic=TEMPLATES):
    """A sync has ended well: what Graph lists is what the events so far add up to."""

    sync_id: str
    reason: str
    """What led to it: `connected`, or the reason of the request."""
    total: int
    """Templates that Graph lists now."""
    approved: int
    """How many of them may be sent."""
    by_status: dict[str, int]
    """How many there are of each status."""
    added: int
    """How many are new since the sync before."""
    changed: int
    """How many are other than they were."""
    removed: int
    """How many are gone."""
    started_at: datetime


class TemplateSyncFailed(WabaEvent, topic=TEMPLATES):
    """A sync has ended badly. `code` is stable, `message` is a sentence for the person who must act."""

    sync_id: str
    reason: str
    """What led to it: `connected`, or the reason of the request."""
    code: str
    """`token_expired`, `permission_lost`, `rate_limited`, `account_not_found`, `graph_unavailable`, …"""
    message: str
    retryable: bool
    """Whether it is tried again without anybody doing anything."""
    retry_after: float | None = None
    """Seconds before which trying again is of no use, where known."""
    graph_code: int | None = None
    graph_subcode: int | None = None
    started_at: datetime


class TemplateStatusChanged(WabaEvent, topic=TEMPLATES):
    """`message_template_status_update`, as Meta's webhook tells it."""

    template_id: str
    name: str
    language: str
    event: str
    """APPROVED, REJECTED, PENDING, PAUSED, DISABLED, IN_APPEAL, FLAGGED, PENDING_DELETION, DELETED, …"""
    reason: str | None = None
    """Why it was rejected, paused or disabled, as Meta says it; `NONE` for no reason."""
    value: dict[str, Any]


class TemplateQualityChanged(WabaEvent, topic=TEMPLATES):
    """`message_template_quality_update`: GREEN, YELLOW, RED or UNKNOWN."""

    template_id: str
    name: str
    language: str
    previous_quality: str | None = None
    new_quality: str
    value: dict[str, Any]


class TemplateCategoryChanged(WabaEvent, topic=TEMPLATES):
    """`template_category_update`: Meta has changed the category, or will (`correct_category`)."""

    template_id: str
    name: str
    language: str
    previous_category: str | None = None
    new_category: str | None = None
    correct_category: str | None = None
    value: dict[str, Any]


class TemplateComponentsChanged(WabaEvent, topic=TEMPLATES):
    """`message_template_components_update`: the text or the buttons were edited."""

    template_id: str
    name: str
    language: str
    value: dict[str, Any]
