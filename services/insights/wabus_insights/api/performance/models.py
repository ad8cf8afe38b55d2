"""What the API is asked about templates, and what it answers."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor

from wabus_insights.api.costs.amounts import Amount, CostView, CurrencyCode, Recounting
from wabus_insights.performance import changes
from wabus_insights.performance.summary import Verdict
from wabus_insights.tables.performance.listing import Sort
from wabus_insights.tables.performance.reading import By

TemplateId = Annotated[str, StringConstraints(min_length=1, max_length=600, pattern=r"^[A-Za-z0-9_:.-]+$")]
PhoneNumberId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Share = Annotated[float, Field(ge=0, le=1)]


def _iso(given: object) -> object:
    if isinstance(given, str) and not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", given):
        raise ValueError("not a day as in 2026-01-31")
    return given


Day = Annotated[date, BeforeValidator(_iso)]
"""A day as RFC 3339 writes it, where pydantic would read seconds since 1970 too."""
EARLIEST = date(2009, 1, 1)
"""When WhatsApp began: nothing is asked for of before."""


class TemplatePath(BaseModel):
    template_id: TemplateId


class PeriodQuery(BaseModel):
    """The days that are asked about, by when Meta accepted the messages and in each account's own zone."""

    model_config = ConfigDict(extra="forbid")

    first: Day | None = Field(default=None, alias="from", description="The first day; without, 29 days before `to`.")
    last: Day | None = Field(default=None, alias="to", description="The last day; without, today.")
    number: PhoneNumberId | None = Field(default=None, description="Only what this business number sent.")
    country: Country | None = Field(default=None, description="Only what went to this country (ISO 3166-1 alpha-2).")


class TemplatesQuery(PeriodQuery):
    """The parameters of GET /performance/templates."""

    sort: Sort = "sent"
    order: Literal["desc", "asc"] = "desc"
    search: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = Field(
        default=None, description="Only templates whose name, with or without its underscores, or id has this in it."
    )
    troubled: bool = Field(default=False, description="Only templates that Meta has stopped, or people think badly of.")
    costs: bool = Field(default=False, description="Tell what each cost in these days, which takes longer.")
    meta: bool = Field(default=False, description="Tell how often links were pressed, as Meta counts.")
    compare: Literal["previous"] | None = Field(
        default=None, description="Tell what has changed since as many days before, which takes as long again."
    )
    min_sent: Annotated[int, Field(ge=0, le=2_000_000_000), DIGITS] = 0
    limit: Annotated[int, Field(ge=1, le=1_000), DIGITS] = 100
    after: Annotated[Cursor | None, Field(description="`next` of the page before.")] = None


class TemplateQuery(PeriodQuery):
    """The parameters of GET /performance/templates/{template_id}."""

    by: By = Field(default="day", description="An `hour` is asked of at most 31 days.")


class Counts(BaseModel):
    """Messages of one cohort: those that Meta accepted in the time asked about, whenever the rest came."""

    accepted: int
    sent: int
    delivered: int
    read: int = Field(description="A lower bound: people may send no read receipts.")
    played: int
    failed: int = Field(description="Failed, and never delivered.")
    replied: int = Field(description="Answered within 24 hours, and no later template came between.")
    clicked: int = Field(description="A quick-reply button was pressed.")
    stopped: int = Field(description="The person wanted no more marketing within seven days.")
    delivery_rate: Share | None = Field(description="Of the accepted; null of nothing, as each rate.")
    failure_rate: Share | None = Field(description="Of the accepted.")
    read_rate: Share | None = Field(description="Of the delivered, as the following.")
    reply_rate: Share | None
    click_rate: Share | None
    stop_rate: Share | None


class TemplateView(BaseModel):
    template_id: str = Field(description="Meta's; where only its name was told, name and language with a colon.")
    waba_id: str
    name: str | None
    language: str | None
    category: str | None
    status: str | None
    quality: str | None
    removed_at: datetime | None


class IntervalView(BaseModel):
    value: float
    low: float
    high: float


class CountChange(BaseModel):
    """What has changed of a number of messages."""

    before: int
    change: float | None = Field(description="As a part of `before`: 0.12 is 12 % more, -1 is none any more.")
    verdict: changes.Verdict


class RateChange(BaseModel):
    """What has changed of a rate."""

    before: Share | None
    difference: IntervalView | None = Field(description="Of shares from 0 to 1, with its 95 % interval (Newcombe).")
    verdict: changes.Verdict


class CostChange(BaseModel):
    """What has changed of what messages cost, in one currency."""

    currency: CurrencyCode | None
    before: Amount | None = Field(description="Null where it is not known whole.")
    change: float | None = Field(description="As a part of `before`.")
    verdict: changes.Verdict


