"""People who turn out to be one, and the coins that have drawn them; what events say of them."""

from collections import Counter
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from test_decisions_of_experiments import arm, plan
from wabus_events import (
    ContactIdentityChanged,
    MessageAccepted,
    MessageReceived,
    MessageStatusChanged,
    PersonDrawn,
    SendRefused,
    SendRequested,
)
from wabus_events.testing import an
from wabus_insights.experiments.evidence import Count, Stratum, log_evidence, pairs_of
from wabus_insights.experiments.merging import Counted, Person, merged, odds_of, strata_of
from wabus_insights.experiments.plan import TemplateNow, arms_changed, digest_of, without
from wabus_insights.experiments.reading import BecameMessage, Did, Drawn, Same, Whom, facts_of
from wabus_whatsapp.assignment import SLOTS

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


def test_of_two_who_are_one_both_draws_count_if_they_fell_alike() -> None:
    kept, gone = merged(Person("A", (1,)), [Person("A", (2,))])
    assert (kept, gone) == (Person("A", (1, 2)), [None])


def test_who_was_drawn_into_two_arms_is_excluded() -> None:
    kept, gone = merged(Person("A", (1,)), [Person("B", (1,))])
    assert (kept.excluded, gone) == (True, [None])
    again, _ = merged(kept, [Person("A", (1,))])
    assert again.excluded


def test_what_was_counted_stays_and_who_was_not_is_not_counted_any_more() -> None:
    kept, gone = merged(Person("A", (1,), counted=True), [Person("B", (1,)), Person("A", (1,), counted=True)])
    assert kept == Person("A", (1,), counted=True)
    assert gone == [Person("B", (1,), excluded=True), Person("A", (1,), counted=True)]
    late, _ = merged(Person("A", (1,)), [Person("A", (1,), counted=True)])
    assert late.excluded


def test_nine_to_one_falls_alike_on_the_rarer_side_in_one_of_eighty_two_cases() -> None:
    weights = {"A": 9_000, "B": 1_000}
    odds = odds_of([weights, weights])
    assert odds["B"] / sum(odds.values()) == 1 / 82
    falls = Counter(one for one, other in product("AAAAAAAAAB", repeat=2) if one == other)
    assert odds["A"] / odds["B"] == falls["A"] / falls["B"]


def test_whoever_could_only_have_been_drawn_into_one_arm_by_both_draws_says_nothing() -> None:
    found = strata_of({1: {"A": 5_000, "B": 5_000}, 2: {"A": 10_000}}, [Counted("A", (2, 1), 40, 30)])
    assert pairs_of(found, "A", "B") == []


def test_each_weights_have_a_stratum_of_their_own() -> None:
    weights = {1: {"A": 5_000, "B": 5_000}, 2: {"A": 9_000, "B": 1_000}}
    rows = [Counted("A", (1,), 10, 1), Counted("B", (1,), 12, 2), Counted("A", (2,), 90, 9), Counted("A", (2, 1), 1, 0)]
    assert strata_of(weights, rows) == [
        Stratum(weights[1], {"A": Count(10, 1), "B": Count(12, 2)}),
        Stratum({"A": 45_000_000, "B": 5_000_000}, {"A": Count(1, 0)}),
        Stratum(weights[2], {"A": Count(90, 9)}),
    ]


def test_merged_people_counted_by_the_plain_coin_would_be_evidence_of_nothing() -> None:
    """Draws that fell alike: as many as there should be by their own coin, far too few by the plain one."""
    weights = {"A": 9_000, "B": 1_000}
    people = {"A": Count(8_100, 8_100), "B": Count(100, 100)}
    right = pairs_of([Stratum(odds_of([weights, weights]), people)], "A", "B")
    wrong = pairs_of([Stratum(weights, people)], "A", "B")
    assert log_evidence(right) < 0
    assert log_evidence(wrong) > 5


