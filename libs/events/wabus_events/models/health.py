"""Facts about health: when an organisation's connection turned red or green, and why."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from wabus_events.models.event import Event
from wabus_events.models.topics import HEALTH


class HealthReason(BaseModel):
    """Why health is what it is, as of the change. `code` is stable; `message` and `remedy` are for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    severity: str
    """failing, degraded, pending or notice."""
    message: str
    remedy: str
    since: datetime | None = None
    waba_id: str | None = None


class HealthChanged(Event, topic=HEALTH):
    """The status of an organisation's connection is another, or there are other reasons for it. `org_id` is always set.

    `time` is when it was judged, `since` when it came to be so: a token that expired at night was perhaps judged later.
    """

    from_status: str | None = None
    """healthy, pending, degraded or failing; None when nothing was known before."""
    to_status: str
    """healthy, pending, degraded or failing."""
    reasons: list[HealthReason] = []
    """The worst first; empty for healthy, but for what is merely worth knowing."""
    since: datetime
    previous_id: str | None = None
    """The id of the change before this one."""

    @property
    def subject(self) -> str | None:
        return self.org_id
