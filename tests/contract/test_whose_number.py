"""Whose number it was, since when, and how it is charged: the page's own fold answers from accounts.v1 alone."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

from wabus_events import AccountChecked, AccountConnected, AccountDisconnected, CheckedNumber, Event, PhoneNumber

PAGE = (Path(__file__).parents[2] / "docs/subscribe.md").read_text(encoding="utf-8")
START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def the_pages_fold() -> dict[str, Any]:
    (block,) = [each for each in PAGE.split("```python\n")[1:] if "def whose" in each]
    space: dict[str, Any] = {}
    exec(compile(block.partition("```")[0], "subscribe.md", "exec"), space)
    return space


def fact(kind: type[Event], day: int, waba: str = "1", **fields: Any) -> Event:
    return kind.model_validate({"id": f"{kind.type} {day}", "time": START + day * DAY, "waba_id": waba, **fields})


ZONE: dict[str, Any] = {"time_zone_id": 47, "time_zone": "Europe/Berlin", "currency": "EUR", "portfolio_id": "5"}
HISTORY = (
    fact(AccountConnected, 0, org_id="anna", phone_numbers=[PhoneNumber(phone_number_id="9")]),
    fact(AccountChecked, 1, our_callback_url="u", numbers=[CheckedNumber(phone_number_id=n) for n in "98"], **ZONE),
    fact(AccountChecked, 2, our_callback_url="u", error_code="token_expired"),
    fact(AccountDisconnected, 3, org_id="anna", reason="asked"),
    fact(AccountConnected, 5, org_id="ben", country="DE", phone_numbers=[PhoneNumber(phone_number_id="9")]),
)


def test_the_answers_are_the_same_in_whatever_order_the_events_are_read() -> None:
    for order in permutations(HISTORY):
        answers_are_right(order)


def answers_are_right(order: tuple[Event, ...]) -> None:
    page = the_pages_fold()
    for event in (*order, *order):
        page["fold"](event)

    def at(day: int) -> Any:
        moment = START + day * DAY
        return page["whose"]("1", moment), page["numbers"]("1", moment), page["charged_by_the_days_of"]("1", moment)

    anna, ben = ("anna", START), ("ben", START + 5 * DAY)
    assert at(-1) == (None, set(), None)
    assert at(0) == (anna, {"9"}, None)
    assert at(1) == at(2) == (anna, {"9", "8"}, "Europe/Berlin")
    assert at(3) == at(4) == (None, {"9", "8"}, "Europe/Berlin")
    assert at(5) == at(99) == (ben, {"9"}, "Europe/Berlin")
    assert page["whose"]("2", START) is None
