"""What Graph says of accounts and numbers, in our words: nothing is guessed, and nothing of Graph's breaks a reader."""

import zoneinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_whatsapp.accounts import AccountDetails, NumberDetails, account_details, is_registered, number_details
from wabus_whatsapp.time_zones import zone_id, zone_name

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ACCOUNT = ("timezone_id", "currency", "country", "owner_business_info", "on_behalf_of_business_info")
NUMBER = ("status", "throughput", "platform_type", "is_on_biz_app")


def test_an_account_as_metas_page_shows_it_is_read_whole() -> None:
    node = {
        "id": "102290129340398",
        "timezone_id": "71",
        "currency": "INR",
        "country": "in",
        "owner_business_info": {"name": "Lucky Shrub", "id": "506914307656634"},
        "on_behalf_of_business_info": {"id": "5678901234567890"},
    }
    assert account_details(node) == AccountDetails("506914307656634", 71, "Asia/Kolkata", "INR", "IN")


def test_an_account_without_a_named_owner_is_that_of_whom_it_is_managed_for() -> None:
    node = {"on_behalf_of_business_info": {"id": 5678901234567890}}
    assert account_details(node).portfolio_id == "5678901234567890"


@pytest.mark.parametrize("number", ["0", "476", "99999", "Berlin", "", "-1", None, True, 1.5, "1" * 400])
def test_nobody_is_charged_by_the_days_of_a_zone_that_was_guessed(number: Any) -> None:
    assert zone_name(zone_id(number)) is None


def test_a_number_that_the_list_does_not_have_is_kept() -> None:
    assert (account_details({"timezone_id": "999"}).time_zone_id, zone_id(47), zone_name(47)) == (
        999,
        47,
        "Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("number", "name"),
    [
        *((1, "America/Los_Angeles"), (9, "America/Argentina/San_Luis"), (25, "America/Sao_Paulo")),
        *((58, "Europe/London"), (71, "Asia/Kolkata"), (94, "America/Mexico_City"), (126, "Asia/Riyadh")),
        *((141, "Africa/Johannesburg"), (145, "Asia/Kathmandu"), (161, "Africa/Dar_es_Salaam")),
        *((269, "America/Port-au-Prince"), (327, "Asia/Novosibirsk"), (474, "UTC"), (475, "WET")),
    ],
)
def test_a_zone_is_the_one_that_metas_list_has(number: int, name: str) -> None:
    assert zone_name(number) == name


def test_every_name_is_one_that_a_reader_can_calculate_with() -> None:
    names = [zone_name(number) for number in range(1, 476)]
    assert {name for name in names if name not in zoneinfo.available_timezones()} == set()
    assert len(set(names)) == 475


@pytest.mark.parametrize(
    ("phone", "coexistence"),
    [
        ({"is_on_biz_app": True, "platform_type": "CLOUD_API"}, True),
        ({"is_on_biz_app": True}, True),
        ({"is_on_biz_app": True, "platform_type": "NOT_APPLICABLE"}, False),
        ({"is_on_biz_app": False, "platform_type": "CLOUD_API"}, False),
        ({"platform_type": "CLOUD_API"}, None),
        ({"is_on_biz_app": "true"}, None),
    ],
)
def test_a_number_is_in_coexistence_where_meta_says_so(phone: dict[str, Any], coexistence: bool | None) -> None:
    assert number_details(phone).coexistence is coexistence


@pytest.mark.parametrize(
    ("status", "platform", "registered"),
    [
        ("CONNECTED", "CLOUD_API", True),
        ("CONNECTED", "NOT_APPLICABLE", True),
        ("BANNED", "NOT_APPLICABLE", True),
        ("PENDING", "NOT_APPLICABLE", False),
        ("PENDING", None, False),
        ("PENDING", "CLOUD_API", True),
        ("UNVERIFIED", None, False),
        (None, "NOT_APPLICABLE", False),
        (None, "CLOUD_API", True),
        (None, "ON_PREMISE", None),
        (None, None, None),
    ],
)
def test_a_number_counts_as_registered_by_what_graph_says(
    status: str | None, platform: str | None, registered: bool | None
) -> None:
    assert is_registered(status, platform) is registered


@settings(max_examples=examples(100))
@given(st.dictionaries(st.sampled_from((*ACCOUNT, *NUMBER)), ANYTHING))
def test_whatever_graph_answers_can_be_read(node: dict[str, Any]) -> None:
    assert isinstance(account_details(node), AccountDetails)
    assert isinstance(number_details(node), NumberDetails)
