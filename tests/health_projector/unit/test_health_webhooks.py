"""What the webhooks beside messages mean for health: copies, echoes and calls nothing, an account that left a lot."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from wabus_events import (
    AccountUpdated,
    CallReported,
    ContactIdentityChanged,
    ContactSynced,
    Event,
    HistoryProgressed,
    MarketingPreferenceChanged,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessagingFailed,
    SendRefused,
    SendReturned,
    StandbyReceived,
    ThreadControlChanged,
    Unrecognised,
)
from wabus_events.testing import an
from wabus_events.webhooks.items import LEFT
from wabus_health_projector.health.traffic import Message
from wabus_health_projector.tables.number_errors import errors_in
from wabus_health_projector.worker.projector import arrivals_in, understood_now
from wabus_runtime.projection.recorded import Recorded

LOGGED_AT = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
NO_MESSAGES = [
    *(StandbyReceived, MessageEchoed, MessageImported, HistoryProgressed, ContactSynced, CallReported),
    *(ContactIdentityChanged, MarketingPreferenceChanged, ThreadControlChanged),
]


def recorded(*events: Event) -> list[Recorded]:
    return [Recorded(event, event.topic.name, 0, place, LOGGED_AT) for place, event in enumerate(events)]


@pytest.mark.parametrize("kind", NO_MESSAGES)
def test_what_nobody_sent_us_just_now_is_not_counted_as_a_message(kind: type[Event]) -> None:
    event = an(kind)
    assert not isinstance(event, Message)
    assert isinstance(an(MessageReceived), Message)
    assert arrivals_in(recorded(event)) == {event.subject: LOGGED_AT}  # but a webhook has come


def unrecognised(field: str, value: Any, reason: str = "no model for this field") -> Unrecognised:
    return an(Unrecognised, time=LOGGED_AT, waba_id="102", field=field, value=value, reason=reason)


def test_an_account_that_left_before_the_upgrade_has_left() -> None:
    [found] = understood_now(recorded(an(MessageReceived), unrecognised("account_offboarded", {"reason": "R"})))
    assert isinstance(found.event, AccountUpdated)
    assert (found.event.event, found.event.waba_id, found.event.reason) == ("ACCOUNT_OFFBOARDED", "102", "R")
    assert (found.offset, found.logged_at) == (1, LOGGED_AT)


def test_errors_that_came_beside_messages_before_the_upgrade_are_those_of_the_number() -> None:
    value = {"metadata": {"phone_number_id": "9"}, "errors": [{"code": 130429}]}
    [found] = understood_now(recorded(unrecognised("messages", value, LEFT)))
    assert isinstance(found.event, MessagingFailed)
    assert [place[2:4] for place in errors_in([found])] == [("9", 130429)]


def test_of_what_meta_answers_the_sender_only_what_concerns_a_number_or_account_is_told() -> None:
    about: dict[str, Any] = {"phone_number_id": "9", "time": LOGGED_AT - timedelta(minutes=1)}
    told = [
        an(SendReturned, error_code=131042, **about),
        an(SendReturned, error_code=130429, **about),  # the sender slows down by itself
        an(SendReturned, error_code=None, **about),
        an(SendRefused, stage="graph", error_code=131031, **about),
        an(SendRefused, stage="graph", error_code=131026, **about),  # of this one person
        an(SendRefused, stage="check", error_code=131031, **about),  # Meta was not asked
    ]
    assert sorted(place[3] for place in errors_in(recorded(*told))) == [131031, 131042]


def test_a_history_of_before_the_upgrade_costs_health_nothing() -> None:
    threads = [{"id": "1", "messages": [{"id": "wamid.A", "type": "text"}]}]
    value = {"metadata": {"phone_number_id": "9"}, "history": [{"threads": threads}]}
    assert understood_now(recorded(unrecognised("history", value))) == []
