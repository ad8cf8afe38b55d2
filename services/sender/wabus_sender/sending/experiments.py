"""What an experiment sends to a person: the template of their arm, filled in, or nothing. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, cast

from wabus_events import ExperimentPlan
from wabus_events.models.insights.experiments import PlannedArm
from wabus_whatsapp.assignment import Slice, arm_of

_PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,39})\s*\}\}")


class Experiment(NamedTuple):
    """An experiment as it is now."""

    experiment_id: str
    waba_id: str
    plan: ExperimentPlan
    salt: str
    epoch: int
    slices: Sequence[Slice]
    ends_at: datetime | None
    stopped_at: datetime | None
    winner: str | None
    decided_at: datetime | None
    stopped_arms: Collection[str] = ()
    """Arms that nobody is drawn into any more for the harm they did."""


class Chosen(NamedTuple):
    """What an experiment has chosen for a person."""

    experiment_id: str
    arm: str
    epoch: int | None
    """By which weights they were drawn just now; None where they were in the arm before."""


Withheld = Literal["experiment", "holdout"]


def chosen(experiment: Experiment, known_arm: str | None, person: str, now: datetime) -> Chosen | None:
    """The arm of a person: the one they are in, or the one that they are drawn into now. None where it has ended.

    Once there is a winner that everybody is to get, it is that.
    """
    if experiment.decided_at:
        winner = experiment.winner if experiment.plan.auto_ramp else None
        return Chosen(experiment.experiment_id, winner, None) if winner else None
    ended = experiment.stopped_at or not experiment.slices or (experiment.ends_at and now >= experiment.ends_at)
    if ended:
        return None
    if known_arm is not None:
        return Chosen(experiment.experiment_id, known_arm, None)
    return Chosen(experiment.experiment_id, arm_of(experiment.slices, experiment.salt, person), experiment.epoch)


def given(experiment: Experiment, arm: str) -> PlannedArm | None:
    """What the people of an arm get; None where theirs and the control are stopped."""
    return experiment.plan.given(arm, experiment.stopped_arms)


def message_of(arm: PlannedArm, values: Mapping[str, str]) -> dict[str, Any]:
    """Meta's message object of an arm, without whom it is to; empty for nothing. Raises `KeyError` of a value."""
    if arm.template_name is None:
        return {}
    template: dict[str, Any] = {"name": arm.template_name, "language": {"code": arm.template_language}}
    if arm.components:
        template["components"] = _filled(arm.components, values)
    return {"type": "template", "template": template}


def missing_values(experiment: Experiment, values: Mapping[str, str]) -> list[str]:
    """Values that any arm needs and that are not there: asked of everybody, whichever arm they are in."""
    needed = {name for arm in experiment.plan.arms for name in _places(arm.components)}
    return sorted(needed - values.keys())


def _places(part: object) -> Iterable[str]:
    match part:
        case str():
            yield from _PLACE.findall(part)
        case dict():
            for each in cast(dict[str, object], part).values():
                yield from _places(each)
        case list():
            for each in cast(list[object], part):
                yield from _places(each)
        case _:
            return


def _filled(part: object, values: Mapping[str, str]) -> Any:
    match part:
        case str():
            return _PLACE.sub(lambda found: values[found[1]], part)
        case dict():
            return {name: _filled(each, values) for name, each in cast(dict[str, object], part).items()}
        case list():
            return [_filled(each, values) for each in cast(list[object], part)]
        case _:
            return part
