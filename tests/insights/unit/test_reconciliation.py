"""What Meta says that an account cost beside what we make of its messages."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.costs.reconciliation import Metas, Ours, corrections, kind_of, reconcile

TODAY = date(2026, 11, 30)
KIND = kind_of("IN", "MARKETING", "REGULAR")


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def ours(days: int, volume: int, amount: str, unpriced: int = 0) -> Ours:
    return Ours(ago(days), KIND, volume, Decimal(amount), unpriced)


def metas(days: int, volume: int, amount: str | None, tier: str = "") -> Metas:
    return Metas(ago(days), KIND, volume, None if amount is None else Decimal(amount), tier)


def why(mine: list[Ours], theirs: list[Metas]) -> list[str]:
    return [row.explained_by for row in reconcile(mine, theirs, TODAY)]


@pytest.mark.parametrize(
    ("mine", "theirs", "explained"),
    [
        (ours(5, 100, "10"), metas(5, 100, "10"), "agrees"),
        (ours(5, 100, "10"), metas(5, 100, "10.04"), "agrees"),
        (ours(5, 100, "10"), metas(5, 100, "10.40"), "unknown"),
        (ours(1, 90, "9"), metas(1, 100, "10"), "late_statuses"),
        (ours(1, 100, "10"), metas(1, 90, "9"), "late_statuses"),
        (ours(5, 90, "9"), metas(5, 100, "10"), "other_systems"),
        (ours(5, 100, "10"), metas(5, 90, "9"), "unknown"),
        (ours(5, 100, "0", unpriced=100), metas(5, 100, "10"), "unpriced"),
        (ours(5, 100, "10"), metas(5, 100, None), "amount_untold"),
        (ours(5, 100, "10"), metas(5, 120, None), "other_systems"),
        # Told in whole cents, and told finer.
        (ours(5, 3, "0.1368"), metas(5, 3, "0.14"), "agrees"),
        (ours(5, 3, "0.1368"), metas(5, 3, "0.15"), "unknown"),
        (ours(5, 3, "0.1368"), metas(5, 3, "0.1399"), "unknown"),
    ],
)
def test_a_difference_is_explained(mine: Ours, theirs: Metas, explained: str) -> None:
    assert why([mine], [theirs]) == [explained]


def test_messages_that_only_meta_has_are_those_of_other_systems() -> None:
    assert why([], [metas(5, 10, "1")]) == ["other_systems"]


def test_the_same_ratio_day_after_day_is_the_cards_doing() -> None:
    mine = [ours(day, 100, "10") for day in (4, 5, 6)]
    theirs = [metas(day, 100, "12") for day in (4, 5, 6)]
    assert why(mine, theirs) == ["wrong_card"] * 3
    assert corrections(reconcile(mine, theirs, TODAY)) == {("IN", "marketing"): Decimal("1.2000")}


def test_two_days_are_not_steady() -> None:
    assert why([ours(day, 100, "10") for day in (4, 5)], [metas(day, 100, "12") for day in (4, 5)]) == ["unknown"] * 2


def test_right_at_the_first_tier_and_wrong_at_the_next_is_the_tier() -> None:
    mine = [ours(day, 100, "10") for day in (4, 5, 6, 7)]
    theirs = [metas(7, 100, "10", "0:1000"), *(metas(day, 100, "8", "1001:5000") for day in (4, 5, 6))]
    assert why(mine, theirs) == ["agrees", "wrong_tier", "wrong_tier", "wrong_tier"]


def test_wrong_at_the_first_tier_too_is_the_card() -> None:
    mine = [ours(day, 100, "10") for day in (4, 5, 6, 7, 8, 9)]
    theirs = [
        *(metas(day, 100, "12", "0:1000") for day in (7, 8, 9)),
        *(metas(day, 100, "9", "1001:5000") for day in (4, 5, 6)),
    ]
    assert set(why(mine, theirs)) == {"wrong_card"}


def test_the_tiers_of_a_day_are_added() -> None:
    theirs = [metas(5, 60, "6", "0:1000"), metas(5, 40, "4", "1001:5000")]
    assert why([ours(5, 100, "10")], theirs) == ["agrees"]


def test_nothing_is_corrected_by_an_absurd_ratio() -> None:
    mine, theirs = [ours(day, 100, "0.1") for day in (4, 5, 6)], [metas(day, 100, "12") for day in (4, 5, 6)]
    assert corrections(reconcile(mine, theirs, TODAY)) == {}


def test_metas_words_are_ours_in_capitals() -> None:
    assert kind_of("de", "AUTHENTICATION_INTERNATIONAL", "FREE_ENTRY_POINT") == kind_of(
        "DE", "authentication-international", "free_entry_point"
    )


ROWS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 500), st.integers(0, 500)), max_size=30)


@given(ROWS, ROWS)
def test_nothing_is_lost_in_the_comparison(
    mine: list[tuple[int, int, int]], theirs: list[tuple[int, int, int]]
) -> None:
    left = [ours(day, volume, str(amount)) for day, volume, amount in mine]
    right = [metas(day, volume, str(amount)) for day, volume, amount in theirs]
    rows = reconcile(left, right, TODAY)
    assert sum(row.volume for row in rows) == sum(row.volume for row in left)
    assert sum(row.metas_volume for row in rows) == sum(row.volume for row in right)
    assert sum(row.amount for row in rows) == sum(row.amount for row in left)
    assert sum(row.difference or 0 for row in rows) == sum(row.amount or 0 for row in right) - sum(
        row.amount for row in left
    )


@given(ROWS)
def test_what_is_the_same_agrees(rows: list[tuple[int, int, int]]) -> None:
    left = [ours(day, volume, str(amount)) for day, volume, amount in rows]
    right = [metas(day, volume, str(amount)) for day, volume, amount in rows]
    assert set(why(left, right)) <= {"agrees"}
