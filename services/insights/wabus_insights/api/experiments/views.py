"""Answers made of what is known of an experiment."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from wabus_events.models.insights.experiments import PlannedArm
from wabus_whatsapp.assignment import SLOTS

from wabus_insights.api.experiments.models import ExperimentSummary, ExperimentView
from wabus_insights.experiments.decision import Decision, Finding, Standing
from wabus_insights.experiments.evidence import threshold
from wabus_insights.experiments.words import said, said_of_decision, sureness
from wabus_insights.tables.experiments.counting import Tally
from wabus_insights.tables.experiments.definitions import Experiment


def summary(experiment: Experiment, now: datetime) -> ExperimentSummary:
    """An experiment in a list."""
    decision = experiment.decision or {}
    return ExperimentSummary(
        experiment_id=str(experiment.experiment_id), name=experiment.plan.name, waba_id=experiment.waba_id,
        state=experiment.state(now), defined_at=experiment.defined_at, started_at=experiment.started_at,
        outcome=decision.get("outcome"), winner=decision.get("winner"),
    )  # fmt: skip


def view(
    experiment: Experiment, known: Standing, finding: Finding, tallies: Sequence[Tally], now: datetime
) -> ExperimentView:
    """An experiment with what it shows; what it was decided to be stands before what is seen since."""
    plan, decision = experiment.plan, experiment.decision or {}
    words = said(plan, finding)
    if decision:
        made = Decision(
            decision["outcome"], decision["winner"], decision["better"], decision["worse"], decision["reason"]
        )
        words = [said_of_decision(made), *([] if finding.is_imbalanced else words)]
    withheld = finding.is_imbalanced or decision.get("outcome") == "sample_ratio"
    now_drawn: dict[str, int] = {}
    for each in experiment.slices or ():
        now_drawn[each["arm"]] = now_drawn.get(each["arm"], 0) + each["end"] - each["begin"]
    arms: list[dict[str, Any]] = []
    for arm in plan.arms:
        counts = [each.counts[arm.arm] for each in known.counted if arm.arm in each.counts]
        people, successes = sum(each.people for each in counts), sum(each.successes for each in counts)
        found = None if withheld else finding.arms.get(arm.arm)
        is_known = found is not None and found.interval.estimate is not None
        arms.append({
            "arm": arm.arm,
            "weight": (now_drawn.get(arm.arm, 0) if experiment.slices else arm.weight) / SLOTS,
            "template": template_of(arm),
            "stopped": experiment.stops.get(arm.arm),
            "people": people,
            "successes": None if withheld else successes,
            "rate": successes / people if people and not withheld else None,
            **_beside([each for each in tallies if each.arm == arm.arm]),
            "difference": (found.interval.low, found.interval.high) if found and is_known else None,
            "difference_is": found.interval.how if found and is_known else None,
            "evidence": found and found.log_evidence,
            "sureness": sureness(plan, finding, arm.arm) if found else None,
            "chance_to_be_better": found and found.chance_to_be_better,
        })  # fmt: skip
    return ExperimentView.model_validate({
        "experiment_id": str(experiment.experiment_id),
        "name": plan.name,
        "waba_id": experiment.waba_id,
        "audience": plan.audience,
        "state": experiment.state(now),
        "plan": plan.model_dump(mode="json"),
        "plan_hash": experiment.plan_hash,
        "defined_at": experiment.defined_at,
        "started_at": experiment.started_at,
        "ends_at": experiment.ends_at,
        "epoch": experiment.epoch,
        "arms": arms,
        "withheld": withheld,
        "threshold": threshold(plan.alpha, len(plan.arms) - 1),
        "said": words,
        "outcome": decision.get("outcome"),
        "winner": decision.get("winner"),
        "stop_reason": decision.get("reason") or experiment.stop_reason,
        "decided_at": experiment.decided_at,
        "as_of": experiment.looked_at or now,
    })  # fmt: skip


def _beside(tallies: Sequence[Tally]) -> dict[str, Any]:
    """What stands beside the result of an arm."""
    known = [each for each in tallies if not each.excluded]
    delivered, priced = sum(each.delivered for each in known), sum(each.priced for each in known)
    cost = sum((each.cost for each in known), Decimal(0))
    currencies = {each.currency for each in known if each.priced}
    is_priced = len(currencies) == 1 and None not in currencies
    return {
        "drawn": sum(each.drawn for each in known),
        "excluded": sum(each.drawn for each in tallies if each.excluded),
        "failed": sum(each.failed for each in known),
        "held": sum(each.held for each in known),
        "capped": sum(each.capped for each in known),
        "in_metas_test": sum(each.in_metas_test for each in known),
        "stops": sum(each.stopped for each in known),
        "delivered": delivered,
        "cost": f"{cost:f}" if is_priced else None,
        "price": f"{(cost / priced).quantize(Decimal('0.000001')):f}" if is_priced else None,
        "currency": currencies.pop() if is_priced else None,
        "unpriced": delivered - priced if is_priced else delivered,
    }


def template_of(arm: PlannedArm) -> dict[str, Any] | None:
    """What the people of an arm get, as Meta names it; None for nothing."""
    if arm.template_name is None:
        return None
    return {
        "name": arm.template_name,
        "language": {"code": arm.template_language},
        "components": arm.components,
    }
