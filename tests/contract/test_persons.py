"""What is kept for ever was looked at, field by field: none can come to be there by itself that names somebody."""

from pathlib import Path

import pytest
from pydantic import BaseModel
from wabus_contract.persons import FREE, MAY, fields_of, kept_for_ever
from wabus_contract.schemas import models_in
from wabus_events import EVENTS, TOPICS
from wabus_events.models.topics import PERSONAL_RETENTION

PRIVACY = Path(__file__).parents[2] / "docs/privacy.md"
MODELS = sorted(kept_for_ever(), key=lambda model: model.__name__)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nobody_is_kept_for_ever_by_a_field_that_nobody_thought_about(model: type[BaseModel]) -> None:
    free = FREE.get(model.__name__, "").split()
    may = [field for of, _, field in (name.partition(".") for name in MAY) if of == model.__name__]
    assert len(free + may) == len(set(free + may)), f"{model.__name__} has a field that is said to be both, or twice"
    assert set(free + may) == fields_of(model), (
        f"{model.__name__}: wabus_contract/persons.py must say of each field, and of no other, whether it is free of "
        "persons' data. What is about a person belongs where it is gone after 30 days."
    )


def test_nothing_is_said_of_models_that_are_no_more() -> None:
    assert {*FREE, *(name.partition(".")[0] for name in MAY)} <= {model.__name__ for model in MODELS}


def test_whatever_else_may_be_about_people_is_gone_after_thirty_days() -> None:
    assert PERSONAL_RETENTION.days == 30
    assert {topic.retention for topic in TOPICS} == {None, PERSONAL_RETENTION}


def test_no_model_is_both_kept_for_ever_and_part_of_what_is_about_people() -> None:
    personal = {model for kind in EVENTS.values() if kind.topic.retention for model in models_in(kind)}
    assert {model.__name__ for model in personal & set(MODELS)} == set()


@pytest.mark.parametrize("reason", sorted(set(MAY.values())))
def test_operators_are_told_what_may_be_about_people_and_why_it_is_kept(reason: str) -> None:
    rows = [line for line in PRIVACY.read_text(encoding="utf-8").splitlines() if f"| {reason}." in line]
    assert len(rows) == 1, f"docs/privacy.md should have one row for: {reason}"
    for field in (field for field, why in MAY.items() if why == reason):
        assert f"`{field}`" in rows[0], f"docs/privacy.md should name {field}"
