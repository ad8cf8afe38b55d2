"""What a month will have cost when it is over."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_insights.costs.forecast import Forecast, PriceChange, Spent, at_prices_of, forecast_month, together
from wabus_insights.costs.price_changes import price_changes
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import Band, Bands, Category, RateCard

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
SINCE = date(2026, 8, 3)  # a Monday


def spent(amounts: dict[date, float], market: str = "India", category: str = "marketing") -> list[Spent]:
    return [Spent(day, market, category, 10, Decimal(repr(amount))) for day, amount in amounts.items()]


def every_day(amount: float, until: date, since: date = SINCE) -> dict[date, float]:
    return {since + timedelta(days=n): amount for n in range((until - since).days)}


def month(rows: list[Spent], today: date, changes: tuple[PriceChange, ...] = (), elapsed: float = 0.0) -> Forecast:
    return forecast_month(rows, changes, first=FIRST, last=LAST, today=today, elapsed=elapsed)


def test_ten_a_day_are_three_hundred_in_a_month_of_thirty_days() -> None:
    found = month(spent(every_day(10, date(2026, 11, 11))), date(2026, 11, 11))
    assert (found.spent, found.expected) == (Decimal(100), Decimal(300))
    assert found.low == found.high == Decimal(300)
    assert len(found.days) == 20


def test_who_sends_on_weekdays_only_is_not_expected_to_send_on_sunday() -> None:
    amounts = {day: amount for day, amount in every_day(22, date(2026, 11, 9)).items() if day.weekday() < 5}
    found = month(spent(amounts), date(2026, 11, 9))
    assert {day.weekday() for day, amount in found.days.items() if amount} == {0, 1, 2, 3, 4}
    assert float(found.expected) == pytest.approx(22 * 21, rel=1e-6)  # November 2026 has 21 weekdays


def test_of_today_only_what_is_left_is_expected() -> None:
    rows = spent({**every_day(10, LAST), LAST: 6.0})
    assert month(rows, LAST, elapsed=0.5).expected == Decimal(301)


def test_a_dearer_card_counts_from_its_date_on_and_never_before() -> None:
    change = PriceChange("India", "marketing", date(2026, 11, 21), Decimal("0.10"), Decimal("0.20"))
    found = month(spent(every_day(10, date(2026, 11, 11))), date(2026, 11, 11), (change,))
    assert found.expected == Decimal(100 + 10 * 10 + 10 * 20)


def test_a_card_that_has_changed_already_lets_the_days_before_count_at_todays_price() -> None:
    change = PriceChange("India", "marketing", date(2026, 11, 1), Decimal("0.20"), Decimal("0.10"))
    rows = spent({**every_day(20, FIRST), **every_day(10, date(2026, 11, 16), FIRST)})
    assert month(rows, date(2026, 11, 16), (change,)).expected == Decimal(300)


def test_what_was_free_and_costs_from_a_date_on_is_counted_by_its_messages() -> None:
    change = PriceChange("India", "service", date(2026, 10, 1), None, Decimal("0.01"))
    rows = [Spent(date(2026, 9, 30), "India", "service", 500, Decimal(0))]
    assert at_prices_of(date(2026, 10, 1), rows, [change]) == {date(2026, 9, 30): Decimal(5)}
    assert at_prices_of(date(2026, 9, 30), rows, [change]) == {date(2026, 9, 30): Decimal(0)}


def test_other_markets_keep_their_price() -> None:
    change = PriceChange("India", "marketing", date(2026, 10, 1), Decimal(1), Decimal(2))
    rows = [Spent(date(2026, 9, 30), "Brazil", "marketing", 1, Decimal(3))]
    assert at_prices_of(date(2026, 11, 1), rows, [change]) == {date(2026, 9, 30): Decimal(3)}


def test_without_a_whole_day_of_the_past_no_interval_is_given() -> None:
    found = month([], date(2026, 11, 11))
    assert (found.expected, found.low, found.high, found.known_days) == (0, None, None, 0)


def test_with_few_days_there_is_an_expectation_but_no_interval() -> None:
    found = month(spent(every_day(10, date(2026, 11, 5), FIRST)), date(2026, 11, 5))
    assert (found.expected, found.low, found.high) == (Decimal(300), None, None)


def test_a_month_that_is_over_cost_what_it_cost() -> None:
    found = month(spent(every_day(10, date(2026, 12, 5))), date(2026, 12, 5))
    assert (found.expected, found.low, found.high, found.days) == (300, 300, 300, {})


def test_the_wilder_the_past_the_wider_the_interval() -> None:
    def width(swing: float) -> Decimal:
        amounts = {day: amount + swing * ((day.toordinal() * 7919) % 13 - 6) / 6
                   for day, amount in every_day(10, date(2026, 11, 11)).items()}  # fmt: skip
        found = month(spent(amounts), date(2026, 11, 11))
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.expected <= found.high
        return found.high - found.low

    assert all(narrow < wide for narrow, wide in pairwise([width(0.5), width(2), width(8)]))


def test_the_errors_of_several_accounts_partly_even_out() -> None:
    one = Forecast(Decimal(10), Decimal(100), Decimal(70), Decimal(140), {LAST: Decimal(90)}, 60)
    other = Forecast(Decimal(20), Decimal(200), Decimal(160), Decimal(230), {LAST: Decimal(180)}, 30)
    found = together([one, other])
    assert (found.spent, found.expected, found.low, found.high) == (30, 300, 250, 350)
    assert (found.days, found.known_days) == ({LAST: Decimal(270)}, 60)
    assert together([one]) is one
    unknown = Forecast(Decimal(0), Decimal(0), None, None, {}, 0)
    assert (together([one, unknown]).low, together([one, unknown]).expected) == (None, 100)


def test_what_meta_charges_otherwise_is_corrected_in_what_is_to_come_only() -> None:
    rows = [row._replace(country="IN") for row in spent(every_day(10, date(2026, 11, 11)))]
    found = forecast_month(
        rows, (), first=FIRST, last=LAST, today=date(2026, 11, 11), elapsed=0,
        corrections={("IN", "marketing"): Decimal("1.5")},
    )  # fmt: skip
    assert (found.spent, found.expected) == (Decimal(100), Decimal(100 + 20 * 15))


def test_price_changes_are_those_of_the_cards_for_what_is_sent() -> None:
    def card(effective: date, marketing: str, utility: str) -> RateCard:
        rates: dict[tuple[str, Category], Bands] = {
            ("india", "marketing"): [Band(1, Decimal(marketing))],
            ("india", "utility"): [Band(1, Decimal(utility)), Band(1001, Decimal("0.001"))],
        }
        return RateCard("EUR", effective, rates)

    book = PriceBook([card(date(2026, 7, 1), "0.10", "0.02"), card(date(2026, 11, 20), "0.12", "0.02")])
    rows = [Spent(FIRST, "india", category, 1, Decimal(1)) for category in ("marketing", "utility", "no_category")]
    found = price_changes(book, "EUR", rows, date(2026, 10, 15), LAST)
    assert found == [PriceChange("india", "marketing", date(2026, 11, 20), Decimal("0.10"), Decimal("0.12"))]
    assert price_changes(book, "EUR", rows, date(2026, 10, 15), date(2026, 11, 19)) == []
    assert price_changes(book, "USD", rows, date(2026, 1, 1), LAST) == []


AMOUNTS = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=110)


@given(AMOUNTS, st.integers(1, 30), st.floats(0, 1))
def test_nothing_is_expected_to_be_less_than_what_is_spent(amounts: list[float], day: int, elapsed: float) -> None:
    today = date(2026, 11, day)
    known = {today - timedelta(days=n): amount for n, amount in enumerate(amounts)}
    found = month(spent(known), today, elapsed=elapsed)
    assert found.expected >= found.spent
    if found.low is not None and found.high is not None:
        assert found.spent <= found.low <= found.high
        assert found.low <= found.expected + Decimal("0.001")
        assert found.expected <= found.high + Decimal("0.001")


@given(AMOUNTS, st.integers(2, 1000))
def test_the_forecast_does_not_depend_on_the_currency(amounts: list[float], rate: int) -> None:
    today = date(2026, 11, 20)
    known = {today - timedelta(days=n): round(amount, 2) for n, amount in enumerate(amounts)}
    one = month(spent(known), today)
    other = month(spent({day: amount * rate for day, amount in known.items()}), today)
    assert float(other.expected) == pytest.approx(float(one.expected) * rate, rel=1e-6, abs=0.01 * rate)
