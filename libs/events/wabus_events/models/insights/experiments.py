"""Facts about experiments on templates: what was planned, when it began, what was stopped, counted and decided.

They are kept for ever, and hold no person's data: who is in which arm is in the topic of sends.
"""

import hashlib
import json
from collections.abc import Collection
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from wabus_events.models.event import Event
from wabus_events.models.topics import INSIGHTS, SENDS

Metric = Literal["replied", "clicked", "read"]
"""What counts as a success: the person wrote, tapped a button of the message, or read it (a lower bound: who has
switched read receipts off has read nothing)."""

Harm = Literal["failed", "stopped", "cost"]
"""What a guardrail watches: the message came to nothing, the person wants no more marketing, or what a delivered
message costs."""

Outcome = Literal["winner", "no_difference", "guardrail", "sample_ratio", "stopped"]
"""How an experiment ended: an arm is shown to be better or the control is; nothing was shown until its end; too few
arms were left; people were not drawn as planned; somebody has stopped it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PlannedArm(_Part):
    """What the people of an arm get: a template, or nothing."""

    arm: str
    """Its name within the experiment, such as `A`."""
    weight: int
    """The share of people who are drawn into it at first, in hundredths of a percent."""
    template_name: str | None = None
    """None for nothing: then all of the template is None."""
    template_language: str | None = None
    """Of a template, its language."""
    template_id: str | None = None
    """Which of Meta's templates that was when the experiment was planned."""
    template_version: int | None = None
    """Which version of it that was, as `TemplateChanged` counts them."""
    template_digest: str | None = None
    """The SHA-256 of what people see of it, in hex: with another one it is another arm."""
    category: str | None = None
    """Meta's category of it when the experiment was planned."""
    components: list[dict[str, Any]] = []
    """Meta's components of the message, with `{{name}}` where a value of the person belongs."""


class PlannedGuardrail(_Part):
    """What stops an arm that does more harm than the control."""

    harm: Harm
    """What it watches."""
    alpha: float
    """How often it stops an arm that does no more harm, at most."""


class ExperimentPlan(_Part):
    """All that is settled before the first person is drawn. Another plan is another experiment."""

    name: str
    """What people call it."""
    waba_id: str
    """The account whose templates it tries."""
    audience: str = ""
    """For whom it is, in the organisation's words; who is sent to decides it."""
    arms: list[PlannedArm]
    """What is compared, from two arms on."""
    control: str
    """The arm that the others are compared with."""
    metric: Metric
    """What decides."""
    outcome_hours: int
    """So long after a person was drawn what they do counts."""
    alpha: float
    """How often a difference is shown where there is none, at most."""
    minimum_days: int
    """Nothing is decided before so many days."""
    minimum_per_arm: int
    """Nothing is decided before so many people are counted in each arm."""
    days: int
    """For so many days people are drawn."""
    guardrails: list[PlannedGuardrail] = []
    """What stops an arm."""
    auto_ramp: bool = False
    """Whether everybody gets the winner once there is one."""

    def given(self, arm: str, stopped: Collection[str]) -> PlannedArm | None:
        """What the people of an arm get: what the control gets where theirs is `stopped`, and None where both are."""
        gets = arm if arm not in stopped else self.control
        return None if gets in stopped else next(each for each in self.arms if each.arm == gets)

    def digest(self) -> str:
        """The SHA-256 of the whole plan, in hex: the same for the same plan."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()


class DrawnSlice(_Part):
    """The slots from `begin` up to, and without, `end` are drawn into an arm, of 10,000."""

    begin: int
    """The first slot."""
    end: int
    """The slot behind the last."""
    arm: str
    """Into which arm."""


class ExperimentEvent(Event):
    """A fact about one experiment."""

    experiment_id: str
    """Made by wabus; the same in all that is told of the experiment."""

    @property
    def subject(self) -> str | None:
        return self.experiment_id


class ExperimentDefined(ExperimentEvent, topic=INSIGHTS):
    """An experiment was planned, wholly and for good. Nobody is drawn yet."""

    plan: ExperimentPlan
    plan_hash: str
    """`ExperimentPlan.digest` of it."""
    salt: str
    """What people are hashed with."""
    requested_by: str | None = None
    """Who of the platform asked: an HMAC under a key of the organisation's."""


