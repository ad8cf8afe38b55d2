"""The sums that make what some days cost have each of these days once, and no day that has changed since."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.costs.sums import Span, pieces, sums_with

TODAY = date(2028, 3, 2)
days = st.integers(-430, 1).map(lambda offset: TODAY + timedelta(days=offset))
spans = st.tuples(days, days).map(lambda ends: Span(*sorted(ends)))
changes = st.one_of(days.map(lambda day: Span(day, day)), days.flatmap(lambda day: st.sampled_from(sums_with(day))))
unsettled = st.lists(changes, max_size=9)


def holds(span: Span, day: date) -> bool:
    return span.first <= day <= span.last


@given(spans, unsettled)
def test_each_day_asked_for_is_summed_once_and_by_no_sum_of_what_it_was(wanted: Span, changed: list[Span]) -> None:
    found = pieces(wanted, changed)
    for offset in range(-530, 100):
        day = TODAY + timedelta(days=offset)
        assert sum(piece.sign for piece in found if holds(piece.span, day)) == holds(wanted, day)
    sums = [piece.span for piece in found if piece.span.days > 1]
    assert not [one for one in sums for other in changed if holds(one, other.first) and holds(one, other.last)]


@given(spans)
def test_little_is_read_of_a_long_time(wanted: Span) -> None:
    found = pieces(wanted, ())
    assert len([piece for piece in found if piece.span.days == 1]) <= 2 * 3
    assert len(found) <= 5 + 2 * 10


@given(days)
def test_a_day_is_of_a_sum_of_each_size_and_each_is_inside_the_larger(day: date) -> None:
    quarter, month, part = sums_with(day)
    assert holds(part, day)
    assert [holds(larger, end) for larger, smaller in ((quarter, month), (month, part)) for end in smaller] == [
        True
    ] * 4
    assert [quarter.days // 30, month.days // 28, part.days // 3] == [3, 1, part.days // 3]
    assert 1 < part.days <= 6
