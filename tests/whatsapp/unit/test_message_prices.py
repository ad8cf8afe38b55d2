"""What one message costs, and how that is known."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import Band, RateCard, band_of, walk
from wabus_whatsapp.prices.message import Price, Pricing, price, pricing_in
from wabus_whatsapp.prices.rules import PriceRules

SEPTEMBER, OCTOBER = date(2026, 9, 30), date(2026, 10, 1)
JULY_CARD = RateCard(
    "EUR",
    date(2026, 7, 1),
    {
        ("germany", "marketing"): (Band(1, Decimal("0.11")),),
        ("germany", "utility"): (Band(1, Decimal("0.05")), Band(101, Decimal("0.04"))),
        ("rest of africa", "marketing"): (Band(1, Decimal("0.02")),),
    },
)
OCTOBER_CARD = RateCard("EUR", OCTOBER, {**JULY_CARD.rates, ("germany", "marketing"): (Band(1, Decimal("0.12")),)})
BOOK = PriceBook([OCTOBER_CARD, JULY_CARD])


def _pricing(**told: Any) -> Pricing:
    found = pricing_in({"statuses": [{"status": "delivered", "pricing": told}]})
    assert found is not None
    return found


def test_what_meta_reports_goes_before_the_rate_card() -> None:
    told = _pricing(category="marketing", type="regular", cost={"amount": 0.035, "currency": "USD"})
    assert price(told, BOOK, "DE", "EUR", OCTOBER) == Price(Decimal("0.035"), "USD", "reported")


@pytest.mark.parametrize("kind", ["free_customer_service", "free_entry_point", "free_group_customer_service"])
def test_what_meta_says_is_free_costs_nothing(kind: str) -> None:
    assert price(_pricing(category="utility", type=kind), BOOK, "DE", "EUR", OCTOBER) == Price(
        Decimal(0), "EUR", "free"
    )


def test_a_message_costs_what_the_card_of_its_day_says() -> None:
    told = _pricing(category="marketing", type="regular")
    assert price(told, BOOK, "DE", "EUR", SEPTEMBER).amount == Decimal("0.11")
    assert price(told, BOOK, "DE", "EUR", OCTOBER) == Price(Decimal("0.12"), "EUR", "rated")


def test_a_message_to_somebody_without_a_number_is_estimated_by_the_country_of_their_user_id() -> None:
    told = _pricing(category="marketing", type="regular")
    assert price(told, BOOK, "DE", "EUR", OCTOBER, sure=False) == Price(Decimal("0.12"), "EUR", "estimated")


def test_what_has_no_rate_is_unknown_and_never_nothing() -> None:
    told = _pricing(category="marketing", type="regular")
    for country, currency, day in [
        ("DE", "GBP", OCTOBER), ("DE", None, OCTOBER), ("DE", "EUR", date(2026, 6, 30)), ("BR", "EUR", OCTOBER),
        ("", "EUR", OCTOBER),
    ]:  # fmt: skip
        found = price(told, BOOK, country, currency, day)
        assert (found.amount, found.known) == (None, "unknown")
    assert price(_pricing(category="novel", type="regular"), BOOK, "DE", "EUR", OCTOBER).known == "unknown"
    assert price(Pricing(), BOOK, "DE", "EUR", OCTOBER).known == "unknown"


def test_a_service_message_costs_the_utility_rate_once_it_is_charged() -> None:
    told = _pricing(category="service", type="regular")
    assert price(told, BOOK, "DE", "EUR", OCTOBER, band=1).amount == Decimal("0.05")
    assert price(told, BOOK, "DE", "EUR", SEPTEMBER).known == "unknown"


def test_messages_to_groups_cost_the_same_and_have_no_tiers() -> None:
    told = _pricing(category="group_utility", type="regular")
    assert price(told, BOOK, "DE", "EUR", OCTOBER, band=1).amount == Decimal("0.05")
    assert price(_pricing(category="utility", type="regular"), BOOK, "DE", "EUR", OCTOBER, band=1).amount == Decimal(
        "0.04"
    )


def test_a_card_that_was_withdrawn_holds_no_more() -> None:
    book = PriceBook([JULY_CARD, RateCard("EUR", OCTOBER, {})])
    told = _pricing(category="marketing", type="regular")
    assert price(told, book, "DE", "EUR", OCTOBER).amount == Decimal("0.11")


def test_before_messages_were_charged_one_by_one_what_was_not_billable_was_free() -> None:
    assert price(_pricing(billable=False, pricing_model="CBP", category="utility"), BOOK, "DE", "EUR", OCTOBER) == (
        Price(Decimal(0), "EUR", "free")
    )


@pytest.mark.parametrize(
    "cost",
    [
        {"amount": "a lot", "currency": "USD"}, {"amount": float("nan"), "currency": "USD"}, {"amount": True},
        {"amount": -1, "currency": "USD"}, {"amount": 0.1, "currency": "dollars"}, {"amount": 0.1}, 0.1, None,
        {"amount": "1e400", "currency": "USD"}, {"amount": [1], "currency": "USD"},
        {"amount": 1, "currency": "E1 "}, {"amount": 1, "currency": "\x00\x00\x00"},
    ],
)  # fmt: skip
def test_a_cost_that_is_none_is_not_taken_for_one(cost: Any) -> None:
    assert _pricing(category="marketing", type="regular", cost=cost).cost is None


def test_what_meta_reported_adds_up_to_the_same_whatever_was_counted_at_once() -> None:
    told = _pricing(category="marketing", type="regular", cost={"amount": 0.0345678912, "currency": "usd"})
    assert (told.cost, told.currency) == (Decimal("0.034568"), "USD")


@pytest.mark.parametrize("value", [{}, {"statuses": []}, {"statuses": [{"pricing": None}]}, {"statuses": [{}]}])
def test_a_status_without_a_price_says_nothing(value: dict[str, Any]) -> None:
    assert pricing_in(value) is None


def test_rules_that_are_published_later_take_the_place_of_those_of_their_day() -> None:
    corrected = PriceRules(OCTOBER, "Meta: Pricing, corrected", service_charged=False)
    book = PriceBook([OCTOBER_CARD], [corrected])
    assert book.rules_on(OCTOBER) == corrected
    assert book.rules_on(SEPTEMBER).service_charged is False
    assert PriceBook().rules_on(OCTOBER).service_free_monthly == 1000
    assert PriceBook().rules_on(OCTOBER).utility_in_window_charged
    assert not PriceBook().rules_on(SEPTEMBER).utility_in_window_charged
    assert PriceBook().rules_on(date(2020, 1, 1)).effective == date(2025, 7, 1)


@given(
    st.lists(st.integers(2, 60), max_size=4, unique=True),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_walking_through_tiers_costs_what_the_messages_cost_one_by_one(
    firsts: list[int], before: int, count: int
) -> None:
    bands = [Band(first, Decimal(100 - n)) for n, first in enumerate([1, *sorted(firsts)])]
    one_by_one = sum(bands[band_of(bands, before + n)].amount for n in range(1, count + 1))
    assert walk(bands, before, count) == one_by_one