class Changes(BaseModel):
    """What has changed since as many days before.

    `too few` were fewer than 100; `new` is of what was not sent then; `not known` of amounts that are not known whole.
    """

    delivered: CountChange
    read_rate: RateChange
    costs: list[CostChange] | None = Field(description="One for each currency; null unless `costs` was asked for.")


class TemplateRow(TemplateView, Counts):
    costs: list[CostView] | None = Field(description="One for each currency; null unless `costs` was asked for.")
    meta_clicked: int | None = Field(
        description="How often links and buttons were pressed, at least, as Meta has told. Null where it tells nothing,"
        " with `number` or `country`, and unless `meta` was asked for."
    )
    changes: Changes | None = Field(description="Null unless `compare` was asked for and the days can be compared.")


class Total(Counts):
    """All templates together that were sent in these days, by the number and to the country that are asked about."""

    templates: int
    costs: list[CostView] | None = Field(description="One for each currency; null unless `costs` was asked for.")
    changes: Changes | None = Field(description="As of a template.")


class Earlier(BaseModel):
    """The days that are compared with."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    comparable: bool = Field(description="Whether they were counted whole, and there were enough messages.")
    growing: bool = Field(description="Whether what is compared with them still gets reads or messages.")
    sentence: str = Field(description="What is compared, or why nothing is, for people.")


class Period(BaseModel):
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    time_zone: str | None = Field(description="Of the days, as IANA names it; null where accounts have several.")


class TemplatesView(BaseModel):
    period: Period
    total: Total
    earlier: Earlier | None = Field(description="Null unless `compare` was asked for.")
    templates: list[TemplateRow]
    next: str | None
    source: Literal["statuses"] = Field(description="Counted by us from Meta's webhooks.")
    recounting: Recounting = False
    as_of: datetime


class Step(BaseModel):
    step: str
    count: int
    share: Share | None = Field(description="Of the accepted.")


class Group(Counts):
    group: str = Field(description="The hour (UTC), day, version, number or country; version 0 is of an unknown one.")


class ComparisonView(BaseModel):
    version: int
    before: int
    rate: str
    difference: IntervalView | None = Field(description="Of shares from 0 to 1, with its 95 % interval (Newcombe).")
    verdict: Verdict
    sentence: str
    observational: Literal[True] = Field(description="Nobody was drawn by lot: it may be for another reason.")


class TimeToRead(BaseModel):
    read: int
    median_seconds: float | None
    ninety_percent_seconds: float | None
    histogram: list[dict[str, Any]] = Field(description="`from_seconds` and `read`, by growing times.")


class MetaDay(BaseModel):
    day: date
    sent: int | None
    delivered: int | None
    read: int | None
    clicked: int | None
    read_at: datetime = Field(description="When Meta was asked last.")


class MetaView(BaseModel):
    """What Meta itself has counted, which differs: it counts by other rules, and not everywhere."""

    source: Literal["template_analytics"]
    state: str = Field(description="`on`, `off`, `unavailable`, `refused` or `unknown`.")
    sentence: str = Field(description="What that means, for people.")
    days: list[MetaDay] = Field(description="As Meta has told them; what it forgets after a week stays.")


class TemplatePerformance(BaseModel):
    template: TemplateView
    period: Period
    total: Counts
    funnel: list[Step]
    time_to_read: TimeToRead
    by: By
    groups: list[Group]
    comparisons: list[ComparisonView] = Field(description="With `by=version`: each version beside the one before.")
    source: Literal["statuses"]
    meta: MetaView
    as_of: datetime


class FailureView(BaseModel):
    code: int = Field(description="Meta's code of the error; 0 where it gave none.")
    count: int
    share: Share = Field(description="Of the failed.")
    kind: str | None = Field(description="The class of the error; null of a code that is not known here.")
    sentence: str
    remedy: str


class FailuresView(BaseModel):
    template: TemplateView
    period: Period
    accepted: int
    failed: int
    failures: list[FailureView]
    as_of: datetime


class FailingTemplate(BaseModel):
    template_id: str
    waba_id: str
    name: str | None
    language: str | None
    failed: int


class ReasonView(FailureView):
    templates: list[FailingTemplate] = Field(description="Those that failed most for it, three at most.")


class AllFailuresView(BaseModel):
    period: Period
    accepted: int
    failed: int
    failures: list[ReasonView]
    as_of: datetime


class EnableRequest(BaseModel):
    """The body of POST /performance/enable."""

    model_config = ConfigDict(extra="forbid")

    waba_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,32}$")]
    confirm: bool = Field(default=False, description="That it is known that Meta can't be told to stop again.")


class Enabled(BaseModel):
    waba_id: str
    status: Literal["asked", "on"]
