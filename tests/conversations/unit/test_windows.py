"""Until when somebody may be written to, as the composer shows it."""

from datetime import timedelta
from typing import Any

from threads import at, called, echoed, only_thread, received, standby, status
from wabus_conversations.threads.fold import Thread
from wabus_whatsapp.window import REFUSED, FreeEntryPoint, Window, window

HOUR = 3600
AD: dict[str, Any] = {"referral": {"source_id": "ad", "source_type": "ad"}}


def window_of(thread: Thread, now: float) -> Window:
    held = thread.summary
    return window(
        at(now),
        user_last_at=held.user_last_at,
        maybe_at=held.maybe_at,
        refused_at=held.refused_at,
        free_reported_until=held.free_reported_until,
        free_computed_until=thread.free_computed_until,
    )


def test_ten_seconds_before_the_end_it_is_open_and_at_the_end_closed() -> None:
    thread = only_thread(received("1", 0))

    assert window_of(thread, 24 * HOUR - 10) == Window("open", at(24 * HOUR), True, None)
    assert window_of(thread, 24 * HOUR) == Window("closed", at(24 * HOUR), True, None)


def test_what_the_business_sends_opens_nothing() -> None:
    thread = only_thread(echoed("1", 0), status("2", "sent", 1))

    assert window_of(thread, 2) == Window("closed", None, True, None)


def test_a_call_opens_it() -> None:
    assert window_of(only_thread(called("1", 0)), 1).state == "open"


def test_a_late_message_opens_nothing_that_is_over() -> None:
    assert window_of(only_thread(received("1", 0)), 6 * 24 * HOUR).state == "closed"


def test_a_reaction_may_open_it_until_meta_refuses() -> None:
    reaction = received("1", 0, kind="reaction", reaction={"message_id": "0", "emoji": "👍"})

    assert window_of(only_thread(reaction), 1) == Window("maybe", at(24 * HOUR), False, None)
    refused = only_thread(reaction, status("2", "failed", 2, codes=[REFUSED]))
    assert window_of(refused, 3).state == "closed"


def test_a_refusal_inside_an_open_window_is_not_hidden() -> None:
    thread = only_thread(received("1", 0), status("2", "failed", 2, codes=[REFUSED]))

    assert window_of(thread, 3) == Window("open", at(24 * HOUR), False, None)


def test_who_came_by_an_ad_and_was_answered_is_free_for_72_hours_from_the_answer() -> None:
    thread = only_thread(received("1", 0, **AD), status("2", "sent", 3 * HOUR))

    assert window_of(thread, 4 * HOUR) == Window("open", at(24 * HOUR), True, FreeEntryPoint(at(75 * HOUR), "computed"))
    later = window_of(thread, 30 * HOUR)
    assert (later.state, later.free_entry_point) == ("closed", FreeEntryPoint(at(75 * HOUR), "computed"))
    assert window_of(thread, 75 * HOUR).free_entry_point is None


def test_a_free_entry_point_opens_no_window_that_is_closed() -> None:
    thread = only_thread(received("1", 0, **AD), standby("2", 3 * HOUR, copy_of="echo"))

    later = window_of(thread, 30 * HOUR)

    assert later.state == "closed"
    assert later.free_entry_point == FreeEntryPoint(at(75 * HOUR), "computed")


def test_who_was_answered_too_late_is_not_free() -> None:
    thread = only_thread(received("1", 0, **AD), status("2", "sent", 25 * HOUR))

    assert window_of(thread, 26 * HOUR).free_entry_point is None


def test_what_meta_says_of_the_free_entry_point_goes_before_what_follows() -> None:
    until = int((at(0) + timedelta(days=7)).timestamp())
    reported = {"id": "c", "origin": {"type": "referral_conversion"}, "expiration_timestamp": str(until)}
    thread = only_thread(received("1", 0, **AD), status("2", "sent", 3 * HOUR, conversation=reported))

    assert window_of(thread, 80 * HOUR).free_entry_point == FreeEntryPoint(at(7 * 24 * HOUR), "reported")


def test_the_end_of_an_ordinary_conversation_is_no_free_entry_point() -> None:
    ordinary = {"id": "c", "origin": {"type": "service"}, "expiration_timestamp": str(int(at(HOUR).timestamp()))}

    assert only_thread(status("2", "sent", 1, conversation=ordinary)).summary.free_reported_until is None


def test_an_older_report_does_not_end_a_later_free_window() -> None:
    found = window(
        at(200 * HOUR), user_last_at=None, free_reported_until=at(72 * HOUR), free_computed_until=at(210 * HOUR)
    )

    assert found.free_entry_point == FreeEntryPoint(at(210 * HOUR), "computed")
