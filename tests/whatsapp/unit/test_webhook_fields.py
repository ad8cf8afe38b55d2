"""What our app should hear of, and what it does not, by what Graph says of its subscription."""

from typing import Any

import pytest
from simulated_meta.webhooks.wire import OVERRIDABLE_FIELDS
from wabus_whatsapp.webhook_fields import FIELDS, TO_THE_ACCOUNT, USES, Subscription, subscription_in

OURS = "https://wabus.example.com/webhooks/whatsapp"
ALL = tuple(FIELDS)


def answer(**entry: Any) -> dict[str, Any]:
    fields = [{"name": name, "version": "v24.0"} for name in ALL]
    return {
        "data": [
            {"object": "page", "callback_url": "https://pages.example", "active": True, "fields": [{"name": "feed"}]},
            {"object": "whatsapp_business_account", "callback_url": OURS, "active": True, "fields": fields, **entry},
        ]
    }


def test_an_app_with_all_fields_and_our_callback_lacks_nothing() -> None:
    assert subscription_in(answer()).missing(OURS) == ()


def test_fields_that_were_never_subscribed_to_are_named() -> None:
    found = subscription_in(answer(fields=[{"name": name} for name in ALL if name not in ("history", "calls")]))
    assert found.missing(OURS) == ("history", "calls")


def test_an_app_without_any_subscription_hears_nothing() -> None:
    for said in ({"data": []}, {}, {"data": [answer()["data"][0]]}, {"data": "?"}):
        assert subscription_in(said) == Subscription()
    assert Subscription().missing(OURS) == ALL


def test_a_subscription_that_meta_has_switched_off_brings_nothing() -> None:
    found = subscription_in(answer(active=False))
    assert (found.callback_url, found.missing(OURS)) == (OURS, ALL)


def test_with_somebody_elses_callback_only_what_goes_to_an_accounts_own_reaches_us() -> None:
    found = subscription_in(answer(callback_url="https://elsewhere.example/hook"))
    assert found.is_elsewhere(OURS)
    assert set(found.missing(OURS)) == set(FIELDS) - TO_THE_ACCOUNT
    assert "messages" not in found.missing(OURS)


def test_a_callback_below_ours_reaches_us_and_is_left_as_it_is() -> None:
    found = subscription_in(answer(callback_url=OURS + "/102290129340398"))
    assert (found.is_elsewhere(OURS), found.missing(OURS), found.may_be_changed(OURS)) == (False, (), False)
    for url in (OURS, OURS + "/"):
        found = subscription_in(answer(callback_url=url))
        assert (found.is_elsewhere(OURS), found.may_be_changed(OURS)) == (False, True)


def test_older_answers_name_the_fields_alone() -> None:
    assert subscription_in(answer(fields=["messages", 3, None])).fields == ("messages",)


def test_what_goes_to_an_accounts_own_callback_is_what_the_simulated_meta_sends_there() -> None:
    assert set(FIELDS) & OVERRIDABLE_FIELDS == TO_THE_ACCOUNT


def test_only_without_messages_does_nothing_work() -> None:
    assert [name for name, use in FIELDS.items() if use.severity == "failing"] == ["messages"]
    assert {name for name, use in FIELDS.items() if use.coexistence} == {
        *("smb_message_echoes", "history", "smb_app_state_sync")
    }
    assert set(FIELDS.values()) == set(USES)


@pytest.mark.parametrize("name", ["standby", "user_id_update", "user_preferences", "calls", "messaging_handovers"])
def test_what_conversations_alone_need_turns_nobodys_health(name: str) -> None:
    assert FIELDS[name].severity == "notice"