@given(st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 5_000), min_size=1), st.sets(st.sampled_from("ABCD")))
def test_what_stopped_arms_had_is_shared_out_among_the_others(shares: dict[str, int], stopped: set[str]) -> None:
    total = sum(shares.values())
    weights = {name: share * SLOTS // total for name, share in shares.items()}
    weights[min(weights)] += SLOTS - sum(weights.values())
    left = without(weights, stopped)
    if set(weights) <= stopped:
        assert left is None
    else:
        assert left is not None
        assert sum(left.values()) == SLOTS
        assert not left.keys() & stopped


def test_a_template_is_another_once_people_see_another() -> None:
    template = {"body": {"text": "5 % off", "raw": {"x": 1}, "examples": {"1": "a"}}, "status": "APPROVED"}
    same = {"body": {"text": "5 % off", "raw": {"x": 2}, "examples": {}}, "status": "PAUSED", "quality": "RED"}
    assert digest_of(template) == digest_of(same)
    assert digest_of(template) != digest_of({"body": {"text": "6 % off"}})
    known = plan(arm("A", 5_000, template_digest=digest_of(template)), arm("B", 5_000))
    a, b = (each.template_id or "" for each in known.arms)
    fine = TemplateNow("APPROVED", "GREEN", template)
    assert arms_changed(known, {a: fine, b: fine}) == {}
    assert arms_changed(known, {a: fine._replace(template={}), b: fine._replace(status="PAUSED")}) == {
        "A": "template_edited", "B": "template_paused",
    }  # fmt: skip
    assert arms_changed(known, {b: fine._replace(quality="RED")}) == {"B": "template_quality"}
    assert arms_changed(known, {}) == {}
    # While an edit is reviewed nothing is sent; that is not what people have to know first.
    assert arms_changed(known, {a: fine._replace(template={}, status="PENDING")}) == {"A": "template_edited"}
    assert arms_changed(known, {a: fine._replace(template={}, status="DELETED")}) == {"A": "template_deleted"}
    assert arms_changed(known, {b: fine._replace(category="UTILITY")}) == {"B": "template_category"}
    assert arms_changed(known, {b: fine._replace(category="MARKETING")}) == {}


SEND, OTHER = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


def test_who_was_drawn_and_what_became_of_it_is_read_out_of_events() -> None:
    drawn = an(SendRequested, send_id=SEND, experiment_id=OTHER, arm="B", epoch=1, to="491", recipient=None, time=NOW)
    assert list(facts_of(drawn)) == [Drawn(UUID(OTHER), Whom("491", None), "B", 1, NOW, UUID(SEND))]
    assert list(facts_of(drawn.model_copy(update={"experiment_id": None, "arm": None}))) == []
    told = an(PersonDrawn, experiment_id=OTHER, arm="A", epoch=2, to=None, recipient="DE.1", time=NOW)
    assert list(facts_of(told)) == [Drawn(UUID(OTHER), Whom(None, "DE.1"), "A", 2, NOW)]
    refused = an(SendRefused, send_id=SEND, time=NOW)
    assert list(facts_of(refused)) == [Did("failed", NOW, key=UUID(SEND))]
    accepted = list(facts_of(an(MessageAccepted, send_id=SEND, wa_id="491", user_id="DE.1", time=NOW)))
    assert accepted[0] == Same(Whom("491", None), Whom(None, "DE.1"), NOW)
    assert isinstance(accepted[1], BecameMessage)
    held = an(MessageAccepted, send_id=SEND, message_status="held_for_quality_assessment", time=NOW)
    assert Did("held", NOW, key=UUID(SEND)) in facts_of(held)
    assert not [each for each in accepted if isinstance(each, Did)]


def test_a_reply_a_tap_and_a_failure_are_read_out_of_webhooks() -> None:
    replied = an(MessageReceived, contact="491", user_id=None, group_id=None, message_type="button",
                 value={"messages": [{"context": {"id": "wamid.A"}}]}, time=NOW)  # fmt: skip
    signs = [each.sign for each in facts_of(replied) if isinstance(each, Did)]
    assert signs == ["wrote", "tapped"]
    reaction = replied.model_copy(update={"message_type": "reaction"})
    assert [each for each in facts_of(reaction) if isinstance(each, Did)] == []
    failed = an(MessageStatusChanged, contact="491", user_id=None, group_id=None, status="failed",
                error_codes=[131049], value={"statuses": [{"biz_opaque_callback_data": f"w1:{SEND}"}]})  # fmt: skip
    found = [each for each in facts_of(failed) if isinstance(each, Did)]
    assert [(each.sign, each.key) for each in found] == [("failed", UUID(SEND)), ("capped", UUID(SEND))]
    stopped = failed.model_copy(update={"error_codes": [131050]})
    assert [each.sign for each in facts_of(stopped) if isinstance(each, Did)] == ["failed", "stopped"]


def test_a_new_number_is_of_the_same_person() -> None:
    changed = an(ContactIdentityChanged, previous_wa_id="491", previous_user_id="DE.1", current_wa_id="492",
                 current_user_id="DE.2", time=NOW)  # fmt: skip
    assert list(facts_of(changed)) == [Same(Whom("491", "DE.1"), Whom("492", "DE.2"), NOW)]
