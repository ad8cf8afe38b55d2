"""How the simulated Meta counts: a number's second, a pair's burst and what it owes, and fates that can be repeated."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from simulated_meta.sending.fates import SHARES, Chaos, fate
from simulated_meta.sending.limits import Pair, Throughput, level


def taken(*moments: float) -> list[bool]:
    pair = Pair()
    return [pair.takes(moment) for moment in moments]


def test_one_message_in_six_seconds_goes_for_ever() -> None:
    assert all(taken(*(6.0 * each for each in range(500))))


def test_forty_five_are_lent_and_the_next_goes_when_they_are_paid() -> None:
    assert taken(*[0.0] * 46) == [True] * 45 + [False]
    assert taken(*[0.0] * 45, 269.9, 270.0) == [True] * 45 + [False, True]


def test_a_burst_of_twenty_is_owed_for_two_minutes() -> None:
    assert taken(*[0.0] * 20, 6.0, 119.9, 120.0)[20:] == [False, False, True]


@settings(max_examples=examples(200))
@given(st.lists(st.floats(0, 400), max_size=200))
def test_nobody_ever_gets_more_than_a_message_in_six_seconds_and_a_burst(moments: list[float]) -> None:
    moments.sort()
    pair = Pair()
    went = [moment for moment in moments if pair.takes(moment)]

    for at, first in enumerate(went):
        for count, last in enumerate(went[at:], 1):
            assert count <= 45 + (last - first) / 6 + 1


@settings(max_examples=examples(200))
@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=300))
def test_no_second_has_more_than_the_level_unless_people_write(calls: list[tuple[float, bool]]) -> None:
    throughput, went, refused = Throughput(), list[float](), 0
    for moment, comes_in in sorted(calls):
        within = [each for each in went if each > moment - 1]
        if comes_in:
            throughput.passed(moment)
            went.append(moment)
        elif throughput.has_room(moment, 20):
            assert len(within) < 20
            throughput.passed(moment)
            went.append(moment)
        else:
            assert len(within) >= 20
            refused += 1
    assert throughput.violations == refused


def test_levels() -> None:
    assert [level("STANDARD", False), level("HIGH", False), level("HIGH", True)] == [80, 1000, 20]


@pytest.mark.parametrize("share", SHARES)
def test_the_same_seed_does_the_same_to_the_same_messages(share: str) -> None:
    chaos, other = Chaos().changed({share: 0.3}), Chaos().changed({share: 0.3, "seed": 2})

    first = [fate(chaos, n, is_template=True, is_marketing=True) for n in range(1000)]

    assert first == [fate(chaos, n, is_template=True, is_marketing=True) for n in range(1000)]
    assert first != [fate(other, n, is_template=True, is_marketing=True) for n in range(1000)]
    plain = fate(Chaos(), 1, is_template=True, is_marketing=True)
    assert 200 < sum(each != plain for each in first) < 400


@settings(max_examples=examples(300))
@given(st.integers(1, 10**6), st.dictionaries(st.sampled_from(SHARES), st.floats(0, 1)))
def test_whatever_happens_each_message_is_told_of_and_ends_somewhere(n: int, shares: dict[str, float]) -> None:
    found = fate(Chaos().changed(shares), n, is_template=True, is_marketing=True)

    states = {step.state for step in found.steps}
    assert states & {"failed", "delivered", "read"}
    assert [step.after for step in found.steps] == sorted(step.after for step in found.steps)


@pytest.mark.parametrize("wrong", [{"turned": 2}, {"turned": "often"}, {"delays": [1]}, {"sometimes": 1}])
def test_an_order_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"share|delays|sometimes"):
        Chaos().changed(wrong)
