"""Whether a plan can be carried out, and what its times are. A plan is fixed as a whole: its digest says so."""

from datetime import datetime, timedelta
from typing import NamedTuple

from wabus_events import ExperimentPlan
from wabus_whatsapp.assignment import SLOTS

MOST_ARMS = 8
OUTCOME_HOURS_MOST = 7 * 24
"""Meta tells of a message for seven days at most. Meta: "Webhooks", retries."""
DAYS_MOST = 90
LATE = timedelta(hours=1)
"""So long after its outcome window has closed a person is counted: what was told late may come until then."""
HARM_WINDOW = timedelta(hours=1)
"""What comes to nothing mostly does so at once: a guardrail looks at each person after this time."""


class Wrong(NamedTuple):
    """What of a plan can't be."""

    field: str
    message: str


def problems(plan: ExperimentPlan) -> list[Wrong]:
    """All that can't be; nothing of a plan that can be carried out."""
    found = [*_arms(plan), *_numbers(plan)]
    sending = [arm for arm in plan.arms if arm.template_name]
    if len(sending) < len(plan.arms) and plan.metric != "replied":
        found.append(Wrong("metric", "Who is sent nothing can read and tap nothing: compare by `replied`."))
    if not sending:
        found.append(Wrong("arms", "At least one arm needs a template."))
    harms = [each.harm for each in plan.guardrails]
    if len(set(harms)) < len(harms):
        found.append(Wrong("guardrails", "Each harm is watched once."))
    if any(not 0 < each.alpha <= 0.2 for each in plan.guardrails):
        found.append(Wrong("guardrails", "The alpha of a guardrail is above 0, and at most 0.2."))
    return found


def _arms(plan: ExperimentPlan) -> list[Wrong]:
    found: list[Wrong] = []
    names = [arm.arm for arm in plan.arms]
    if not 2 <= len(names) <= MOST_ARMS:
        found.append(Wrong("arms", f"There are from 2 to {MOST_ARMS} arms."))
    if len(set(names)) < len(names):
        found.append(Wrong("arms", "Each arm has a name of its own."))
    if plan.control not in names:
        found.append(Wrong("control", "The control is one of the arms."))
    if any(arm.weight <= 0 for arm in plan.arms) or sum(arm.weight for arm in plan.arms) != SLOTS:
        found.append(Wrong("arms", "The weights of the arms are above 0, and add up to 1."))
    shown = [(arm.template_name, arm.template_language, repr(arm.components)) for arm in plan.arms]
    if len(set(shown)) < len(shown):
        found.append(Wrong("arms", "Two arms are the same."))
    if len({arm.category for arm in plan.arms if arm.template_name}) > 1:
        found.append(Wrong("arms", "The templates are of one category: Meta treats others otherwise."))
    return found


def _numbers(plan: ExperimentPlan) -> list[Wrong]:
    found: list[Wrong] = []
    if not 0 < plan.alpha <= 0.2:
        found.append(Wrong("alpha", "It is above 0, and at most 0.2."))
    if not 1 <= plan.outcome_hours <= OUTCOME_HOURS_MOST:
        found.append(Wrong("outcome_hours", f"It is from 1 to {OUTCOME_HOURS_MOST}."))
    if not 1 <= plan.days <= DAYS_MOST:
        found.append(Wrong("days", f"It is from 1 to {DAYS_MOST}."))
    if not 0 <= plan.minimum_days <= plan.days:
        found.append(Wrong("minimum_days", "It is at most `days`."))
    if plan.minimum_per_arm < 0:
        found.append(Wrong("minimum_per_arm", "It is not negative."))
    return found


def counted_from(plan: ExperimentPlan, drawn_at: datetime) -> datetime:
    """When a person who was drawn at a moment is counted."""
    return drawn_at + timedelta(hours=plan.outcome_hours) + LATE


def counts(plan: ExperimentPlan, drawn_at: datetime, did_at: datetime) -> bool:
    """Whether what a person did at a moment is within their outcome window."""
    return drawn_at <= did_at < drawn_at + timedelta(hours=plan.outcome_hours)
