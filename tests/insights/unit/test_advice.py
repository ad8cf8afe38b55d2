"""What is advised, and what is not."""

from dataclasses import replace
from decimal import Decimal

from wabus_insights.advice.evidence import (
    Allowance,
    Evidence,
    ForeignAuthentication,
    Price,
    Prices,
    Repetition,
    TemplateUse,
    Unreachable,
)
from wabus_insights.advice.rules import Advice, advise

PRICES = Prices(
    {
        ("1", "IN", "marketing"): Price(Decimal("0.01"), "USD"),
        ("1", "IN", "utility"): Price(Decimal("0.002"), "USD"),
        ("1", "IN", "service"): Price(Decimal("0.002"), "USD"),
        ("1", "IN", "authentication"): Price(Decimal("0.002"), "USD"),
        ("1", "BR", "marketing"): Price(Decimal("0.06"), "USD"),
    }
)
USE = TemplateUse("1", "t", "news", "en", "MARKETING", "UTILITY", None, {"IN": 3000}, 30)
BURST = Repetition("1", "n", "+1 555", "service", {"IN": 700}, 300, 7)


def advice(**evidence: object) -> list[Advice]:
    return advise("org", replace(Evidence(PRICES), **evidence))  # pyright: ignore[reportArgumentType]


def test_a_template_that_meta_has_made_marketing_costs_the_difference() -> None:
    (found,) = advice(templates=[USE])
    assert (found.kind, found.saving, found.currency) == ("template_category", Decimal("24.00"), "USD")
    assert found.evidence["as_utility"] == {"amount": "6.00", "currency": "USD"}
    assert "131064" in found.remedy


def test_a_utility_template_that_meta_will_make_marketing_is_warned_of() -> None:
    (found,) = advice(
        templates=[replace(USE, category="UTILITY", previous_category=None, correct_category="MARKETING")]
    )
    assert "will charge" in found.finding


def test_marketing_that_was_always_marketing_is_nothing_to_advise_on() -> None:
    assert advice(templates=[replace(USE, previous_category=None)]) == []
    assert advice(templates=[replace(USE, charged={})]) == []


def test_a_saving_is_not_made_up_where_a_price_is_missing() -> None:
    (found,) = advice(templates=[replace(USE, charged={"IN": 3000, "BR": 10})])  # no price of utility for Brazil
    assert (found.saving, found.currency) == (None, None)


def test_several_messages_at_once_are_to_be_one() -> None:
    (found,) = advice(bursts=[BURST])
    assert (found.kind, found.saving) == ("join_messages", Decimal("6.00"))  # 700 in 7 days, 3,000 in a month
    assert advice(bursts=[replace(BURST, extra={"IN": 9})]) == []


def test_the_same_template_twice_a_day_is_too_much() -> None:
    (found,) = advice(repeats=[replace(BURST, category="marketing", about="t", name="news")])
    assert (found.kind, found.saving) == ("repeated_template", Decimal("30.00"))


def test_people_who_cannot_be_reached_are_counted_and_it_says_where_they_are_listed() -> None:
    (found,) = advice(unreachable=[Unreachable("1", "n", 150, 450, 9)])
    assert (found.kind, found.saving, found.evidence["people"]) == ("unreachable_people", None, 150)
    assert "/sends?state=accepted&phone_number_id=n" in found.remedy


def test_passwords_at_the_international_price_cost_the_difference() -> None:
    foreign = ForeignAuthentication("1", "IN", 1000, Decimal(25), "USD", 30)
    (found,) = advice(foreign=[foreign])
    assert (found.kind, found.saving) == ("international_authentication", Decimal("23.00"))
    (other,) = advice(foreign=[replace(foreign, country="EG")])
    assert other.saving is None


def test_without_a_payment_method_the_end_of_the_free_messages_matters() -> None:
    allowance = Allowance("1", "n", 800, 1000, "141006")
    assert [one.kind for one in advice(allowances=[allowance])] == ["payment_method"]
    assert advice(allowances=[replace(allowance, used=799)]) == []
    assert advice(allowances=[replace(allowance, payment_error=None)]) == []


def test_the_same_advice_has_the_same_id_and_what_saves_most_comes_first() -> None:
    more = replace(BURST, about="m", extra={"IN": 7000})
    found = advice(bursts=[BURST, more], templates=[USE])
    assert [one.about for one in found] == ["m", "t", "n"]
    assert {one.advice_id for one in found} == {one.advice_id for one in advice(bursts=[more, BURST], templates=[USE])}
    assert len({one.advice_id for one in found}) == 3
    assert advise("other", Evidence(PRICES, bursts=[BURST]))[0].advice_id not in {one.advice_id for one in found}
