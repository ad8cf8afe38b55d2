"""Intervals that hold at every look, with few people and with many, and what describes beside them."""

import math
from collections.abc import Sequence
from itertools import product
from random import Random

import pytest
from coins import counted, drifting
from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.experiments.confidence import NOTHING_KNOWN, TILTS, difference, rate_interval
from wabus_insights.experiments.description import chance_to_be_better
from wabus_insights.experiments.evidence import Count, Pair


def mixture(trials: int, successes: int, rate: float) -> float:
    won = [tilt * successes - trials * math.log1p(rate * math.expm1(tilt)) for tilt in TILTS]
    return sum(math.exp(min(each, 700)) for each in won) / len(won)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
def test_the_bet_against_the_mean_rate_is_fair_however_rates_drift(rates: Sequence[float]) -> None:
    mean_rate = sum(rates) / len(rates)
    mean = 0.0
    for did in product((False, True), repeat=len(rates)):
        chance = math.prod(rate if each else 1 - rate for rate, each in zip(rates, did, strict=True))
        if chance:
            mean += chance * mixture(len(rates), sum(did), mean_rate)
    assert mean <= 1 + 1e-9


@given(st.integers(0, 400), st.data())
def test_an_interval_has_the_share_that_was_seen_in_it(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = rate_interval(trials, successes, 0.05)
    assert 0 <= low <= (successes / trials if trials else 0.5) <= high <= 1
    for edge in (low, high):
        if 0 < edge < 1:
            assert mixture(trials, successes, edge) == pytest.approx(20, rel=1e-3)


def test_thirty_people_an_arm_of_whom_none_and_six_did_it_have_an_exact_and_wide_interval() -> None:
    found = difference([Pair(1, 1, Count(30, 0), Count(30, 6))], 0.05)
    assert found.how == "exact"
    assert found.estimate == pytest.approx(0.2)
    assert found.low < 0 < found.high


@pytest.mark.parametrize(
    "pair",
    [
        Pair(1, 1, Count(0, 0), Count(1, 1)),
        Pair(1, 1, Count(5, 0), Count(0, 0)),
        Pair(1, 1, Count(500, 0), Count(500, 0)),
        Pair(9_999, 1, Count(500, 500), Count(1, 0)),
    ],
)
def test_arms_with_nobody_or_where_all_do_the_same_have_an_interval(pair: Pair) -> None:
    found = difference([pair], 0.05)
    assert -1 <= found.low <= found.high <= 1
    assert found.how == "exact"


def test_with_nobody_nothing_is_known() -> None:
    assert difference([], 0.05) == NOTHING_KNOWN
    assert chance_to_be_better([]) is None


def test_a_change_of_weights_while_rates_rise_makes_no_difference_where_there_is_none() -> None:
    """Added up, B would seem half as good: most of its people came when few did it."""
    early = Pair(1, 9, Count(1_000, 50), Count(9_000, 450))
    late = Pair(9, 1, Count(9_000, 3_600), Count(1_000, 400))
    found = difference([early, late], 0.05)
    assert found.estimate == pytest.approx(0, abs=1e-9)
    assert found.low < 0 < found.high


def test_the_interval_has_the_effect_in_it_at_all_looks_of_nearly_all_runs() -> None:
    random, missed, runs = Random(6), 0, 60
    for _ in range(runs):
        pairs = list(counted(drifting(random, 3_000, 0.05, 0.6, effect=0.05)))
        found = (difference([pair], 0.05) for pair in pairs[49::50])
        missed += any(not each.low <= 0.05 <= each.high for each in found)
    # With a chance of 5 % each, more than 9 of 60 come in one of a thousand.
    assert missed <= 9


def test_the_chance_to_be_better_is_that_of_the_posteriors() -> None:
    # Beta(2, 2) against Beta(1, 1), by hand: the mean of Beta(2, 2).
    assert chance_to_be_better([Pair(1, 1, Count(0, 0), Count(2, 1))]) == pytest.approx(0.5, abs=1e-3)
    # Beta(2, 1) is above an even number with a chance of 2/3.
    assert chance_to_be_better([Pair(1, 1, Count(0, 0), Count(1, 1))]) == pytest.approx(2 / 3, abs=1e-2)
    assert (chance_to_be_better([Pair(1, 1, Count(10_000, 1_000), Count(10_000, 1_300))]) or 0) > 0.999
