"""Facts about message templates: syncs asked for, begun and ended, and every change of a template."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from wabus_events.event import WabaEvent
from wabus_events.topics import TEMPLATES


class Part(BaseModel):
    """A part of a template. `raw` is the component as Graph sent it, with whatever this model has no field for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    raw: dict[str, Any]


class Header(Part):
    format: str
    """TEXT, IMAGE, VIDEO, DOCUMENT, LOCATION, …"""
    text: str | None = None
    variables: list[str] = []


class Body(Part):
    text: str
    variables: list[str] = []
    """The placeholders in the order of their first use: `1`, `2` (POSITIONAL) or names (NAMED)."""


class Footer(Part):
    text: str


class Button(Part):
    type: str
    """QUICK_REPLY, URL, PHONE_NUMBER, COPY_CODE, OTP, FLOW, …"""
    text: str | None = None
    url: str | None = None
    phone_number: str | None = None
    variables: list[str] = []


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
    raw: dict[str, Any] = {}
    """The template's remaining fields as Graph sent them."""


class TemplateSyncRequested(WabaEvent, topic=TEMPLATES):
    """Somebody, or a schedule, wants the WABA's templates to be compared with Meta's."""

    sync_id: str
    reason: str
    """`manual`, `reconciliation`, …"""
    requested_by: str | None = None


class TemplateSyncStarted(WabaEvent, topic=TEMPLATES):
    """A sync has begun. The same sync may start again after a crash; the last start counts."""

    sync_id: str
    reason: str
    """What led to it: `connected`, or the reason of the request."""


class TemplateChanged(WabaEvent, topic=TEMPLATES):
    """A template was added, or is other than it was; the whole of it as Graph now gives it."""

    template: Template
    added: bool
    changed_fields: list[str] = []
    """Which fields of `template` differ; empty for a new one."""
    sync_id: str | None = None


class TemplateRemoved(WabaEvent, topic=TEMPLATES):
    """Graph no longer lists the template."""

    template_id: str
    name: str
    language: str
    sync_id: str | None = None


class TemplatesSynced(WabaEvent, topic=TEMPLATES):
    """A sync has ended well: what Graph lists is what the events so far add up to."""

    sync_id: str
    reason: str
    total: int
    approved: int
    by_status: dict[str, int]
    added: int
    changed: int
    removed: int
    started_at: datetime


class TemplateSyncFailed(WabaEvent, topic=TEMPLATES):
    """A sync has ended badly. `code` is stable, `message` is a sentence for the person who must act."""

    sync_id: str
    reason: str
    code: str
    """`token_expired`, `permission_lost`, `rate_limited`, `account_not_found`, `graph_unavailable`, …"""
    message: str
    retryable: bool
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
