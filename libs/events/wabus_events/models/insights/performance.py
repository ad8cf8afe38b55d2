"""Facts about what templates achieve as Meta counts it, and about whether Meta counts at all."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import INSIGHTS


class TemplateDay(BaseModel):
    """What Meta has counted of one template on one day. None of a count is what it does not tell."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    template_id: str
    """Meta's id of it."""
    day: date
    """In UTC."""
    sent: int | None = None
    """Messages that were sent."""
    delivered: int | None = None
    """Of these, how many were delivered."""
    read: int | None = None
    """Meta counts reads and clicks for seven days and says 0 from then on: such a 0 is not told here."""
    clicked: int | None = None
    """Presses of all buttons, of links and quick replies alike."""


class TemplateInsightsRead(WabaEvent, topic=INSIGHTS):
    """Graph was asked what an account's templates have achieved (`template_analytics`), and says more than before.

    `time` is when it was asked. Of two counts of the same day the greater one stands. Source: Meta, "Analytics",
    Template analytics.
    """

    days: list[TemplateDay]
    """Those of which Meta says more than it was known to have said."""


class TemplateInsightsRequested(WabaEvent, topic=INSIGHTS):
    """An organisation wants Meta to count what an account's templates achieve, and knows that this can't be undone."""

    requested_by: str | None = None
    """Who wanted it: an HMAC under a key of the organisation's, `hmac:` before it."""


class TemplateInsightsSettled(WabaEvent, topic=INSIGHTS):
    """What became of the wish that Meta counts: it does from now on, or will not."""

    outcome: Literal["on", "unavailable", "refused"]
    """`unavailable` in the European Union, the United Kingdom and Japan."""
    code: str | None = None
    """A stable word for why not, of Graph's error."""
