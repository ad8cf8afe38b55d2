"""Facts about what Meta charges: rate cards and the rules by which they apply, each told whole, of nobody's messages.

Sources: Meta, "Pricing on the WhatsApp Business Platform" (rate cards, volume tiers, pricing calendar).
"""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from wabus_events.models.event import Event
from wabus_events.models.topics import PRICES

PricedCategory = Literal["marketing", "utility", "authentication", "authentication_international", "service"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RateBand(_Part):
    """From one message of a month on, each costs so much."""

    first: int
    """1 for the first that is charged of the month, in this market and category."""
    amount: Decimal = Field(ge=0, max_digits=15, decimal_places=6)
    """In the currency of the card."""


class MarketRate(_Part):
    """What messages of a category cost in a market. What has no rate is not told."""

    market: str
    """As Meta's file writes it, such as `Germany` or `Rest of Africa`."""
    category: PricedCategory
    """A column of the card."""
    bands: list[RateBand]
    """In the order of `first`; more than one where there are volume tiers."""


class RateCardPublished(Event, topic=PRICES):
    """What Meta charges in a currency from a day on, at midnight of each account's own time zone.

    A later one of the same currency and day takes its place; one without rates withdraws it.
    """

    currency: str
    """Which accounts are charged in (ISO 4217)."""
    effective: date
    """The day from which it holds."""
    rates: list[MarketRate]
    """All that has a rate."""
    sha256: str | None = None
    """Of the file that it was read from, as Meta published it."""
    origin: str
    """Where that is from: a file's name, or an address."""

    @property
    def subject(self) -> str | None:
        return f"{self.currency}:{self.effective}"


class PriceRulesPublished(Event, topic=PRICES):
    """What Meta charges for at all, from a day on, at midnight of each account's own time zone.

    Later ones of the same day take their place.
    """

    effective: date
    """The day from which they hold."""
    origin: str
    """The title of the page that says so."""
    service_charged: bool
    """Whether messages that are no templates cost anything."""
    service_rate_of: PricedCategory = "utility"
    """At whose rate, where a rate card has none for them."""
    service_free_monthly: int = 0
    """How many of them each business number has free in a month."""
    utility_in_window_charged: bool = True
    """Whether a utility template costs anything while the customer service window is open."""
    free_entry_point_hours: int = 72
    """For how long all is free to somebody who came by an ad or a page's button and was answered within a day."""

    @property
    def subject(self) -> str | None:
        return f"rules:{self.effective}"
