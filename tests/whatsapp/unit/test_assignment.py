"""Into which arm of an experiment a person is drawn, and who is held out."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_whatsapp.assignment import SLOTS, Slice, arm_of, is_held_out, reweighted, slices_of, slot_of, weights_of

ARMS = ("A", "B", "C", "D")


@st.composite
def weights(draw: st.DrawFn) -> dict[str, int]:
    cuts = sorted(draw(st.lists(st.integers(0, SLOTS), min_size=len(ARMS) - 1, max_size=len(ARMS) - 1)))
    edges = [0, *cuts, SLOTS]
    return {arm: after - before for arm, before, after in zip(ARMS, edges, edges[1:], strict=False)}


def arms_by_slot(slices: tuple[Slice, ...]) -> list[str]:
    found = [""] * SLOTS
    for begin, end, arm in slices:
        found[begin:end] = [arm] * (end - begin)
    return found


@given(weights())
def test_every_slot_is_of_one_arm_and_each_arm_has_its_weight(planned: dict[str, int]) -> None:
    slices = slices_of(planned)
    assert [each.begin for each in slices[1:]] == [each.end for each in slices[:-1]]
    assert (slices[0].begin, slices[-1].end) == (0, SLOTS)
    assert weights_of(slices) == {arm: weight for arm, weight in planned.items() if weight}


@given(st.lists(weights(), min_size=2, max_size=5))
def test_new_weights_move_nobody_between_arms_that_need_not_give_or_take(changes: list[dict[str, int]]) -> None:
    slices = slices_of(changes[0])
    for before, after in pairwise(changes):
        was, slices = arms_by_slot(slices), reweighted(slices, after)
        now = arms_by_slot(slices)
        moved = [(one, other) for one, other in zip(was, now, strict=True) if one != other]
        assert weights_of(slices) == {arm: weight for arm, weight in after.items() if weight}
        assert len(moved) == sum(max(0, before[arm] - after[arm]) for arm in ARMS)
        assert {one for one, _ in moved} <= {arm for arm in ARMS if after[arm] < before[arm]}
        assert {other for _, other in moved} <= {arm for arm in ARMS if after[arm] > before[arm]}


def test_from_half_and_half_to_ninety_and_ten_nobody_goes_from_the_larger_arm_to_the_smaller() -> None:
    half = slices_of({"A": 5_000, "B": 5_000})
    most = reweighted(half, {"A": 9_000, "B": 1_000})
    people = [f"1650555{number:04}" for number in range(2_000)]
    went = {(arm_of(half, "salt", each), arm_of(most, "salt", each)) for each in people}
    assert went == {("A", "A"), ("B", "A"), ("B", "B")}


def test_people_fall_evenly_and_differently_for_each_experiment() -> None:
    slices = slices_of({"A": 5_000, "B": 5_000})
    people = [f"1650555{number:05}" for number in range(20_000)]
    one = [arm_of(slices, "one", each) for each in people]
    other = [arm_of(slices, "other", each) for each in people]
    sure = 5 * math.sqrt(20_000) / 2  # five standard deviations
    assert abs(one.count("A") - 10_000) < sure
    assert abs(sum(a == b for a, b in zip(one, other, strict=True)) - 10_000) < sure


def test_a_hash_is_the_same_on_every_machine() -> None:
    # printf 'salt\x1f16505551234' | sha256sum: its first eight bytes, of 2**64, times 10,000.
    assert slot_of("salt", "16505551234") == 0xA4671A4C6213A496 * SLOTS >> 64 == 6_421


def test_who_is_held_out_stays_so_when_the_share_grows_and_gets_what_they_need() -> None:
    people = [f"1650555{number:04}" for number in range(5_000)]
    few = {each for each in people if is_held_out(500, "salt", each, "marketing")}
    more = {each for each in people if is_held_out(1_000, "salt", each, "marketing")}
    assert few < more
    assert 0.03 < len(few) / len(people) < 0.07
    assert not any(is_held_out(SLOTS, "salt", each, lane) for each in people for lane in ("authentication", "utility"))
    assert not any(is_held_out(0, "salt", each, "marketing") for each in people)


@pytest.mark.parametrize("wrong", [{}, {"A": 9_999}, {"A": 10_001, "B": -1}, {"A": 6_000, "B": 6_000}])
def test_weights_that_do_not_add_up_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="add up"):
        slices_of(wrong)
