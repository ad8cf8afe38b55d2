"""What has changed since the days before is said where there is enough to say it of, and only there."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.performance.changes import Spent, costs, count, days_before, earlier, rate

TODAY = date(2026, 12, 1)
days = st.integers(0, 450).map(lambda past: TODAY - timedelta(days=past))


@given(days, days)
def test_the_days_before_are_as_many_and_end_where_the_others_begin(one: date, other: date) -> None:
    first, last = min(one, other), max(one, other)
    before, until = days_before(first, last)
    assert until + timedelta(days=1) == first
    assert until - before == last - first


@pytest.mark.parametrize(
    ("given", "comparable", "said"),
    [
        ({}, True, "Compared with the 30 days before, 3 October 2026 to 1 November 2026. Today is not over"),
        ({"last": date(2026, 11, 26)}, True, "What was sent in the last week is still being read"),
        ({"last": date(2026, 11, 20)}, True, "Compared with the 30 days before"),
        ({"first": TODAY}, True, "Compared with the day before, 30 November 2026."),
        ({"counted_from": date(2026, 10, 3)}, True, "Compared"),
        ({"counted_from": date(2026, 10, 4)}, False, "messages are counted only since 4 October 2026."),
        ({"counted_from": None}, False, "nothing was counted yet."),
        ({"is_counted_anew": True}, False, "messages are being counted anew"),
        ({"accepted": 99}, False, "fewer than 100 messages were sent then"),
    ],
)
def test_days_that_were_not_counted_whole_or_are_of_little_are_not_compared_with(
    given: dict[str, Any], comparable: bool, said: str
) -> None:
    last = given.get("last", TODAY)
    usual: dict[str, Any] = {"first": last - timedelta(days=29), "accepted": 100, "counted_from": date(2026, 1, 1)}
    found = earlier(**usual | {"last": last} | given, today=TODAY)
    assert found.comparable == comparable
    assert said in found.sentence
    assert found.growing == (last >= date(2026, 11, 24))
    assert ("still being read" in found.sentence) == (found.growing and comparable)


@pytest.mark.parametrize(
    ("now", "then", "sent_then", "change", "verdict"),
    [
        (112, 100, 101, 0.12, "more"), (50, 200, 200, -0.75, "less"), (0, 100, 100, -1.0, "less"),
        (100, 100, 100, 0.0, "no difference shown"), (5_000, 99, 400, None, "too few"), (7, 0, 0, None, "new"),
    ],
)  # fmt: skip
def test_a_count_is_told_beside_what_it_was(
    now: int, then: int, sent_then: int, change: float | None, verdict: str
) -> None:
    assert count(now, then, sent_then) == (then, pytest.approx(change) if change else change, verdict)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((600, 1000, 500, 1000), "more"), ((400, 1000, 500, 1000), "less"),
        ((510, 1000, 500, 1000), "no difference shown"), ((1, 0, 5, 1000), "too few"),
        ((99, 99, 1, 1000), "too few"), ((999, 1000, 1, 99), "too few"),
    ],
)  # fmt: skip
def test_a_rate_has_changed_only_by_more_than_chance_would(counts: tuple[int, int, int, int], verdict: str) -> None:
    found = rate(*counts, sent_then=1000)
    assert found.verdict == verdict
    assert (found.difference is None) == (verdict == "too few")
    assert found.before == counts[2] / counts[3]
    assert rate(*counts[:2], 0, 0, sent_then=0) == (None, None, "new")


def test_an_amount_that_is_not_known_whole_is_not_compared_and_currencies_never_with_each_other() -> None:
    found = costs(
        {"EUR": Spent(100, Decimal(11)), "USD": Spent(100, Decimal(3)), "BRL": Spent(200, None), "INR": Spent(9, None)},
        {"EUR": Spent(100, Decimal(10)), "BRL": Spent(200, Decimal(1)), "JPY": Spent(300, Decimal(0)),
         "INR": Spent(99, Decimal(4)), "MXN": Spent(99, Decimal(4))},
    )  # fmt: skip
    assert {currency: (each.before, each.verdict) for currency, each in found.items()} == {
        "BRL": (Decimal(1), "not known"), "EUR": (Decimal(10), "more"), "INR": (Decimal(4), "not known"),
        "JPY": (Decimal(0), "no difference shown"), "MXN": (Decimal(4), "too few"), "USD": (Decimal(0), "new"),
    }  # fmt: skip
    assert found["EUR"].change == pytest.approx(0.1)
