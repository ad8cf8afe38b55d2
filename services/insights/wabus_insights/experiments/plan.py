"""Whether a plan can be carried out, and what its times are. A plan is fixed as a whole: its digest says so."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

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
HARM_LATE = timedelta(minutes=5)
"""So long after that: what was told late may come until then."""

SENDABLE = frozenset(("APPROVED", "FLAGGED"))
"""States of a template in which Meta sends it."""
LOW_QUALITY = frozenset(("YELLOW", "RED"))
_SHOWN = ("header", "body", "footer", "buttons", "carousel", "limited_time_offer", "parameter_format")
_NOT_SHOWN = frozenset(("raw", "examples", "example"))


class Wrong(NamedTuple):
    """What of a plan can't be."""

    field: str
    message: str


def problems(plan: ExperimentPlan) -> list[Wrong]:
    """All that can't be; nothing of a plan that can be carried out."""
    found = [*_arms(plan), *_numbers(plan)]
    sending = [arm for arm in plan.arms if arm.template_name]
    if any(_unstorable(arm.components) for arm in plan.arms):
        found.append(Wrong("arms", "The components have something in them that can't be kept."))
    if _unstorable([plan.name, plan.audience]):
        found.append(Wrong("name", "The name or the audience has something in it that can't be kept."))
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
    """Whether what a person did at a moment is within their outcome window. Meta tells moments in whole seconds."""
    return drawn_at.replace(microsecond=0) <= did_at < drawn_at + timedelta(hours=plan.outcome_hours)


class TemplateNow(NamedTuple):
    """A template as it is now."""

    status: str
    quality: str | None
    template: Mapping[str, Any]
    category: str | None = None


def digest_of(template: Mapping[str, Any]) -> str:
    """The SHA-256 of what people see of a template, in hex; its status, its quality and its examples are not in it."""
    shown = {name: _shown(template.get(name)) for name in _SHOWN}
    plain = json.dumps(shown, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(plain.encode(errors="surrogatepass")).hexdigest()


def arms_changed(plan: ExperimentPlan, templates: Mapping[str, TemplateNow]) -> dict[str, str]:
    """Arms whose templates, by Meta's ids, are not any more what was planned, and why."""
    found: dict[str, str] = {}
    for arm in plan.arms:
        now = templates.get(arm.template_id or "")
        if now is None:
            continue
        if now.status == "DELETED":
            found[arm.arm] = "template_deleted"
        elif arm.template_digest and digest_of(now.template) != arm.template_digest:
            found[arm.arm] = "template_edited"  # before its status, for while an edit is reviewed nothing is sent
        elif now.status not in SENDABLE:
            found[arm.arm] = "template_paused"
        elif arm.category and now.category and now.category != arm.category:
            found[arm.arm] = "template_category"
        elif now.quality in LOW_QUALITY:
            found[arm.arm] = "template_quality"
    return found


def in_slots(shares: Mapping[str, float]) -> dict[str, int] | None:
    """Shares in hundredths of a percent that add up exactly; None unless the shares add up to 1, as floats do.

    Thirds can't be had exactly: what is missing goes to those that lost most by rounding down.

    >>> in_slots({"A": 1 / 3, "B": 1 / 3, "C": 1 / 3})
    {'A': 3334, 'B': 3333, 'C': 3333}
    """
    if not math.isclose(math.fsum(shares.values()), 1, abs_tol=0.000_5) or min(shares.values()) < 0:
        return None
    exact = {arm: share * SLOTS for arm, share in shares.items()}
    found = {arm: math.floor(each + 1e-6) for arm, each in exact.items()}
    ranked = sorted(shares, key=lambda arm: (found[arm] - exact[arm], arm))
    rest = SLOTS - sum(found.values())
    for place in range(abs(rest)):
        arm = ranked[place % len(ranked)] if rest > 0 else max(found, key=lambda arm: (found[arm], arm))
        found[arm] += 1 if rest > 0 else -1
    return found


def without(weights: Mapping[str, int], stopped: Collection[str]) -> dict[str, int] | None:
    """The weights when nobody is drawn into some arms any more: what they had is shared out; None if none is left."""
    left = {arm: weight for arm, weight in weights.items() if weight and arm not in stopped}
    total = sum(left.values())
    if not total:
        return None
    shares = {arm: weight * SLOTS // total for arm, weight in left.items()}
    for arm in sorted(left, key=lambda arm: (-(left[arm] * SLOTS % total), arm))[: SLOTS - sum(shares.values())]:
        shares[arm] += 1
    return shares


def _shown(part: object) -> object:
    match part:
        case dict():
            members = cast(dict[str, object], part)
            return {name: _shown(each) for name, each in members.items() if name not in _NOT_SHOWN}
        case list():
            return [_shown(each) for each in cast(list[object], part)]
        case _:
            return part


def _unstorable(part: object) -> bool:
    """Whether JSON has something in it that tables can't hold: NUL, half a character, a number out of range."""
    match part:
        case str():
            return "\x00" in part or any("\ud800" <= character <= "\udfff" for character in part)
        case bool() | None:
            return False
        case int():
            return not -(2**63) <= part < 2**63
        case float():
            return part != part or part in (float("inf"), float("-inf"))
        case dict():
            members = cast(dict[str, object], part)
            return any(_unstorable(name) or _unstorable(each) for name, each in members.items())
        case list():
            return any(map(_unstorable, cast(list[object], part)))
        case _:
            return True
