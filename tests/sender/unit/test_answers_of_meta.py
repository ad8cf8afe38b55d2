"""What an answer of Meta's means: accepted, refused, to be tried again, or unknown."""

from dataclasses import replace
from typing import Any

import pytest
from wabus_sender.sending.answers import (
    MOST_TRIES,
    Accepted,
    Again,
    Refused,
    Unknown,
    after_tries,
    outcome,
    proves_that_a_number_sends,
    stands_still,
)
from wabus_sender.sending.explaining import explained
from wabus_whatsapp.sending.errors import ERRORS, HANDLING


def error(code: int, **more: Any) -> dict[str, Any]:
    return {"error": {"message": "(#1) It failed", "type": "OAuthException", "code": code, **more}}


@pytest.mark.parametrize("code", [100, 131009])
@pytest.mark.parametrize("within", ["message", "details"])
def test_who_sends_a_file_that_meta_has_no_more_is_told_to_upload_it_anew(code: int, within: str) -> None:
    said = "(#100) Param image['id'] is not a valid whatsapp business account media attachment ID"
    more = {"message": said} if within == "message" else {"error_data": {"details": said}}
    assert outcome(400, error(code, **more)) == Refused("media_gone", code)
    assert "Upload the file anew" in explained("media_gone", code).remedy
    assert outcome(400, error(code)) == Refused("request_wrong", code)


def test_an_answer_with_a_message_is_accepted() -> None:
    content = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+49 151", "wa_id": "49151", "user_id": "DE.1"}],
        "messages": [{"id": "wamid.A", "message_status": "held_for_quality_assessment"}],
    }
    assert outcome(200, content) == Accepted("wamid.A", "held_for_quality_assessment", "49151", "DE.1")


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (502, None),
        (503, None),
        (200, None),
        (200, {}),
        (200, {"messages": []}),
        (200, {"messages": [{"id": ""}]}),
        (404, None),
        (429, None),
        (500, {"error": "something"}),
        (500, {"error": {"code": "1"}}),
        (500, {"error": {"code": True}}),
        (500, {"messages": [{"id": "wamid.A"}]}),
        (200, {"messages": [{"id": "wamid.A"}], "error": {"code": 2}}),
        (500, {"messages": [{"id": "wamid.A"}], "error": {"code": 2}}),
        (200, {"messages": [{"id": "wamid.\x00"}]}),
        (200, {"messages": [{"id": "wamid.\ud83d"}]}),
        (200, {"messages": [{"id": "A" * 100_000}]}),
        (307, {"location": "https://elsewhere.example"}),
    ],
)
def test_an_answer_that_graph_did_not_give_says_nothing(status: int, content: dict[str, Any] | None) -> None:
    assert outcome(status, content) == Unknown("no_graph_answer")


def test_what_can_not_be_kept_of_whom_it_went_to_does_not_make_it_unknown() -> None:
    content = {"messages": [{"id": "wamid.A"}, {"id": "wamid.B"}], "contacts": [{"wa_id": "4\x009", "user_id": 7}]}
    assert outcome(200, content) == Accepted("wamid.A")


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_each_error_that_is_known_has_what_its_class_says(code: int) -> None:
    kind = ERRORS[code].kind
    found = outcome(400, error(code))
    if HANDLING[kind].again:
        assert isinstance(found, Again)
        assert (found.reason, found.error_code, found.counted) == (kind, code, HANDLING[kind].counted)
        assert found.wait > 0
    else:
        assert isinstance(found, Refused)
        assert (found.code, found.error_code) == ("window_closed" if kind == "needs_template" else kind, code)
        why = explained(found.code, code)
        assert why.message.endswith(".")
        assert why.remedy.endswith(".")


@pytest.mark.parametrize(
    ("code", "scope"), [(130429, "number"), (131056, "pair"), (131057, "number"), (131000, "send")]
)
def test_who_waits_is_who_the_error_is_about(code: int, scope: str) -> None:
    found = outcome(400, error(code))
    assert isinstance(found, Again)
    assert found.scope == scope


@pytest.mark.parametrize("code", [4, 80007, 17, 613])
def test_who_has_called_too_often_waits_as_long_as_meta_says_and_no_longer_than_an_hour(code: int) -> None:
    def wait(retry_after: float | None, regained_in: float) -> float:
        found = outcome(400, error(code), retry_after=retry_after, regained_in=regained_in)
        assert isinstance(found, Again)
        assert (found.reason, found.scope) == ("calls_limited", "number")
        return found.wait

    assert wait(None, 1260) == 1260
    assert wait(300, 1260) == 300
    assert wait(None, 1e9) == wait(1e9, 0) == 3600
    assert wait(None, 0) == wait(0, 0) == 20


@pytest.mark.parametrize("code", [130429, 131057, 131056, 2])
def test_an_estimate_about_calls_does_not_hold_back_what_was_refused_for_something_else(code: int) -> None:
    usual = outcome(400, error(code))
    assert isinstance(usual, Again)
    assert outcome(400, error(code), regained_in=1260) == usual
    assert outcome(400, error(code), retry_after=30) == replace(usual, wait=30)
    assert outcome(400, error(code), retry_after=86_400) == replace(usual, wait=60)


def test_an_unknown_error_is_refused_unless_it_may_pass() -> None:
    assert outcome(400, error(999_999)) == Refused("refused_by_meta", 999_999)
    assert isinstance(outcome(500, error(999_999)), Again)
    assert isinstance(outcome(400, error(999_999, is_transient=True)), Again)


def test_trouble_is_tried_a_few_times_with_growing_pauses_and_then_refused() -> None:
    found = outcome(500, error(2))
    assert isinstance(found, Again)
    tries = [after_tries(found, number) for number in range(1, MOST_TRIES + 1)]
    waits = [each.wait for each in tries if isinstance(each, Again)]
    assert waits == sorted(waits)
    assert len(waits) == MOST_TRIES - 1
    assert tries[-1] == Refused("meta_in_trouble", 2)


def test_who_was_only_too_fast_loses_no_try() -> None:
    found = outcome(400, error(130429))
    assert isinstance(found, Again)
    assert after_tries(found, 100) == found


def test_a_number_that_meta_has_named_a_wait_for_is_tried_with_one_call_before_it_goes_on_at_full_speed() -> None:
    too_fast = {"error": {"code": 130429}}
    slower, later = outcome(429, too_fast), outcome(429, too_fast, retry_after=30.0)
    assert isinstance(slower, Again)
    assert isinstance(later, Again)
    assert [stands_still(each) for each in (slower, later)] == [False, True]
    assert [proves_that_a_number_sends(each) for each in (slower, later)] == [True, False]
    assert not stands_still(Again("not_connected", 1.0))