class ExperimentStarted(ExperimentEvent, topic=INSIGHTS):
    """From now on people are drawn by these weights. The first starts the experiment, each later one has others.

    People who were drawn before keep their arm, and are counted by the weights that they were drawn with.
    """

    epoch: int
    """From 1 on: the weights that are in use."""
    slices: list[DrawnSlice]
    """Which slots are drawn into which arm."""
    plan_hash: str
    """Of the plan that was started."""
    ends_at: AwareDatetime
    """Until when people are drawn."""
    requested_by: str | None = None
    """Who of the platform asked: an HMAC under a key of the organisation's; None where wabus has done it itself."""


class ExperimentStopped(ExperimentEvent, topic=INSIGHTS):
    """Nobody is drawn any more: into one arm, or at all. Who was drawn before is still counted."""

    arm: str | None = None
    """None for the whole experiment."""
    reason: str
    """A stable word: `by_hand`, `template_edited`, `template_paused`, `template_deleted`, `template_category`,
    `template_quality`, `number_quality`, `failed`, `stopped`, `cost`."""
    requested_by: str | None = None
    """None where wabus has stopped it."""


class ArmResult(_Part):
    """What is known of one arm."""

    arm: str
    """Its name."""
    people: int
    """Who is counted."""
    successes: int
    """Who of them did what decides."""
    log_evidence: float | None = None
    """Of a difference to the control, as a natural logarithm; None of the control."""
    low: float | None = None
    """From where the difference to the control is, as a share: 0.02 is two points more."""
    high: float | None = None
    """To where."""


class ExperimentDecided(ExperimentEvent, topic=INSIGHTS):
    """What an experiment has come to, for good."""

    outcome: Outcome
    """How it has ended."""
    winner: str | None = None
    """The arm that is shown to be better than the control, or the control where the others are shown to be worse."""
    better: list[str] = []
    """Arms that are shown to be better than the control."""
    worse: list[str] = []
    """Arms that are shown to be worse."""
    reason: str | None = None
    """Why it was stopped, if it was."""
    arms: list[ArmResult]
    """What it was decided by; empty where the result is withheld."""
    requested_by: str | None = None
    """None where wabus has decided it, by the plan."""


class ArmDay(_Part):
    """People of one arm who were drawn on a day."""

    arm: str
    """Its name."""
    epoch: int
    """By which weights they were drawn."""
    drawn: int
    """How many they are."""
    counted: int = 0
    """How many of them are counted: their outcome window has closed."""
    successes: int = 0
    """How many of those who are counted did what decides."""
    failed: int = 0
    """How many messages to those who are counted came to nothing."""
    stopped: int = 0
    """How many of those who are counted want no more marketing."""
    excluded: int = 0
    """People who turned out to be somebody who was drawn into another arm."""


class ExperimentDayCounted(ExperimentEvent, topic=INSIGHTS):
    """What became of the people who were drawn on a day, so far. The last of a day counts."""

    day: str
    """`YYYY-MM-DD`, UTC."""
    arms: list[ArmDay]
    """Those of each arm and weights."""


class HoldoutChosen(Event, topic=INSIGHTS):
    """So many of an organisation's people get no marketing, so that it sees what its marketing achieves."""

    share: int
    """In hundredths of a percent; 0 for nobody."""
    salt: str
    """What people are hashed with: the same for ever, so that who is held out stays so."""
    requested_by: str | None = None
    """Who of the platform asked: an HMAC under a key of the organisation's; None where wabus has done it itself."""

    @property
    def key(self) -> str:
        return self.org_id or ""


class PersonDrawn(Event, topic=SENDS):
    """A person was drawn into an arm for a platform that sends by itself. Holds a person's number or user id.

    What is sent by wabus has the arm in its `SendRequested`. The first that the log has of a person counts.
    """

    experiment_id: str
    """The experiment."""
    arm: str
    """The arm that the person is in from now on."""
    epoch: int
    """By which weights they were drawn, as `ExperimentStarted` counts them."""
    to: str | None = None
    """The person's number, in digits."""
    recipient: str | None = None
    """The person's business-scoped user id. At least one of the two is there."""
    requested_by: str | None = None
    """Who of the platform asked: an HMAC under a key of the organisation's."""

    @property
    def key(self) -> str:
        return self.org_id or ""
