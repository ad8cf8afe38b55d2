"""When somebody is told that a budget is used up, or will be."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.costs.budget import (
    Alerted,
    Budget,
    Month,
    Spending,
    alert_id,
    budget_id,
    current_months,
    due_alerts,
    elapsed,
    in_force,
    local_day,
    was_one_in,
)

NOVEMBER = Month(2026, 11)
BUDGET = Budget("b", None, None, "EUR", Decimal(100))


def told(spent: str, projected: str | None = None, before: tuple[Alerted, ...] = (), days: int = 30) -> list[str]:
    spending = Spending(NOVEMBER, Decimal(spent), None if projected is None else Decimal(projected), days)
    return [f"{alert.kind} {alert.threshold}" for alert in due_alerts(BUDGET, spending, before)]


@pytest.mark.parametrize(
    ("spent", "alerts"),
    [
        ("49.999999", []),
        ("50", ["actual 50"]),
        ("80", ["actual 50", "actual 80"]),
        ("100", ["actual 50", "actual 80", "actual 100"]),
        ("900", ["actual 50", "actual 80", "actual 100"]),
    ],
)
def test_each_threshold_that_is_reached_is_told(spent: str, alerts: list[str]) -> None:
    assert told(spent) == alerts


def test_what_was_told_is_not_told_again() -> None:
    before = (Alerted("b", "2026-11", "actual", 50, Decimal(100)),)
    assert told("80", before=before) == ["actual 80"]


def test_what_is_projected_is_told_of_the_whole_budget_only() -> None:
    assert told("10", "100") == ["projected 100"]
    assert told("10", "99.99") == []


def test_what_has_happened_is_not_expected_any_more() -> None:
    assert told("120", "300") == ["actual 50", "actual 80", "actual 100"]


def test_a_week_must_be_known_before_anything_is_expected() -> None:
    assert told("10", "1000", days=6) == []
    assert told("10", "1000", days=7) == ["projected 100"]


def test_who_has_only_low_thresholds_is_told_of_the_highest() -> None:
    budget = Budget("b", None, None, "EUR", Decimal(100), (30, 60))
    found = due_alerts(budget, Spending(NOVEMBER, Decimal(1), Decimal(70), 30), ())
    assert [(one.kind, one.threshold) for one in found] == [("projected", 60)]


def test_another_amount_is_told_of_anew_and_the_same_amount_is_not() -> None:
    ids = {
        alert_id("org", Alerted("b", "2026-11", "actual", 50, Decimal(amount))) for amount in ("100", "100.00", "1E+2")
    }
    assert len(ids) == 1
    assert alert_id("org", Alerted("b", "2026-11", "actual", 50, Decimal(200))) not in ids


def test_a_budget_of_one_month_comes_before_that_of_each_month() -> None:
    own = Budget("o", None, NOVEMBER, "EUR", Decimal(500))
    other = Budget("w", "1", None, "EUR", Decimal(10))
    assert in_force([BUDGET, own, other], NOVEMBER) == [own, other]
    assert in_force([BUDGET, own, other], Month(2026, 12)) == [BUDGET, other]


def test_two_months_are_current_where_two_accounts_are_in_two_zones() -> None:
    now = datetime(2026, 11, 8, 0, 30, tzinfo=UTC)
    assert current_months(now, ["Asia/Tokyo", "America/Los_Angeles"]) == [NOVEMBER]
    end = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)
    assert current_months(end, ["Asia/Tokyo", "America/Sao_Paulo"]) == [NOVEMBER, Month(2026, 12)]


def test_the_month_before_is_looked_at_for_three_days() -> None:
    assert current_months(datetime(2026, 12, 3, 12, tzinfo=UTC), ["UTC"]) == [NOVEMBER, Month(2026, 12)]
    assert current_months(datetime(2026, 12, 4, 12, tzinfo=UTC), ["UTC"]) == [Month(2026, 12)]


def test_nobody_is_told_of_a_month_that_was_over_everywhere_when_they_set_the_budget() -> None:
    zones = {"1": "Asia/Tokyo", "2": "America/Sao_Paulo"}
    at = datetime(2026, 12, 1, 1, tzinfo=UTC)  # December in Tokyo, still November in Sao Paulo
    assert was_one_in(replace(BUDGET, set_at=at), NOVEMBER, zones)
    assert not was_one_in(replace(BUDGET, set_at=at), NOVEMBER, {"1": "Asia/Tokyo"})
    assert not was_one_in(replace(BUDGET, set_at=at), NOVEMBER, {})
    assert was_one_in(replace(BUDGET, set_at=at), Month(2026, 12), zones)
    assert was_one_in(BUDGET, NOVEMBER, zones)


def test_a_budget_of_one_account_is_alerted_of_a_month_that_is_over_there_as_it_is_not_yet_elsewhere() -> None:
    zones = {"1": "Asia/Tokyo", "2": "America/Sao_Paulo"}
    late = replace(BUDGET, set_at=datetime(2026, 12, 1, 1, tzinfo=UTC))
    assert not was_one_in(replace(late, waba_id="1"), NOVEMBER, zones)
    assert was_one_in(replace(late, waba_id="2"), NOVEMBER, zones)


def test_an_account_in_sao_paulo_has_its_own_day() -> None:
    now = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
    assert local_day(now, "America/Sao_Paulo") == date(2025, 12, 31)
    assert elapsed(now, "America/Sao_Paulo") == pytest.approx(22 / 24)
    assert local_day(now, "No/Where") == local_day(now, None) == date(2026, 1, 1)


def test_a_month_knows_its_days() -> None:
    assert (Month(2026, 12).last, str(Month(2026, 12).next), Month.parse("2024-02").last) == (
        date(2026, 12, 31),
        "2027-01",
        date(2024, 2, 29),
    )
    with pytest.raises(ValueError, match="month"):
        Month.parse("2026-13")


def test_a_budget_is_known_by_what_it_is_for() -> None:
    assert budget_id("a", None, None, "EUR") == budget_id("a", None, None, "EUR")
    assert len({budget_id("a", None, None, "EUR"), budget_id("b", None, None, "EUR"), budget_id("a", "1", None, "EUR"),
                budget_id("a", None, "2026-11", "EUR"), budget_id("a", None, None, "USD")}) == 5  # fmt: skip


SPENDING = st.lists(st.decimals(0, 500, places=2, allow_nan=False), min_size=1, max_size=30)


@given(SPENDING, SPENDING)
def test_however_often_it_is_looked_each_threshold_is_told_once(spent: list[Decimal], projected: list[Decimal]) -> None:
    before: list[Alerted] = []
    for one, other in zip(spent, projected, strict=False):  # it may fall: a late card makes messages cheaper
        before += due_alerts(BUDGET, Spending(NOVEMBER, one, other, 30), before)
    assert len(before) == len(set(before))
    assert {each.threshold for each in before if each.kind == "actual"} == {
        threshold
        for threshold in BUDGET.thresholds
        if any(one >= threshold for one, _ in zip(spent, projected, strict=False))
    }
