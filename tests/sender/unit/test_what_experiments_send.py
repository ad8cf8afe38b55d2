"""What an experiment sends to a person: the template of their arm, the same one again, or nothing."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from wabus_events.models.insights.experiments import ExperimentPlan, PlannedArm
from wabus_sender.sending.experiments import Chosen, Experiment, chosen, given, message_of, missing_values
from wabus_whatsapp.assignment import slices_of

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
PARTS = [
    {"type": "body", "parameters": [{"type": "text", "text": "{{ first_name }}"}, {"type": "text", "text": "5 %"}]}
]


@dataclass
class Plans:
    """A plan of which a test changes a part."""

    auto_ramp: bool = False

    def plan(self) -> ExperimentPlan:
        return ExperimentPlan(
            name="Offer", waba_id="1", control="A", metric="replied", outcome_hours=72, alpha=0.05, minimum_days=7,
            minimum_per_arm=100, days=30, auto_ramp=self.auto_ramp,
            arms=[
                PlannedArm(arm="A", weight=5_000, template_name="plain", template_language="de"),
                PlannedArm(arm="B", weight=4_000, template_name="named", template_language="de", components=PARTS),
                PlannedArm(arm="none", weight=1_000),
            ],
        )  # fmt: skip


def experiment(**changes: object) -> Experiment:
    weights = {"A": 5_000, "B": 4_000, "none": 1_000}
    made = Experiment(
        "e1", "1", Plans().plan(), "salt", 3, slices_of(weights), NOW + timedelta(days=30), None, None, None
    )
    return made._replace(**changes)


def test_a_new_person_is_drawn_by_the_weights_of_now_and_the_same_again() -> None:
    found = chosen(experiment(), None, "4915123456789", NOW)
    assert found == chosen(experiment(), None, "4915123456789", NOW)
    assert found is not None
    assert found.epoch == 3
    assert {each.arm for number in range(200) if (each := chosen(experiment(), None, str(number), NOW))} == {
        "A", "B", "none",
    }  # fmt: skip


def test_who_is_in_an_arm_stays_in_it_though_nobody_is_drawn_into_it_any_more() -> None:
    only_a = slices_of({"A": 10_000})
    assert chosen(experiment(slices=only_a), "B", "4915123456789", NOW) == Chosen("e1", "B", None)


@pytest.mark.parametrize(
    "ended",
    [
        {"slices": ()},
        {"stopped_at": NOW},
        {"ends_at": NOW},
        {"decided_at": NOW, "winner": "B"},
        {"decided_at": NOW, "winner": None},
    ],
)
def test_before_it_begins_and_after_it_has_ended_it_chooses_nothing(ended: dict[str, object]) -> None:
    assert chosen(experiment(**ended), None, "4915123456789", NOW) is None


def test_once_there_is_a_winner_that_all_are_to_get_all_get_it() -> None:
    plan = Plans(auto_ramp=True).plan()
    found = experiment(plan=plan, decided_at=NOW, winner="B")
    assert chosen(found, "A", "4915123456789", NOW) == Chosen("e1", "B", None)
    assert chosen(experiment(plan=plan, decided_at=NOW), "A", "4915123456789", NOW) is None


def told(experiment: Experiment, arm: str) -> PlannedArm:
    found = given(experiment, arm)
    assert found
    return found


def test_nobody_gets_once_more_what_was_stopped_for_its_harm_but_what_the_control_gets() -> None:
    stopped = experiment(stopped_arms=["B"], slices=slices_of({"A": 9_000, "none": 1_000}))
    assert chosen(stopped, "B", "4915123456789", NOW) == Chosen("e1", "B", None)  # and is counted there
    assert told(stopped, "B").template_name == "plain"
    assert told(stopped, "none").template_name is None
    assert given(experiment(stopped_arms=["B", "A"]), "B") is None
    assert told(experiment(stopped_arms=["A"]), "B").template_name == "named"


def test_texts_are_filled_in_with_what_is_given_of_the_person() -> None:
    message = message_of(told(experiment(), "B"), {"first_name": "Anna"})
    texts = [each["text"] for each in message["template"]["components"][0]["parameters"]]
    assert (message["type"], message["template"]["name"], texts) == ("template", "named", ["Anna", "5 %"])
    assert message_of(told(experiment(), "none"), {}) == {}


def test_values_are_asked_of_everybody_whichever_arm_they_are_in() -> None:
    assert missing_values(experiment(), {}) == ["first_name"]
    assert missing_values(experiment(), {"first_name": "Anna", "more": ""}) == []
