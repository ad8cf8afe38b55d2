"""What an experiment shows now, which arms have to be stopped, and whether it is decided. Looked at any time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from wabus_events import ExperimentPlan
from wabus_events.models.insights.experiments import Harm, Outcome, PlannedGuardrail

from wabus_insights.experiments.balance import ALARM, log_imbalance
from wabus_insights.experiments.confidence import Interval, difference
from wabus_insights.experiments.description import chance_to_be_better
from wabus_insights.experiments.evidence import Stratum, e_bh, log_evidence, pairs_of, threshold
from wabus_insights.experiments.spending import SpentStratum, price_difference


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an experiment at a moment."""

    started_at: datetime
    ends_at: datetime
    drawn: Sequence[Stratum]
    """Everybody who was drawn, by the weights of the time; without successes."""
    counted: Sequence[Stratum]
    """Those whose outcome window has closed, and what they did."""
    harmed: Mapping[Harm, Sequence[Stratum]] = field(default_factory=dict[Harm, Sequence[Stratum]])
    """Of each guardrail those who are counted for it: a success is the harm."""
    stopped: Mapping[str, str] = field(default_factory=dict[str, str])
    """Arms that are stopped, and why."""
    waiting: int = 0
    """People who were drawn and are not counted yet."""
    stop_reason: str | None = None
    """Why nobody is drawn any more before the time was over, if so."""
    spent: Sequence[SpentStratum] = ()
    """What messages to those who are counted have cost; empty where that can't be added up."""


class ArmFinding(NamedTuple):
    """An arm against the control."""

    arm: str
    log_evidence: float
    interval: Interval
    chance_to_be_better: float | None
    """Describes, and decides nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is shown."""

    arms: Mapping[str, ArmFinding]
    """Every arm but the control."""
    shown: frozenset[str]
    """Arms for which a difference is shown."""
    log_imbalance: float
    """Evidence that people were not drawn as planned."""

    @property
    def is_imbalanced(self) -> bool:
        return self.log_imbalance >= ALARM

    @property
    def better(self) -> list[str]:
        return sorted(arm for arm in self.shown if _estimate(self.arms[arm]) > 0)

    @property
    def worse(self) -> list[str]:
        return sorted(arm for arm in self.shown if _estimate(self.arms[arm]) < 0)


class Decision(NamedTuple):
    """What it has come to, for good."""

    outcome: Outcome
    winner: str | None = None
    better: Sequence[str] = ()
    worse: Sequence[str] = ()
    reason: str | None = None


def findings(plan: ExperimentPlan, standing: Standing) -> Finding:
    """What is shown at this moment. It is true at every look, of an experiment that goes on too."""
    others = [arm.arm for arm in plan.arms if arm.arm != plan.control]
    found: dict[str, ArmFinding] = {}
    for arm in others:
        pairs = pairs_of(standing.counted, plan.control, arm)
        interval = difference(pairs, plan.alpha / len(others))
        found[arm] = ArmFinding(arm, log_evidence(pairs), interval, chance_to_be_better(pairs))
    shown = e_bh({arm: each.log_evidence for arm, each in found.items()}, plan.alpha)
    return Finding(found, shown, log_imbalance(standing.drawn))


def arms_to_stop(plan: ExperimentPlan, standing: Standing) -> dict[str, Harm]:
    """Arms that do more harm than the control, as is shown, and what harm."""
    found: dict[str, Harm] = {}
    sends = {arm.arm for arm in plan.arms if arm.template_name}
    others = [arm.arm for arm in plan.arms if arm.arm != plan.control]
    for guardrail in plan.guardrails:
        for arm in others:
            # Who is sent nothing has nothing that fails or costs.
            if arm in standing.stopped or (guardrail.harm != "stopped" and not {arm, plan.control} <= sends):
                continue
            if _is_shown(plan, standing, arm, guardrail, guardrail.alpha / len(others)):
                found.setdefault(arm, guardrail.harm)
    return found


def _is_shown(plan: ExperimentPlan, standing: Standing, arm: str, guardrail: PlannedGuardrail, alpha: float) -> bool:
    """Whether an arm is shown to do more of a harm than the control."""
    if guardrail.harm == "cost":
        found = price_difference(standing.spent, plan.control, arm, alpha)
        return found is not None and found.is_dearer
    pairs = pairs_of(standing.harmed.get(guardrail.harm, ()), plan.control, arm)
    return log_evidence(pairs, "more") >= threshold(alpha)


def decided(plan: ExperimentPlan, standing: Standing, finding: Finding, now: datetime) -> Decision | None:
    """What it is decided to be now, by the plan; None while it goes on."""
    if finding.is_imbalanced:
        return Decision("sample_ratio")
    others = [arm.arm for arm in plan.arms if arm.arm != plan.control]
    compared = [arm for arm in others if arm not in standing.stopped and plan.control not in standing.stopped]
    if (
        compared
        and now >= standing.started_at + timedelta(days=plan.minimum_days)
        and _enough(plan, standing, compared)
    ):
        if better := [arm for arm in finding.better if arm in compared]:
            return Decision("winner", _best(finding, better), finding.better, finding.worse)
        if set(compared) <= set(finding.worse):
            return Decision("winner", plan.control, finding.better, finding.worse)
    if standing.waiting:
        return None
    if not compared and standing.stopped:
        reason = standing.stopped.get(plan.control) or next(iter(standing.stopped.values()))
        return Decision("guardrail", None, (), finding.worse, reason)
    if now < standing.ends_at:
        return None
    if standing.stop_reason == "by_hand":
        return Decision("stopped", None, (), finding.worse, standing.stop_reason)
    if standing.stop_reason:
        return Decision("guardrail", None, (), finding.worse, standing.stop_reason)
    return Decision("no_difference", None, (), finding.worse)


def _enough(plan: ExperimentPlan, standing: Standing, compared: Sequence[str]) -> bool:
    """Whether as many people are counted in each arm as the plan wants."""
    for arm in (plan.control, *compared):
        people = sum(each.counts[arm].people for each in standing.counted if arm in each.counts)
        if people < plan.minimum_per_arm:
            return False
    return True


def _best(finding: Finding, arms: Sequence[str]) -> str:
    return max(arms, key=lambda arm: (_estimate(finding.arms[arm]), arm))


def _estimate(found: ArmFinding) -> float:
    return found.interval.estimate or 0.0
