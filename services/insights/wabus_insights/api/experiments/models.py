"""What the API of experiments is asked and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from wabus_events.models.insights.experiments import Harm, Metric, Outcome
from wabus_runtime.http.answers import DIGITS
from wabus_runtime.http.paging import Cursor

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Amount = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
"""An amount of money, as text: no reader rounds it."""
MetaId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,40}$")]
ArmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[int, Field(ge=1, le=200), DIGITS]
ListPlace = tuple[AwareDatetime, Id]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TemplateRequest(_Body):
    """A template of the account, and how it is filled in."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]{2,16}$")]
    components: Annotated[list[dict[str, Any]], Field(max_length=20)] = Field(
        default=[],
        description="Meta's components of the message. `{{name}}` in a text is filled in by `values` of each send.",
    )


class ArmRequest(_Body):
    """What some of the people get."""

    arm: ArmName
    weight: Share | None = Field(default=None, description="The share of people; left out by all, they are even.")
    template: TemplateRequest | None = Field(default=None, description="null for nothing.")


class GuardrailRequest(_Body):
    """What stops an arm that does more harm than the control."""

    harm: Harm
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.01


class ExperimentRequest(_Body):
    """The body of POST /experiments: the whole plan, which never changes."""

    name: Text
    waba_id: MetaId
    audience: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")] = ""
    arms: Annotated[list[ArmRequest], Field(min_length=2, max_length=8)]
    control: ArmName
    metric: Metric = "replied"
    outcome_hours: Annotated[int, Field(ge=1, le=168)] = 72
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    minimum_days: Annotated[int, Field(ge=0, le=90)] = 7
    minimum_per_arm: Annotated[int, Field(ge=0, le=1_000_000_000)] = 100
    days: Annotated[int, Field(ge=1, le=90)] = 30
    guardrails: Annotated[list[GuardrailRequest], Field(max_length=3)] = [
        GuardrailRequest(harm="failed"),
        GuardrailRequest(harm="stopped"),
        GuardrailRequest(harm="cost"),
    ]
    auto_ramp: bool = Field(default=False, description="Everybody gets the winner once there is one.")


class StartRequest(_Body):
    """The body of POST /experiments/{experiment_id}/start."""

    weights: dict[ArmName, Share] | None = Field(
        default=None, description="Other weights than those of the plan, or than those until now."
    )


class StopRequest(_Body):
    """The body of POST /experiments/{experiment_id}/stop."""

    arm: ArmName | None = Field(default=None, description="Left out for the whole experiment.")


class DecideRequest(_Body):
    """The body of POST /experiments/{experiment_id}/decide."""

    winner: ArmName | None = Field(default=None, description="What you choose; left out for nothing.")


class AssignRequest(_Body):
    """The body of POST /experiments/{experiment_id}/assign: a person, by what is known of them."""

    to: Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()./-]{4,30}$")] | None = None
    recipient: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}\.[A-Za-z0-9.]{1,140}$")] | None = None


class AssignView(BaseModel):
    """The arm of a person, the same however often it is asked for."""

    arm: str | None = Field(description="null for who is in your holdout, and so in no experiment on marketing.")
    sends: bool = Field(description="Whether the person gets a template; else nothing is to be sent to them.")
    template: dict[str, Any] | None = Field(description="Its name, language and components.")
    withheld: Literal["experiment", "holdout"] | None = Field(
        description="Why nothing is to be sent: the arm is that of people who get nothing, or your holdout."
    )
    biz_opaque_callback_data: str | None = Field(
        description="Give it to Meta with the message: by it what is read, tapped and fails is counted for the person."
    )


class PlanRequest(_Body):
    """The body of POST /experiments/plan."""

    baseline: Annotated[float, Field(gt=0, lt=1)] = Field(description="The rate of the control.")
    effect: Annotated[float, Field(gt=-1, lt=1)] = Field(description="By how much the arm's rate differs: 0.03.")
    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.05
    power: Annotated[float, Field(ge=0.5, le=0.99)] = 0.8
    arms: Annotated[int, Field(ge=2, le=8)] = 2


class PeekingView(BaseModel):
    """How often a test that is made for one look errs if one looks so often."""

    looks: int
    false_positives: float


