"""In which market a message is charged, by whom it is to and when."""

from datetime import date

import pytest
from wabus_whatsapp.prices.calling_codes import CODES, NAMES, country_of_number
from wabus_whatsapp.prices.markets import OTHER, market_key, market_named, market_of, place_of

SEPTEMBER, OCTOBER = date(2026, 9, 30), date(2026, 10, 1)


@pytest.mark.parametrize(
    ("number", "country", "market"),
    [
        ("4915123456789", "DE", "Germany"),
        ("16505551234", "US", "North America"),
        ("14165551234", "CA", "North America"),
        ("18095551234", "DO", "Rest of Latin America"),
        ("18295551234", "DO", "Rest of Latin America"),
        ("18495551234", "DO", "Rest of Latin America"),
        ("16585551234", "JM", "Rest of Latin America"),
        ("18765551234", "JM", "Rest of Latin America"),
        ("17875551234", "PR", "Rest of Latin America"),
        ("19395551234", "PR", "Rest of Latin America"),
        ("12425551234", "BS", "North America"),
        ("79161234567", "RU", "Russia"),
        ("77011234567", "KZ", "Russia"),
        ("263771234567", "ZW", "Rest of Africa"),
        ("212612345678", "MA", "Rest of Africa"),
        ("821012345678", "KR", OTHER),
        ("85212345678", "HK", "Hong Kong"),
        ("48123456789", "PL", "Poland"),
        ("420123456789", "CZ", "Rest of Central & Eastern Europe"),
    ],
)
def test_a_number_is_charged_in_the_market_of_its_calling_code(number: str, country: str, market: str) -> None:
    place = place_of(number, None)
    assert (place.country, place.sure) == (country, True)
    assert market_of(place.country, SEPTEMBER) == market


@pytest.mark.parametrize(
    ("country", "day", "market"),
    [
        ("KZ", OCTOBER, "Kazakhstan"),
        ("MA", OCTOBER, "Morocco"),
        ("UA", SEPTEMBER, "Rest of Central & Eastern Europe"),
        ("UA", OCTOBER, "Ukraine"),
        ("PL", date(2026, 6, 30), "Rest of Central & Eastern Europe"),
        ("QA", date(2026, 6, 30), "Rest of Middle East"),
        ("SG", date(2026, 6, 30), "Rest of Asia Pacific"),
        ("ZW", date(2025, 9, 30), OTHER),
    ],
)
def test_a_market_that_became_one_of_its_own_is_so_from_its_day_on(country: str, day: date, market: str) -> None:
    assert market_of(country, day) == market


def test_a_country_that_a_later_rate_card_lists_is_a_market_of_its_own() -> None:
    listed = {market_key("Kenya*"), market_key("Rest of Africa")}
    assert market_of("KE", date(2027, 4, 1), listed) == "Kenya"
    assert market_of("TZ", date(2027, 4, 1), listed) == "Rest of Africa"


def test_somebody_without_a_number_is_where_their_user_id_says_and_that_is_not_sure() -> None:
    assert place_of(None, "BR.13491208655302741918") == ("BR", False)
    assert place_of(None, "US.ENT.11815799212886844830") == ("US", False)
    assert place_of("", "13491208655302741918") == ("", False)
    assert place_of("999", None) == ("", True)


@pytest.mark.parametrize(
    ("user_id", "number"), [("GG.5", "447781123456"), ("VA.5", "390669812345"), ("EH.5", "212528812345")]
)
def test_messages_to_somebody_of_guernsey_without_a_number_have_the_price_of_their_calling_code(
    user_id: str, number: str
) -> None:
    assert place_of(None, user_id) == (place_of(number, None).country, False)


def test_names_of_markets_are_the_same_however_meta_writes_them() -> None:
    assert market_named("REST OF CENTRAL AND EASTERN EUROPE") == "Rest of Central & Eastern Europe"
    assert market_named("Sri Lanka*") == "Sri Lanka"
    assert market_named("Türkiye") == "Turkey"
    assert market_named("united_arab_emirates") == "United Arab Emirates"
    assert market_named("United States") is None  # is in North America


def test_every_country_has_a_code_that_leads_back_to_it() -> None:
    for country in NAMES.keys() - {"CA"}:
        assert country_of_number(CODES[country] + "0000000") == country
    assert CODES.keys() == NAMES.keys()
