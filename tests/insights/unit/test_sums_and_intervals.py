"""Sums over any days are those of months and days, and intervals hold what they promise."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.intervals import difference, wilson
from wabus_insights.performance.spans import Span, spans_of
from wabus_insights.performance.summary import comparisons

TODAY = date(2026, 11, 15)
days = st.integers(-430, 1).map(lambda offset: TODAY + timedelta(days=offset))


def inside(span: Span | None, day: date) -> bool:
    return span is not None and span.first <= day <= span.last


@given(days, days)
def test_each_day_asked_for_is_summed_once_and_no_other(one: date, other: date) -> None:
    first, last = min(one, other), max(one, other)
    spans = spans_of(first, last, TODAY)
    read = 0
    for offset in range(-500, 2):
        day = TODAY + timedelta(days=offset)
        added = [inside(spans.months, day.replace(day=1)), *(inside(span, day) for span in spans.added)]
        removed = [inside(span, day) for span in spans.removed]
        read += sum(added[1:]) + sum(removed)
        assert sum(added) - sum(removed) == (first <= day <= last)
    assert len(spans.added) <= 2
    assert len(spans.removed) <= 2
    assert read <= 2 * 16, "days are read one by one where months would do"


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_intervals_contain_what_was_seen_and_stay_possible(part: int, rest: int, before: int, rest_before: int) -> None:
    found = difference(part, part + rest, before, before + rest_before)
    if found is None:
        assert not part + rest or not before + rest_before
        return
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    back = difference(before, before + rest_before, part, part + rest)
    assert back is not None
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090), ((10, 10, 0, 20), 0.6791, 1.0)],
)
def test_differences_are_those_of_newcombes_paper(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = difference(*counts)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_of_little_nothing_is_claimed() -> None:
    empty: dict[str, int] = dict.fromkeys(COUNTS, 0)
    few = empty | {"accepted": 3, "sent": 3, "delivered": 3, "read": 2}
    found = comparisons([(1, few), (2, few | {"read": 3}), (3, empty), (0, few)])
    assert {(each.version, each.before) for each in found} == {(2, 1)}
    assert {each.verdict for each in found} == {"no difference shown"}
    undelivered = empty | {"accepted": 3, "sent": 3}
    assert "too few" in {each.verdict for each in comparisons([(1, few), (2, undelivered)])}
    assert wilson(0, 0) is None
