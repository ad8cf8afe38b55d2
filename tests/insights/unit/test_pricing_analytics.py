"""What Graph is asked about what messages cost, and what its answer says."""

from datetime import UTC, date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from wabus_insights.costs.pricing_analytics import (
    LOOKED_BACK,
    READ_AGAIN,
    Read,
    Span,
    amounts_told,
    digest,
    fields,
    is_news,
    spans,
    volumes_in,
    zone_of,
)
from wabus_whatsapp.graph_errors import MalformedAnswer

TODAY = date(2026, 11, 30)
SPAN = Span(date(2025, 6, 5), date(2025, 6, 6))
LOS_ANGELES = ZoneInfo("America/Los_Angeles")
# As Meta's page has it: days begin at midnight in California.
POINTS = [
    {"start": 1749106800, "end": 1749193200, "country": "IN", "tier": "0:750000", "pricing_type": "REGULAR",
     "pricing_category": "AUTHENTICATION_INTERNATIONAL", "volume": 2, "cost": 4.6},
    {"start": 1749193200, "end": 1749279600, "country": "IN", "pricing_type": "FREE_CUSTOMER_SERVICE",
     "pricing_category": "SERVICE", "volume": 2, "cost": 0},
]  # fmt: skip


def answer(*points: Any) -> dict[str, Any]:
    return {"pricing_analytics": {"data": [{"data_points": list(points)}]}, "id": "1"}


def test_points_are_of_the_day_of_the_accounts_clocks() -> None:
    found = volumes_in(answer(*POINTS), SPAN, LOS_ANGELES)
    first, second = found[date(2025, 6, 5)][0], found[date(2025, 6, 6)][0]
    assert (first.country, first.pricing_category, first.tier, first.volume, first.amount) == (
        "IN", "authentication_international", "0:750000", 2, Decimal("4.600000"),
    )  # fmt: skip
    assert (second.pricing_type, second.amount) == ("free_customer_service", 0)


def test_a_day_that_begins_at_another_hour_is_the_day_of_its_middle() -> None:
    assert len(volumes_in(answer(*POINTS), SPAN, UTC)[date(2025, 6, 5)]) == 1


def test_an_account_without_messages_has_empty_days() -> None:
    assert volumes_in({"id": "1"}, SPAN, UTC) == {SPAN.first: [], SPAN.last: []}


def test_the_same_kind_twice_is_added() -> None:
    (row,) = volumes_in(answer(POINTS[0], POINTS[0]), SPAN, LOS_ANGELES)[SPAN.first]
    assert (row.volume, row.amount) == (4, Decimal("9.2"))


@pytest.mark.parametrize("cost", [None, "no", True, -1, float("inf"), float("nan")])
def test_a_cost_that_is_none_is_not_taken_for_zero(cost: object) -> None:
    (row,) = volumes_in(answer({**POINTS[0], "cost": cost}), SPAN, LOS_ANGELES)[SPAN.first]
    assert row.amount is None
    assert not amounts_told([row])


@pytest.mark.parametrize(
    "told",
    [
        {"pricing_analytics": []},
        {"pricing_analytics": {"data": {}}},
        {"pricing_analytics": {"data": [{"data_points": {}}]}},
        answer("no point"),
        answer({**POINTS[0], "volume": "2"}),
        answer({**POINTS[0], "volume": -2}),
        answer({**POINTS[0], "start": None}),
        answer({**POINTS[0], "start": 10**18, "end": 10**18 + 1}),
    ],
)
def test_an_answer_that_is_none_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        volumes_in(told, SPAN, LOS_ANGELES)


def test_a_day_of_23_hours_is_asked_for_whole() -> None:
    asked = fields(Span(date(2026, 3, 29), date(2026, 3, 29)), ZoneInfo("Europe/Berlin"), amounts=True)
    start, end = (int(part.split(")")[0]) for part in asked.split("(")[1:3])
    assert end - start == 23 * 3600
    assert "metric_types" not in asked


def test_where_no_amounts_are_told_they_are_not_asked_for() -> None:
    assert fields(SPAN, UTC, amounts=False).endswith('.metric_types(["VOLUME"])')


def test_at_first_the_whole_year_is_read_and_then_the_last_days() -> None:
    first = list(spans(TODAY, None))
    assert (first[0].last, first[-1].first) == (TODAY - timedelta(days=1), TODAY - LOOKED_BACK)
    assert all(later.first == earlier.last + timedelta(days=1) for later, earlier in pairwise(first))
    assert list(spans(TODAY, TODAY - LOOKED_BACK)) == [Span(TODAY - READ_AGAIN, TODAY - timedelta(days=1))]


def test_only_what_says_something_else_is_told() -> None:
    rows = volumes_in(answer(POINTS[0]), SPAN, LOS_ANGELES)[SPAN.first]
    told = digest(rows, "USD")
    yesterday, long_ago = TODAY - timedelta(days=1), TODAY - timedelta(days=9)
    assert is_news(yesterday, rows, None, told, TODAY)
    assert not is_news(yesterday, [], None, digest([], "USD"), TODAY)
    assert not is_news(yesterday, rows, Read(told, 2, True), told, TODAY)
    assert is_news(yesterday, rows, Read("another", 3, True), told, TODAY)
    assert is_news(long_ago, rows, Read("another", 2, True), told, TODAY)


def test_a_number_that_has_left_does_not_take_its_past_along() -> None:
    rows = volumes_in(answer(POINTS[0]), SPAN, LOS_ANGELES)[SPAN.first]
    assert not is_news(TODAY - timedelta(days=9), rows, Read("another", 3, True), digest(rows, "USD"), TODAY)


def test_amounts_that_are_told_no_more_stay() -> None:
    rows = volumes_in(answer({**POINTS[0], "cost": None}), SPAN, LOS_ANGELES)[SPAN.first]
    told, yesterday = digest(rows, "USD"), TODAY - timedelta(days=1)
    assert not is_news(yesterday, rows, Read("another", 2, True), told, TODAY)
    assert is_news(yesterday, rows, Read("another", 1, True), told, TODAY)
    assert is_news(yesterday, rows, Read("another", 2, False), told, TODAY)


def test_an_unknown_zone_is_utc() -> None:
    assert zone_of("No/Where") is zone_of(None) is UTC
