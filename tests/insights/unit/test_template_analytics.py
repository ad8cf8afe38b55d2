"""What Meta's answer about its own counts says, and what of it is news."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from wabus_insights.performance.template_analytics import Counted, days_in, news, query

DAY = date(2026, 11, 1)
START = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())


def answer(**counts: Any) -> dict[str, Any]:
    return {"data": [{"granularity": "DAILY", "data_points": [{"template_id": "1", "start": START, **counts}]}]}


def test_presses_of_all_buttons_are_summed_and_not_who_pressed_them() -> None:
    clicked = [{"type": "url_button", "count": 3}, {"type": "unique_url_button", "count": 2},
               {"type": "quick_reply_button", "count": 4}, "nonsense"]  # fmt: skip
    [day] = days_in(answer(sent=9, delivered=8, read=7, clicked=clicked))
    assert (day.template_id, day.day, day.sent, day.delivered, day.read, day.clicked) == ("1", DAY, 9, 8, 7, 7)


def test_a_zero_after_a_number_is_no_news() -> None:
    known = {("1", DAY): Counted(120, 118, 120, 5)}
    assert news(days_in(answer(sent=120, delivered=118, read=0, clicked=[])), known) == []
    [more] = news(days_in(answer(sent=120, delivered=119, read=0)), known)
    assert (more.delivered, more.read) == (119, None)


def test_what_is_not_as_meta_describes_it_is_left_out() -> None:
    for nonsense in ({}, {"data": 1}, {"data": [{"data_points": [{"sent": 1}, 7]}]}, {"data": [None]}):
        assert days_in(nonsense) == []
    [day] = days_in(answer(sent=-1, delivered=True, read="7"))
    assert (day.sent, day.delivered, day.read) == (None, None, None)
    assert news([day], {}) == []


def test_meta_counts_days_by_the_accounts_own_clocks_as_we_do() -> None:
    asked = query(["1", "2"], DAY, DAY, in_zone=False)
    assert (asked["start"], asked["end"], asked["template_ids"]) == (str(START), str(START + 86_400), "[1,2]")
    asked = query(["1", "2"], DAY, DAY, in_zone=True)
    assert (asked["start"], asked["end"], asked["template_ids"]) == ("2026-11-01", "2026-11-01", "[1,2]")
    assert asked["use_waba_timezone"] == "true"
    kolkata = ZoneInfo("Asia/Kolkata")
    midnight = int(datetime(2026, 11, 1, tzinfo=kolkata).timestamp())
    for start in (midnight, "2026-11-01"):
        points = [{"template_id": "1", "start": start, "sent": 1}]
        assert [day.day for day in days_in({"data": [{"data_points": points}]}, kolkata)] == [DAY]
    assert days_in({"data": [{"data_points": [{"template_id": "1", "start": "2026-13-01", "sent": 1}]}]}) == []
