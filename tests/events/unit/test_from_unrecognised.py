"""Who reads the `Unrecognised` of the release before gets, fact for fact and id for id, what the gateway tells now."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meta_values import ABOUT, BUSINESS, CUSTOMER, ENTRY_TIME, NOW, USER, Json, facts_of, value_of
from profiles import examples
from wabus_events import Event, MessageReceived, MessageStatusChanged, MessagingFailed, Unrecognised, decode, encode
from wabus_events.webhooks.about import About, unrecognised
from wabus_events.webhooks.changes import MANY, NO_MODEL, SINCE_0_3
from wabus_events.webhooks.unrecognised import from_unrecognised
from webhooks import PHONE, WABA

SOURCE = "/wabus/gateway"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def in_kafka(event: Event) -> Event:
    record = encode(event, SOURCE)
    return decode([*record.headers, ("ce_traceparent", TRACE.encode())], record.value)


def told_before(field: str, value: Json, about: About) -> Unrecognised:
    """What the release before published of it, as it is read from Kafka."""
    (event,) = [event for event in unrecognised(value, about, field, NO_MODEL) if event is not None]
    read = in_kafka(event)
    assert isinstance(read, Unrecognised)
    return read


@dataclass(frozen=True)
class Sample:
    field: str
    value: Json


MESSAGE = {"from": CUSTOMER, "id": "wamid.A", "timestamp": "1750101000", "type": "text", "text": {"body": "Grüße 😀"}}
THREAD = {"id": CUSTOMER, "messages": [MESSAGE, MESSAGE | {"id": "wamid.B", "from": BUSINESS}, 7]}
SAMPLES = [
    Sample("smb_message_echoes", value_of(message_echoes=[{"to": CUSTOMER, "id": "wamid.A", "type": "text"}])),
    Sample("smb_message_echoes", value_of(message_echoes=[{"to": CUSTOMER, "id": "wamid.A"}, {}], new=[1.5])),
    Sample("history", value_of(history=[{"metadata": {"phase": 0, "progress": 55}, "threads": [THREAD, THREAD]}])),
    Sample("history", value_of(history=[{"errors": [{"code": 2593109}]}])),
    Sample("history", value_of(messages=[MESSAGE])),
    Sample(
        "smb_app_state_sync", value_of(state_sync=[{"type": "contact", "contact": {"user_id": USER}, "action": "a"}])
    ),
    Sample("user_id_update", value_of(user_id_update=[{"user_id": {"previous": "US.1", "current": "US.2"}}])),
    Sample(
        "user_preferences",
        value_of(user_preferences=[{"wa_id": CUSTOMER, "category": "marketing_messages", "value": "stop"}]),
    ),
    Sample("messaging_handovers", {"recipient": {"phone_number_id": PHONE}, "type": "control_taken"}),
    Sample("standby", value_of(standby={"messages": [MESSAGE], "statuses": [{"id": "w", "status": "s"}]})),
    Sample("calls", value_of(calls=[{"id": "wacid.A", "event": "connect", "from": CUSTOMER}])),
    Sample("account_offboarded", {"waba_id": WABA, "reason": "USER_INITIATED"}),
    Sample("account_reconnected", {"timestamp": 1_750_101_000}),
]
ENTRIES = [
    ABOUT,
    About(WABA, None, NOW, "acme"),  # without a time of its own
    About(WABA, datetime(2026, 11, 2, 3, 4, 5, 678_000, UTC), NOW, None),
    About(WABA, ENTRY_TIME, NOW, None, portfolio_id="506914307656634"),
]


def test_each_field_that_got_a_model_is_among_the_samples() -> None:
    assert {sample.field for sample in SAMPLES} == SINCE_0_3


@pytest.mark.parametrize("about", ENTRIES)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.field)
def test_nothing_of_the_30_days_before_an_upgrade_is_lost_or_told_otherwise(sample: Sample, about: About) -> None:
    now = [event for event in facts_of(sample.field, sample.value, about) if not isinstance(event, Unrecognised)]
    assert now
    assert [*from_unrecognised(told_before(sample.field, sample.value, about))] == [in_kafka(event) for event in now]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.field)
def test_for_one_release_it_may_be_told_as_before_too(sample: Sample) -> None:
    both = facts_of(sample.field, sample.value, ABOUT._replace(unrecognised_too=True))
    assert in_kafka(both[0]) == told_before(sample.field, sample.value, ABOUT)
    assert both[1:] == facts_of(sample.field, sample.value)


def test_errors_that_were_kept_beside_messages_are_read_as_those_of_the_number() -> None:
    value = value_of(messages=[MESSAGE, MESSAGE], errors=[{"code": 130429}], new=1, contacts=[{"wa_id": "else"}])
    *_, left_now, failed = facts_of("messages", value)
    *_, left, _ = facts_of("messages", value, ABOUT._replace(unrecognised_too=True))
    assert isinstance(left_now, Unrecognised)
    assert "errors" not in left_now.value
    assert isinstance(left, Unrecognised)
    assert left.value == value_of(errors=[{"code": 130429}], new=1, contacts=[{"wa_id": "else"}])
    assert [*from_unrecognised(left)] == [failed]
    assert isinstance(failed, MessagingFailed)


def test_errors_that_had_no_model_once_are_read_as_those_of_the_number() -> None:
    value = value_of(errors=[{"code": 130429}])
    assert [*from_unrecognised(told_before("messages", value, ABOUT))] == [
        in_kafka(event) for event in facts_of("messages", value)
    ]


@pytest.mark.parametrize(
    "event",
    [
        Unrecognised(id="1", time=NOW, reason="no JSON", body="e30="),
        Unrecognised(id="1", time=NOW, reason="?", waba_id=WABA, field="history", value=[1]),
        Unrecognised(id="1", time=NOW, reason="?", waba_id=WABA, field="flows", value={"event": "?"}),
        Unrecognised(id="1", time=NOW, reason="?", waba_id=WABA, field="security", value={"event": "?"}),
    ],
)
def test_what_still_has_no_model_is_read_as_nothing_else(event: Unrecognised) -> None:
    assert [*from_unrecognised(event)] == []


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.floats(0, 1),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=5,
)
people = st.sampled_from(["1", "2", f"+{CUSTOMER}", BUSINESS, USER, ""])
PERSONAL = ("from", "to", "wa_id", "user_id", "to_user_id", "from_user_id", "recipient_id", "recipient_user_id")
WORDS = ("type", "event", "value", "status", "action", "category", "direction", "recipient_type")
words = st.sampled_from(["edit", "revoke", "system", "contact", "add", "stop", "marketing_messages", "group", "read"])
parts = st.dictionaries(st.sampled_from(["id", "original_message_id", "type", "previous", "current"]), people | words)
half_fitting = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=3) | json_values,
        **dict.fromkeys(PERSONAL, people | json_values),
        **dict.fromkeys(WORDS, words | json_values),
        **dict.fromkeys(
            ("contact", "context", "message", "edit", "system", "metadata", "profile"), parts | json_values
        ),
        "errors": st.lists(st.fixed_dictionaries({"code": st.integers(0, 9)})) | json_values,
        "timestamp": st.sampled_from(["1750101000", 1_750_101_000]) | json_values,
        "history_context": parts | json_values,
    },
)
threads = st.fixed_dictionaries(
    {},
    optional={"id": people, "context": parts, "messages": st.lists(half_fitting | json_values, max_size=3), "n": words},
)
half_lists = {
    name: st.lists(half_fitting | json_values, max_size=3) | json_values
    for name in (
        *("messages", "statuses", "contacts", "message_echoes", "state_sync", "user_id_update", "user_preferences"),
        *("calls", "errors"),
    )
}
half_values = st.fixed_dictionaries(
    {"metadata": st.just({"phone_number_id": PHONE, "display_phone_number": BUSINESS}) | json_values},
    optional={
        **half_lists,
        "history": st.lists(
            st.fixed_dictionaries({}, optional={"threads": st.lists(threads | json_values, max_size=2), "x": words})
            | half_fitting
        ),
        "standby": st.fixed_dictionaries({}, optional=half_lists) | json_values,
        "recipient": st.just({"phone_number_id": PHONE}) | json_values,
        "sender": parts | json_values,
        "type": words | json_values,
        "edit": parts | json_values,
    },
)


@settings(max_examples=examples(600))
@given(st.sampled_from([*MANY, "account_offboarded"]), half_values, st.sampled_from(ENTRIES))
def test_whatever_a_field_holds_nothing_is_lost_and_both_readings_agree(field: str, value: Json, about: About) -> None:
    before = json.dumps(value)
    events = facts_of(field, value, about)
    assert events
    kept = json.dumps([in_kafka(event).model_dump(mode="json") for event in events])
    for leaf in leaves(value):
        assert json.dumps(leaf)[1:-1] in kept
    assert len({event.id for event in events}) <= len(events)
    if field in SINCE_0_3:
        now = [in_kafka(event) for event in events if not isinstance(event, Unrecognised)]
        assert [*from_unrecognised(told_before(field, value, about))] == now
        assert not any(isinstance(event, MessageReceived | MessageStatusChanged) for event in now)
    assert json.dumps(value) == before  # whoever holds it still has it


def leaves(part: Any) -> Iterator[str]:
    match part:
        case dict():
            for inner in part.values():  # pyright: ignore[reportUnknownVariableType]
                yield from leaves(inner)
        case list():
            for inner in part:  # pyright: ignore[reportUnknownVariableType]
                yield from leaves(inner)
        case str():
            yield part
        case _:
            pass
