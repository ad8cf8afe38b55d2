"""What an experiment shows, in words that can't be misread: nothing is called better that is not shown to be."""

from collections.abc import Mapping

from wabus_events import ExperimentPlan
from wabus_events.models.insights.experiments import Outcome

from wabus_insights.experiments.decision import Decision, Finding
from wabus_insights.experiments.evidence import threshold

WITHHELD = (
    "The result is withheld: people did not come into the arms as planned, so that the arms can't be compared. "
    "Look for what keeps people of one arm from being counted, and begin a new experiment."
)

REASONS: Mapping[str, str] = {
    "template_edited": "its template was edited, so that it is another one",
    "template_paused": "WhatsApp has paused or disabled its template",
    "template_deleted": "its template was deleted",
    "template_category": "WhatsApp has put its template into another category, which is charged and limited otherwise",
    "template_quality": "WhatsApp rates its template low",
    "number_quality": "WhatsApp rates the phone number low",
    "failed": "more of its messages fail than of the control",
    "stopped": "more of its people want no more marketing than of the control",
    "cost": "a delivered message of it costs more than one of the control",
    "by_hand": "somebody has stopped it",
}
"""Why an arm was stopped, by the word for it."""


def said(plan: ExperimentPlan, finding: Finding) -> list[str]:
    """A sentence for each arm but the control, or one that says why there is none."""
    if finding.is_imbalanced:
        return [WITHHELD]
    return [_of_arm(plan, finding, arm) for arm in sorted(finding.arms)]


def said_of_decision(decision: Decision) -> str:
    """What it was decided to be."""
    words: Mapping[Outcome, str] = {
        "winner": f"{decision.winner} is the winner.",
        "no_difference": "It has ended, and no difference was shown. That does not say that there is none.",
        "guardrail": f"Undecided: it was stopped, because {REASONS.get(decision.reason or '', 'of harm')}.",
        "sample_ratio": WITHHELD,
        "stopped": f"Somebody has chosen {decision.winner}; that it is better is not shown."
        if decision.winner
        else "Undecided: somebody has stopped it.",
    }
    also = [arm for arm in decision.better if arm != decision.winner]
    if decision.outcome == "winner" and also:
        names = " and ".join(also)
        are = "are" if len(also) > 1 else "is"
        return (
            f"{words['winner']} {names} {are} better than the control too; whether {decision.winner} is better than "
            f"{names} is not shown."
        )
    return words[decision.outcome]


def sureness(plan: ExperimentPlan, finding: Finding, arm: str) -> float:
    """How far the evidence has come to where a difference is shown, from 0 to 1; on a logarithmic scale."""
    needed = threshold(plan.alpha, len(finding.arms))
    return min(1.0, max(0.0, finding.arms[arm].log_evidence / needed))


def _of_arm(plan: ExperimentPlan, finding: Finding, arm: str) -> str:
    found = finding.arms[arm]
    interval = found.interval
    if interval.estimate is None:
        return f"{arm}: nobody is counted yet."
    if arm not in finding.shown:
        return (
            f"{arm}: no difference shown yet. It may be from {_points(interval.low)} to {_points(interval.high)} "
            f"points compared with {plan.control}."
        )
    better = interval.estimate > 0
    word = "better" if better else "worse"
    if not interval.is_clear:
        return (
            f"{arm} is {word} than {plan.control}; by how much is not certain yet "
            f"({_points(interval.low)} to {_points(interval.high)} points)."
        )
    low, high = (interval.low, interval.high) if better else (-interval.high, -interval.low)
    return f"{arm} is {word} than {plan.control} by {_plain(low)} to {_plain(high)} points."


def _points(share: float) -> str:
    value = round(share * 100, 1)
    return f"{value:+.1f}".replace("-", "−") if value else "0.0"


def _plain(share: float) -> str:
    return f"{share * 100:.1f}"
