"""What is known refuses a send before Meta is asked; what is not known Meta decides."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sending_world import received, status
from wabus_events import MarketingPreferenceChanged
from wabus_sender.sending import checks
from wabus_sender.sending.checks import FRESH, Facts, refusal
from wabus_sender.sending.reading import Preferred, Seen, StatusOfSend, facts_of
from wabus_sender.sending.requests import LIVES, LONGEST, expires, lane_of, unstorable
from wabus_whatsapp.window import Opens

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SEND = "7c1d2f3e-8a55-4d0c-9d4f-1f3f8f8f2a10"


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "is_template": False, "read_until": NOW, "owner": "acme", "user_last_at": NOW - timedelta(hours=1),
    }  # fmt: skip
    return Facts(**(known | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"owner": "another"}, checks.NOT_YOUR_NUMBER),
        ({"owner": None}, checks.NOT_YOUR_NUMBER),
        ({"user_last_at": None}, checks.WINDOW_CLOSED),
        ({"user_last_at": NOW - timedelta(hours=24)}, checks.WINDOW_CLOSED),
        ({"user_last_at": NOW - timedelta(hours=23, minutes=59, seconds=50)}, None),
        ({"user_last_at": None, "maybe_at": NOW - timedelta(hours=1)}, None),
        ({"user_last_at": None, "read_until": NOW - FRESH - timedelta(seconds=1)}, None),
        ({"user_last_at": None, "read_until": None}, None),
        ({"is_template": True, "user_last_at": None}, None),
        ({"blocked": True}, checks.BLOCKED),
        ({"is_template": True, "blocked": True}, checks.BLOCKED),
        ({"taken_at": NOW - timedelta(minutes=1)}, checks.THREAD_OF_ANOTHER),
        ({"taken_at": NOW - timedelta(minutes=1), "user_last_at": None}, checks.THREAD_OF_ANOTHER),
        ({"taken_at": NOW - timedelta(hours=1)}, checks.THREAD_OF_ANOTHER),
        ({"taken_at": NOW - timedelta(hours=2)}, None),
        ({"taken_at": NOW - timedelta(hours=24), "user_last_at": None}, checks.WINDOW_CLOSED),
        ({"taken_at": NOW - timedelta(minutes=1), "is_template": True}, None),
        ({"taken_at": NOW - timedelta(minutes=1), "read_until": NOW - FRESH - timedelta(seconds=1)}, None),
        ({"is_template": True, "template_status": "PAUSED"}, checks.TEMPLATE_STOPPED),
        ({"is_template": True, "template_status": "APPROVED"}, None),
        ({"is_template": True, "template_status": "PAUSED", "template_waits": True}, None),
        ({"is_template": True, "template_status": "DISABLED", "template_waits": True}, checks.TEMPLATE_STOPPED),
        ({"is_template": True, "template_status": "PAUSED", "template_waits": True, "blocked": True}, checks.BLOCKED),
        ({"is_template": True, "category": "AUTHENTICATION"}, checks.NEEDS_A_NUMBER),
        ({"is_template": True, "category": "AUTHENTICATION", "wa_id": "16505551234"}, None),
        ({"is_template": True, "category": "MARKETING", "wa_id": "16505551234"}, checks.NOT_DELIVERED_THERE),
        ({"is_template": True, "category": "MARKETING", "wa_id": "16505551234", "asks_meta": True}, None),
        ({"is_template": True, "category": "MARKETING", "wa_id": "14165551234"}, None),
        ({"is_template": True, "category": "MARKETING"}, None),
        ({"is_template": True, "category": "UTILITY", "wa_id": "16505551234"}, None),
        ({"is_template": True, "category": "MARKETING", "stopped": True}, checks.WANTS_NO_MARKETING),
        ({"is_template": True, "category": "MARKETING", "opted_out": True}, checks.OPTED_OUT),
        ({"is_template": True, "category": "UTILITY", "stopped": True, "opted_out": True}, None),
        ({"stopped": True}, None),
    ],
)
def test_what_is_refused(changes: dict[str, Any], expected: checks.Refusal | None) -> None:
    assert refusal("acme", facts(**changes), NOW) == expected


def test_a_template_goes_by_its_category_and_all_else_is_an_answer() -> None:
    assert lane_of("template", "AUTHENTICATION") == "authentication"
    assert lane_of("template", "MARKETING") == "marketing"
    assert lane_of("template", None) == "utility"
    assert lane_of("text", None) == "service"


def test_a_send_lives_as_long_as_its_lane_or_as_was_said_but_never_longer_than_the_log() -> None:
    assert expires("authentication", NOW, None, None) == NOW + LIVES["authentication"]
    later = NOW + timedelta(days=2)
    assert expires("service", NOW, later, None) == later + LIVES["service"]
    assert expires("service", NOW, None, later) == later
    assert expires("service", NOW, None, NOW + timedelta(days=99)) == NOW + LONGEST


def test_what_is_asked_for_as_late_as_it_may_be_is_not_over_before_it_begins() -> None:
    for wanted in (None, NOW + timedelta(days=99)):
        assert expires("utility", NOW, NOW + LONGEST, wanted) == NOW + LONGEST + LIVES["utility"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", False),
        ({"a": ["b", 1, 1.5, True, None]}, False),
        ("a\x00", True),
        ({"a\x00": 1}, True),
        ([{"a": "\ud800"}], True),
        (2**63, True),
        (float("inf"), True),
        (float("nan"), True),
    ],
)
def test_what_tables_can_not_hold_is_found(value: Any, found: bool) -> None:
    assert unstorable(value) is found


def test_a_status_tells_of_the_send_whose_id_meta_was_given_and_a_message_of_who_wrote() -> None:
    seen, heard = facts_of(status(SEND, "delivered"))
    assert isinstance(seen, Seen)
    assert isinstance(heard, StatusOfSend)
    assert (heard.send_id, heard.status, seen.opens) == (SEND, "delivered", Opens.NO)
    assert [type(each) for each in facts_of(status("no id at all"))] == [Seen]
    [wrote] = facts_of(received("4915123456789"))
    assert isinstance(wrote, Seen)
    assert wrote.opens is Opens.YES


def test_a_choice_about_marketing_is_heard() -> None:
    event = MarketingPreferenceChanged(
        id="1", time=NOW, waba_id="1", phone_number_id="2", contact="49151", category="marketing_messages",
        choice="stop", value={},
    )  # fmt: skip
    assert Preferred("2", "49151", None, NOW, True) in list(facts_of(event))
