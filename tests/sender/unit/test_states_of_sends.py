"""The state of a send follows from the set of its events, and a possible call weighs more than a wish."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    Event,
    MessageAccepted,
    SendCancelled,
    SendClaimed,
    SendExpired,
    SendRefused,
    SendRequested,
    SendReturned,
    SendSettled,
    SendUnknown,
)
from wabus_sender.sending.states import Send, State, fold

START = datetime(2026, 11, 30, tzinfo=UTC)
ABOUT: dict[str, Any] = {
    "org_id": "acme", "waba_id": "1", "phone_number_id": "2", "send_id": "7c1d2f3e-8a55-4d0c-9d4f-1f3f8f8f2a10",
}  # fmt: skip


def event(kind: type[Event], second: int = 0, /, **fields: Any) -> Event:
    return kind(id=f"{kind.__name__} {second} {fields}", time=START + timedelta(seconds=second), **ABOUT, **fields)


def requested() -> Event:
    expires = START + timedelta(hours=1)
    return event(SendRequested, lane="service", kind="text", to="491512", message={}, expires_at=expires)


def claimed(attempt: int = 1) -> Event:
    return event(SendClaimed, attempt, attempt=attempt)


def returned(attempt: int = 1) -> Event:
    return event(SendReturned, attempt, attempt=attempt, reason="not_connected", retry_at=START)


def unknown(attempt: int = 1) -> Event:
    return event(SendUnknown, attempt, attempt=attempt, reason="answer_lost")


def accepted(attempt: int = 1) -> Event:
    return event(MessageAccepted, attempt, attempt=attempt, wamid="wamid.A", kind="text")


def refused(attempt: int = 1, stage: str = "graph") -> Event:
    return event(SendRefused, attempt, attempt=attempt, stage=stage, code="window_closed")


SETTLED, CANCELLED, EXPIRED = event(SendSettled, by="status", wamid="wamid.A"), event(SendCancelled), event(SendExpired)


def state_after(events: Sequence[Event]) -> State:
    return reduce(fold, events, Send()).state


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "queued"),
        ([claimed()], "calling"),
        ([claimed(), returned()], "queued"),
        ([claimed(), returned(), claimed(2)], "calling"),
        ([claimed(), unknown()], "unknown"),
        ([claimed(), unknown(), SETTLED], "accepted"),
        ([claimed(), SETTLED], "accepted"),
        ([claimed(), accepted()], "accepted"),
        ([claimed(), unknown(), accepted()], "accepted"),
        ([claimed(), refused()], "refused"),
        ([claimed(), returned(), refused(1, "check")], "refused"),
        ([refused(0, "check")], "refused"),
        ([CANCELLED], "cancelled"),
        ([EXPIRED], "expired"),
        ([claimed(), CANCELLED], "calling"),
        ([claimed(), EXPIRED], "calling"),
        ([claimed(), unknown(), CANCELLED], "unknown"),
        ([claimed(), returned(), CANCELLED], "cancelled"),
        ([claimed(), returned(), EXPIRED], "expired"),
        ([claimed(), returned(), claimed(2), unknown(2)], "unknown"),
        ([refused(0, "check"), claimed()], "calling"),
    ],
)
def test_what_events_add_up_to(events: Sequence[Event], state: State) -> None:
    assert state_after([requested(), *events]) == state


EVENTS = st.sampled_from(
    [
        requested(), SETTLED, CANCELLED, EXPIRED,
        *(made(attempt) for attempt in (1, 2, 3) for made in (claimed, returned, unknown, accepted, refused)),
        refused(0, "check"), refused(1, "check"),
        event(SendReturned, 9, attempt=1, reason="busy_pair", retry_at=START + timedelta(seconds=4), error_code=131056),
        event(SendSettled, 5, by="status", wamid="wamid.B"),
        event(SendCancelled, 7),
    ]
)  # fmt: skip


def naive(events: Sequence[Event]) -> State:
    """The same read off the whole set, without a fold."""

    def attempts(kind: type[Any]) -> set[int]:
        return {each.attempt for each in cast(list[Any], list(events)) if isinstance(each, kind)}

    made = max(attempts(SendClaimed) | attempts(SendReturned) | attempts(SendUnknown), default=0)
    if attempts(MessageAccepted) or any(isinstance(each, SendSettled) for each in events):
        return "accepted"
    if max(attempts(SendRefused), default=-1) >= made:
        return "refused"
    if made > max(attempts(SendReturned), default=0):
        return "unknown" if made in attempts(SendUnknown) else "calling"
    if any(isinstance(each, SendCancelled) for each in events):
        return "cancelled"
    return "expired" if any(isinstance(each, SendExpired) for each in events) else "queued"


@given(st.lists(EVENTS, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=examples(400))
def test_the_order_and_the_repetition_of_events_change_nothing(events: list[Event], chance: Any) -> None:
    turned = [*events, *chance.choices(events, k=3)] if events else []
    chance.shuffle(turned)
    assert reduce(fold, turned, Send()) == reduce(fold, events, Send())


@given(st.lists(EVENTS, max_size=12))
@settings(max_examples=examples(400))
def test_the_state_is_that_of_the_set(events: list[Event]) -> None:
    assert state_after(events) == naive(events)


@given(st.lists(EVENTS, max_size=12))
@settings(max_examples=examples(200))
def test_what_may_have_been_sent_is_queued_again_only_where_it_is_certain_that_it_was_not(events: list[Event]) -> None:
    if state_after(events) == "queued":
        open_attempts = {each.attempt for each in events if isinstance(each, SendClaimed | SendUnknown)}
        returned_until = max((each.attempt for each in events if isinstance(each, SendReturned)), default=0)
        assert all(attempt <= returned_until for attempt in open_attempts)
