"""What the API is asked and answers about costs and prices, as models."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor
from wabus_whatsapp.prices.card import Category
from wabus_whatsapp.prices.message import Known

from wabus_insights.api.costs.amounts import Amount, CostView, CurrencyCode, Recounting
from wabus_insights.api.performance.models import Day, TemplateId

Country = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
MetaId = Annotated[str, StringConstraints(pattern="^[0-9]{1,40}$")]
By = Literal["day", "category", "market", "number", "template", "campaign"]
LONGEST = 400  # days


class CostsQuery(BaseModel):
    """The parameters of GET /costs."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    by: Annotated[By, Field(description="What each row is of.")] = "day"
    from_: Annotated[
        Day | None, Field(alias="from", description="The first day, in each account's own zone; 30 days ago.")
    ] = None
    to: Annotated[Day | None, Field(description="The last day; today.")] = None
    number: Annotated[MetaId | None, Field(description="Only of what this business number sent.")] = None
    country: Annotated[Country | None, Field(description="Only of what went to this country (ISO 3166-1).")] = None
    template: Annotated[TemplateId | None, Field(description="Only of this template.")] = None
    limit: Annotated[int, Field(ge=1, le=1000), DIGITS] = 400
    after: Annotated[Cursor | None, Field(description="`next` of the page before.")] = None


class CostsView(BaseModel):
    by: By
    from_: date = Field(alias="from")
    to: date
    costs: list[CostView]
    names: dict[str, str] | None = Field(description="`by=template`: what templates are called, by their keys.")
    totals: list[CostView] = Field(description="Of the whole time, one for each currency; their `key` is empty.")
    next: str | None = Field(description="`after` for the page that follows; null on the last one.")
    recounting: Recounting = False
    as_of: datetime


class AudienceView(BaseModel):
    model_config = ConfigDict(extra="forbid")

    country: Country = Field(description="ISO 3166-1 alpha-2.")
    messages: Annotated[int, Field(ge=1, le=1_000_000_000)]


class EstimateRequest(BaseModel):
    """The body of POST /costs/estimate."""

    model_config = ConfigDict(extra="forbid")

    waba_id: MetaId = Field(description="The account that sends.")
    phone_number_id: MetaId | None = Field(
        default=None, description="Its number, for what is free of service messages."
    )
    template_id: MetaId | None = Field(default=None, description="In place of `category`: a template of the account's.")
    category: Category | None = Field(default=None, description="`service` for what is no template.")
    audience: Annotated[list[AudienceView], Field(min_length=1, max_length=300)]
    day: date | None = Field(default=None, description="When it is sent, in the account's zone; today.")


class MarketEstimateView(BaseModel):
    market: str
    messages: int
    rate: Amount | None = Field(description="The list rate of one message.")
    low: Amount | None
    high: Amount | None
    known: Known


class EstimateView(BaseModel):
    """What it costs if all are delivered: messages that are not cost nothing."""

    category: Category
    currency: CurrencyCode | None
    day: date
    low: Amount | None = Field(description="With the volume tiers reached in the month, and with what is free.")
    high: Amount | None = Field(description="Each at the list rate.")
    free: int = Field(description="How many may be free, and are not in `low`.")
    unpriced: int = Field(description="Messages without a rate, which are in neither.")
    markets: list[MarketEstimateView]
    as_of: datetime


class RatesQuery(BaseModel):
    """The parameters of GET /rates."""

    model_config = ConfigDict(extra="forbid")

    currency: Annotated[CurrencyCode | None, Field(description="Only cards of it, with their rates.")] = None
    market: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\x00]*$")] | None,
        Field(description="Only the rates of this market."),
    ] = None


class BandView(BaseModel):
    first: int = Field(description="From this message of a month on.")
    amount: Amount


class RateView(BaseModel):
    market: str
    category: Category
    bands: list[BandView]


class RateCardView(BaseModel):
    currency: CurrencyCode
    effective: date = Field(description="From this day on, in each account's own zone.")
    published_at: datetime
    origin: str
    rates: list[RateView] | None = Field(description="Null where no currency was asked for.")


class PriceRulesView(BaseModel):
    effective: date
    source: str
    service_charged: bool
    service_rate_of: Category
    service_free_monthly: int
    utility_in_window_charged: bool
    free_entry_point_hours: int


class RatesView(BaseModel):
    cards: list[RateCardView] = Field(description="The oldest first; each holds until the next of its currency.")
    rules: list[PriceRulesView]
    as_of: datetime
