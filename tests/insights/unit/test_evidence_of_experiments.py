"""The bet on the coin: exact for any people, whatever they do, and whoever looks whenever."""

import math
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from coins import counted, decimal_log_evidence, drifting, won
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_insights.experiments.evidence import (
    WAGERS,
    Count,
    Pair,
    Stratum,
    Wager,
    e_bh,
    log_evidence,
    p_value,
    pairs_of,
    threshold,
)


def mean_over_assignments(wager: Wager, did: int, did_not: int, control_odds: int, arm_odds: int) -> Fraction:
    """The mean over all ways in which the coin may fall for people who do what they do whatever the arm."""
    share = Fraction(arm_odds, control_odds + arm_odds)
    mean = Fraction(0)
    for drawn_did, drawn_did_not in product(range(did + 1), range(did_not + 1)):
        drawn = drawn_did + drawn_did_not
        chance = share**drawn * (1 - share) ** (did + did_not - drawn)
        ways = math.comb(did, drawn_did) * math.comb(did_not, drawn_did_not)
        control = Count(did + did_not - drawn, did - drawn_did)
        pair = Pair(control_odds, arm_odds, control, Count(drawn, drawn_did))
        mean += ways * chance * won(wager, [pair])
    return mean


@pytest.mark.parametrize(("did", "did_not", "odds"), [(1, 4, (1, 1)), (2, 3, (9, 1)), (0, 3, (1, 2)), (3, 0, (1, 1))])
def test_the_mean_of_the_evidence_over_all_assignments_is_exactly_one(
    did: int, did_not: int, odds: tuple[int, int]
) -> None:
    """Of each wager, and so of the evidence, which is their mean by what is staked on them."""
    assert {mean_over_assignments(wager, did, did_not, *odds) for wager in WAGERS[::7]} == {1}


@given(
    st.lists(st.booleans(), min_size=1, max_size=4),
    st.lists(st.booleans(), max_size=2),
    st.integers(1, 5),
    st.sampled_from(WAGERS),
)
@settings(max_examples=examples(40))
def test_weights_that_follow_what_was_seen_and_people_who_were_two_leave_the_mean_at_one(
    did: list[bool], of_two: list[bool], odds: int, wager: Wager
) -> None:
    """After each person of the first epoch who did it in the arm, new weights; then people who were drawn twice."""
    mean = Fraction(0)
    for drawn in product((False, True), repeat=len(did)):
        chance = Fraction(1)
        strata: dict[tuple[int, int], list[list[int]]] = {}
        weights = (1, odds)
        for into, success in zip(drawn, did, strict=True):
            chance *= Fraction(weights[into], sum(weights))
            count = strata.setdefault(weights, [[0, 0], [0, 0]])[into]
            count[0] += 1
            count[1] += success
            if into and success:
                weights = (weights[0] + 1, odds)
        for draws in product((False, True), repeat=2 * len(of_two)):
            chance_of_draws = Fraction(1)
            for into in draws:
                chance_of_draws *= Fraction(weights[into], sum(weights))
            both = {key: [list(count) for count in counts] for key, counts in strata.items()}
            for place, success in enumerate(of_two):
                one, other = draws[2 * place], draws[2 * place + 1]
                if one == other:  # else the person is excluded
                    squared = (weights[0] ** 2, weights[1] ** 2)
                    count = both.setdefault(squared, [[0, 0], [0, 0]])[one]
                    count[0] += 1
                    count[1] += success
            pairs = [Pair(*key, Count(*counts[0]), Count(*counts[1])) for key, counts in both.items()]
            mean += chance * chance_of_draws * won(wager, pairs)
    assert mean == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), *[st.integers(0, 40)] * 4), min_size=1, max_size=3))
@settings(max_examples=examples(60))
def test_the_evidence_is_what_its_definition_says(strata: list[tuple[int, ...]]) -> None:
    pairs = [Pair(a, b, Count(s + f, s), Count(t + g, t)) for a, b, s, f, t, g in strata]
    assert log_evidence(pairs) == pytest.approx(float(decimal_log_evidence(pairs)), abs=1e-11)


@pytest.mark.parametrize(
    "pair",
    [
        Pair(1, 1, Count(4_000, 400), Count(4_010, 520)),
        Pair(9, 1, Count(90_000, 3_600), Count(10_000, 380)),
        Pair(1, 1, Count(1_000_000, 1), Count(1_000_000, 0)),
        Pair(1, 1, Count(300_000, 0), Count(300_000, 300_000)),
    ],
)
def test_the_logarithm_of_the_evidence_has_ten_right_digits_for_many_people(pair: Pair) -> None:
    exact = decimal_log_evidence([pair])
    assert abs(log_evidence([pair]) - float(exact)) <= max(1e-9, abs(float(exact)) * 1e-14)


def test_with_nobody_there_is_no_evidence() -> None:
    assert log_evidence([]) == 0
    assert p_value(0.0) == 1


def test_people_who_could_be_drawn_into_one_arm_only_say_nothing() -> None:
    stopped = Stratum({"A": 10_000, "B": 0}, {"A": Count(500, 400)})
    before = Stratum({"A": 5_000, "B": 5_000}, {"A": Count(90, 9), "B": Count(80, 8)})
    assert pairs_of([stopped, before], "A", "B") == pairs_of([before], "A", "B")


def test_the_sides_are_alike() -> None:
    one, other = Count(1_000, 100), Count(1_000, 150)
    assert log_evidence([Pair(1, 1, one, other)], "more") > threshold(0.05)
    assert log_evidence([Pair(1, 1, one, other)], "less") < 0
    assert len(WAGERS) == 14 * 48


def test_of_ten_arms_alike_none_is_shown_by_one_lucky_arm() -> None:
    evidence = {f"B{number}": 0.0 for number in range(9)} | {"C": math.log(25)}
    assert e_bh(evidence, 0.05) == frozenset()
    assert e_bh({"C": math.log(25)}, 0.05) == {"C"}
    assert e_bh({"B": math.log(21), "C": math.log(45)}, 0.05) == {"B", "C"}


def test_people_whose_rates_drift_decide_nothing_more_often_than_promised_at_a_look_after_each() -> None:
    random, runs, people = Random(4), 60, 400
    decided = 0
    for _ in range(runs):
        pairs = list(counted(drifting(random, people, 0.02, 0.9)))
        decided += any(log_evidence([pair]) >= threshold(0.05) for pair in pairs[::4])
    # With a chance of 5 % each, more than 9 of 60 come in one of a thousand.
    assert decided <= 9


def test_a_difference_is_shown_to_most_who_wait_for_it() -> None:
    random, shown = Random(5), 0
    for _ in range(40):
        *_, last = counted(drifting(random, 4_000, 0.05, 0.3, effect=0.06))
        shown += log_evidence([last]) >= threshold(0.05)
    assert shown >= 35