class PlanView(BaseModel):
    """How many people an effect needs."""

    people_per_arm: int = Field(description="So many show it with the power asked for, looking whenever you like.")
    half_stop_by: int = Field(description="By so many an arm it has shown in half of the cases.")
    people_per_arm_at_one_look: int = Field(description="So many would a test need that is looked at once, at its end.")
    peeking: list[PeekingView]
    said: str


class HoldoutBody(_Body):
    """How many of the organisation's people get no marketing."""

    share: Annotated[float, Field(ge=0, le=0.5)]


class ArmView(BaseModel):
    """An arm, and what is known of it."""

    arm: str
    weight: float = Field(description="The share of new people who are drawn into it now.")
    template: dict[str, Any] | None
    stopped: str | None = Field(description="Why nobody is drawn into it any more.")
    drawn: int
    people: int = Field(description="Who is counted: their outcome window has closed.")
    successes: int | None = Field(description="Of `people`; null where the result is withheld.")
    rate: float | None
    excluded: int = Field(description="Who turned out to be somebody of another arm.")
    failed: int = Field(description="Whose message came to nothing, at once or until their outcome window had closed.")
    held: int = Field(description="Whose message Meta has held back, to see first how others like the template.")
    capped: int = Field(description="Of these for Meta's limit of marketing to a person (131049).")
    in_metas_test: int = Field(description="Of these because the person is in an experiment of Meta's (130472).")
    stops: int = Field(description="Who wants no more marketing.")
    delivered: int = Field(description="Messages delivered to `people`.")
    cost: Amount | None = Field(description="Of these, as far as prices are known; null where none is.")
    price: Amount | None = Field(description="What a delivered message has cost on average; null where not known.")
    currency: str | None
    unpriced: int = Field(description="Messages delivered whose price is not known, which are not in `cost`.")
    difference: tuple[float, float] | None = Field(description="To the control, from and to; null where not known.")
    difference_is: str | None = Field(description="`exact` or `asymptotic`.")
    evidence: float | None = Field(description="Of a difference to the control, as a natural logarithm.")
    sureness: float | None = Field(description="How far the evidence has come to where it decides, from 0 to 1.")
    chance_to_be_better: float | None = Field(description="Describes what is seen, and decides nothing.")


class ExperimentView(BaseModel):
    """An experiment, and what it shows."""

    experiment_id: Id
    name: str
    waba_id: str
    audience: str
    state: Literal["planned", "running", "counting", "stopped", "decided"]
    plan: dict[str, Any]
    plan_hash: str
    defined_at: datetime
    started_at: datetime | None
    ends_at: datetime | None
    epoch: int
    arms: list[ArmView]
    withheld: bool = Field(description="Whether people were not drawn as planned, so that there is no result.")
    threshold: float = Field(description="From which evidence on a difference is shown.")
    said: list[str] = Field(description="What is shown, in words.")
    outcome: Outcome | None
    winner: str | None
    stop_reason: str | None
    decided_at: datetime | None
    as_of: datetime


class ExperimentPending(BaseModel):
    """It is in the log, and will be so within a moment."""

    experiment_id: Id


class ExperimentSummary(BaseModel):
    """An experiment in a list."""

    experiment_id: Id
    name: str
    waba_id: str
    state: str
    defined_at: datetime
    started_at: datetime | None
    outcome: Outcome | None
    winner: str | None


class Experiments(BaseModel):
    experiments: list[ExperimentSummary]
    next: str | None = Field(description="`after` for the page that follows; null on the last one.")


class ExperimentsQuery(_Body):
    """The parameters of GET /experiments."""

    limit: Limit = 50
    after: Annotated[Cursor | None, Field(description="`next` of the page before.")] = None


class LookView(BaseModel):
    """What was seen of an arm at a moment."""

    at: datetime
    arm: str
    people: int = Field(description="Of the arm and of the control.")
    evidence: float
    p_value: float = Field(description="Holds at any time: of the highest evidence so far.")
    low: float
    high: float


class Looks(BaseModel):
    looks: list[LookView] = Field(description="The newest first.")
    threshold: float


class LooksQuery(_Body):
    """The parameters of GET /experiments/{experiment_id}/looks."""

    limit: Annotated[int, Field(ge=1, le=1000), DIGITS] = 200
    before: AwareDatetime | None = None


class ExperimentPath(BaseModel):
    experiment_id: Id
