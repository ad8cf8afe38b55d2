"""What is asked and answered about budgets, the forecast, the comparison with Meta, and advice."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from wabus_insights.api.costs.amounts import Recounting

Amount = Annotated[str, StringConstraints(pattern=r"^-?\d+(\.\d+)?$")]
"""An amount of money, as text: no reader rounds it."""
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
MonthText = Annotated[str, StringConstraints(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")]
WabaId = Annotated[str, StringConstraints(pattern="^[0-9]{1,32}$")]
AmountGiven = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,10}(\.[0-9]{1,6})?|0\.[0-9]{0,5}[1-9]0{0,5})$")]
"""More than nothing, with at most six places: as text, like every amount."""
Threshold = Annotated[int, Field(ge=1, le=1000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewBudget(_Asked):
    waba_id: WabaId | None = Field(
        default=None, description="The account; null for all of yours that are charged in the currency."
    )
    month: MonthText | None = Field(
        default=None, description="The only month that it is for; null for each that has none of its own."
    )
    currency: Currency
    amount: AmountGiven
    thresholds: list[Threshold] = Field(
        default=[50, 80, 100], min_length=1, max_length=10, description="At how many per cent you are told."
    )


class NewBudgets(_Asked):
    budgets: list[NewBudget] = Field(max_length=100, description="All of them: what is not here is no budget any more.")


class BudgetsQuery(_Asked):
    """The parameters of GET /budgets."""

    month: MonthText | None = Field(default=None, description="By default the present one.")


class AlertView(BaseModel):
    alert: Literal["actual", "projected"]
    threshold: int
    amount: Amount = Field(description="The budget when it was told.")
    spent: Amount
    projected: Amount | None
    at: datetime


class BudgetState(BaseModel):
    month: str
    spent: Amount = Field(description="Until now, without messages that have no price.")
    share: float = Field(description="Spent of the budget: 1 is all of it.")
    projected: Amount | None = Field(description="At the end of the month; null if too little is known, or it is over.")
    low: Amount | None
    high: Amount | None
    unpriced: int = Field(description="Messages of the month whose price is not known.")
    other_currencies: list[str] = Field(description="In which something was charged that is not counted here.")
    alerts: list[AlertView] = Field(description="What was told, the oldest first.")


class BudgetView(BaseModel):
    budget_id: str
    waba_id: str | None
    month: str | None
    currency: str
    amount: Amount
    thresholds: list[int]
    state: BudgetState | None = Field(description="Null where it is for another month, or another budget comes first.")


class BudgetsView(BaseModel):
    version: str | None = Field(
        description="Which budgets these are, also the ETag: give it as `If-Match` with a change. Null before any were."
    )
    budgets: list[BudgetView]
    recounting: Recounting = False
    as_of: datetime


class Pending(BaseModel):
    """It is published, and not yet in the tables."""

    status: Literal["pending"]


class ForecastQuery(_Asked):
    """The parameters of GET /costs/forecast."""

    month: MonthText | None = Field(default=None, description="By default the present one.")
    waba_id: WabaId | None = None
    currency: Currency | None = Field(default=None, description="By default all in which you were charged.")


class ForecastDay(BaseModel):
    day: date
    expected: Amount


class PriceChangeView(BaseModel):
    market: str
    category: str
    effective: date
    before: Amount | None
    after: Amount


class CorrectionView(BaseModel):
    country: str
    category: str
    ratio: Amount = Field(description="What Meta charges over what we know as its price.")


class ForecastView(BaseModel):
    currency: str
    spent: Amount
    expected: Amount | None = Field(description="At the end of the month; null while nothing is known of the past.")
    low: Amount | None = Field(description="Null where too little is known of the past to say how wrong it may be.")
    high: Amount | None
    covers: float = Field(description="The share of months that should end between low and high.")
    known_days: int = Field(description="Whole days of the past that it rests on.")
    days: list[ForecastDay] = Field(description="What each day still to come is expected to cost.")
    unpriced: int
    other_currencies: list[str]
    price_changes: list[PriceChangeView] = Field(description="Changes that were applied from their day on.")
    corrections: list[CorrectionView] = Field(description="Applied to what is to come, never to what has been.")


class ForecastsView(BaseModel):
    month: str
    waba_id: str | None
    forecasts: list[ForecastView] = Field(description="One for each currency.")
    recounting: Recounting = False
    as_of: datetime


class ReconciliationQuery(_Asked):
    """The parameters of GET /costs/reconciliation."""

    waba_id: WabaId | None = None
    since: Annotated[
        date | None, Field(alias="from", description="By default 29 days before `to`; at most 400 days.")
    ] = None
    until: Annotated[date | None, Field(alias="to", description="By default yesterday.")] = None
    differences: Annotated[bool, Field(description="Only what does not agree.")] = False


class ReconciledView(BaseModel):
    day: date
    country: str
    category: str
    pricing_type: str
    volume: int
    meta_volume: int
    amount: Amount = Field(description="By our own count, without messages that have no price.")
    meta_amount: Amount | None = Field(description="Approximate by Meta's own word; null where it tells none.")
    difference: Amount | None
    unpriced: int
    explained_by: str
    explanation: str


class ReconciledAccount(BaseModel):
    waba_id: str
    currency: str | None
    read_at: datetime | None = Field(description="When Meta was asked last.")
    error: str | None = Field(description="Why it could not be asked since.")
    amounts_told: bool
    days: list[ReconciledView]


class ReconciliationView(BaseModel):
    accounts: list[ReconciledAccount]
    recounting: Recounting = False
    as_of: datetime


class AdviceQuery(_Asked):
    """The parameters of GET /advice."""

    dismissed: bool = Field(default=False, description="What was dismissed too.")


class AdvicePath(BaseModel):
    """Which advice."""

    advice_id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class Dismissal(_Asked):
    dismissed: bool = Field(default=True, description="False to be given it again.")


class AdviceView(BaseModel):
    advice_id: str
    kind: str
    waba_id: str
    about: str = Field(description="The template, the business phone number or the country that it is about.")
    finding: str
    remedy: str
    saving: Amount | None = Field(description="In a month; null where it is not about money, or no price is known.")
    currency: str | None
    evidence: dict[str, Any] = Field(description="What was counted.")
    since: datetime
    dismissed: bool


class AdvicesView(BaseModel):
    advice: list[AdviceView] = Field(description="What saves most first.")
    as_of: datetime | None = Field(description="When it was worked out; null if it never was.")
    counted_to: date | None = Field(
        default=None,
        description="The last day (UTC) whose messages were looked at one by one; null before any was.",
    )
    unfinished: list[str] = Field(
        default=[],
        description="Kinds that could not be worked out whole since: what is advised of them may be of before, or "
        "missing.",
    )


class Dismissed(BaseModel):
    advice_id: str
    dismissed: bool
