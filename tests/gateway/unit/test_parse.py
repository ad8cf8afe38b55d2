"""What Meta's payloads become: one event for each message, status and change, and nothing lost."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_events import (
    AccountAlerted,
    AccountReviewed,
    AccountUpdated,
    CapabilityChanged,
    Event,
    HistoryProgressed,
    MessageImported,
    MessageReceived,
    MessageStatusChanged,
    MessagingFailed,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
    Unrecognised,
    decode,
    encode,
)
from wabus_gateway.webhooks.parse import facts_in
from wabus_health_projector.health.fold import fold
from wabus_health_projector.health.state import WabaHealth
from webhooks import PHONE, WABA, conversation, encoded, status, template_status, text, webhook

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def facts(payload: Any, *, owner: str | None = "demo") -> list[Event]:
    body = payload if isinstance(payload, bytes) else encoded(payload)
    return list(facts_in(body, received_at=NOW, owner=lambda _waba: owner))


def test_a_message_keeps_metas_value_with_only_itself_in_it() -> None:
    contacts = [{"wa_id": "1", "profile": {"name": "Ann"}}, {"wa_id": "2", "profile": {"name": "Bob"}}]
    first, second = facts(
        webhook(conversation(messages=[text("wamid.A", "1"), text("wamid.B", "2")], contacts=contacts))
    )
    assert isinstance(first, MessageReceived)
    assert isinstance(second, MessageReceived)
    assert first.value["messages"] == [text("wamid.A", "1")]
    assert first.value["contacts"] == [contacts[0]]
    assert second.value["contacts"] == [contacts[1]]
    assert (first.key, first.subject, first.org_id) == (f"{PHONE}:1", WABA, "demo")
    assert first.time == datetime.fromtimestamp(1700000001, UTC)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"from": "1"}, {"from": "2"}),
        ({"from_user_id": "BR.1"}, {"from_user_id": "BR.2"}),
        ({"recipient_id": "1", "recipient_user_id": "BR.1"}, {"recipient_id": "2", "recipient_user_id": "BR.2"}),
        ({"recipient_user_id": "BR.1"}, {"recipient_user_id": "BR.2"}),
        (
            {"recipient_id": "G", "recipient_participant_id": "1"},
            {"recipient_id": "G", "recipient_participant_id": "2"},
        ),
        (
            {"recipient_id": "G", "participant_recipient_id": "1"},
            {"recipient_id": "G", "participant_recipient_id": "2"},
        ),
        (
            {"recipient_id": "G", "recipient_participant_user_id": "BR.1"},
            {"recipient_id": "G", "recipient_participant_user_id": "BR.2"},
        ),
    ],
)
def test_who_it_was_is_not_lost_where_several_come_at_once(first: dict[str, str], second: dict[str, str]) -> None:
    contacts = [{"wa_id": "1", "user_id": "BR.1"}, {"wa_id": "2", "user_id": "BR.2"}]
    about = {"id": "wamid.A", "timestamp": "1700000001"}
    if any(name.startswith("from") for name in first):
        change = conversation(
            messages=[{**about, **each, "type": "text"} for each in (first, second)], contacts=contacts
        )
    else:
        change = conversation(
            statuses=[{**about, **each, "status": "read"} for each in (first, second)], contacts=contacts
        )
    assert [event.model_dump()["value"].get("contacts") for event in facts(webhook(change))] == [
        [contacts[0]],
        [contacts[1]],
    ]


def test_members_of_a_group_are_not_read_in_another_order_than_they_wrote() -> None:
    told = facts(
        webhook(
            conversation(messages=[text(f"wamid.{sender}", sender) | {"group_id": "G"} for sender in ("1", "2")]),
            conversation(statuses=[status("wamid.3", "read", "G", recipient_participant_id="1")]),
        )
    )
    assert {event.key for event in told} == {f"{PHONE}:G"}
    assert [event.contact for event in told if isinstance(event, MessageReceived)] == ["1", "2"]


def test_contacts_that_are_told_thousands_of_times_are_kept_once() -> None:
    change = conversation(
        messages=[text(f"wamid.{number}", "1") for number in range(1000)], contacts=[{"wa_id": "1"}] * 1000
    )
    kept = [event.model_dump()["value"].get("contacts", []) for event in facts(webhook(change))]
    assert sum(map(len, kept)) == 1000


def test_a_message_alone_keeps_its_value_to_the_last_byte() -> None:
    change = conversation(messages=[text("wamid.A")], contacts=[{"wa_id": "7"}], something_new={"a": [1]})
    (event,) = facts(webhook(change))
    assert isinstance(event, MessageReceived)
    assert event.value == change["value"]


def test_a_failed_status_carries_its_error_codes() -> None:
    (event,) = facts(webhook(conversation(statuses=[status("wamid.A", "failed", errors=[{"code": 131047}])])))
    assert isinstance(event, MessageStatusChanged)
    assert (event.status, event.error_codes) == ("failed", [131047])


def test_a_message_type_never_seen_before_is_a_message() -> None:
    (event,) = facts(
        webhook(conversation(messages=[{"from": "1", "id": "wamid.A", "type": "hologram", "hologram": {}}]))
    )
    assert isinstance(event, MessageReceived)
    assert event.message_type == "hologram"


def test_entries_and_changes_are_taken_apart_in_order() -> None:
    first = webhook(conversation(messages=[text("wamid.A")]), template_status(), waba_id="1")
    second = webhook(conversation(statuses=[status("wamid.B")]), waba_id="2")
    payload = {**first, "entry": first["entry"] + second["entry"]}
    assert [(type(event), event.subject) for event in facts(payload)] == [
        (MessageReceived, "1"),
        (TemplateStatusChanged, "1"),
        (MessageStatusChanged, "2"),
    ]


@pytest.mark.parametrize(
    ("named", "ours"),
    [
        ({"waba_info": {"waba_id": WABA, "partner_app_id": "1234567890"}}, True),
        ({"waba_info": {"waba_id": WABA, "partner_app_id": "999"}}, False),
        ({"partner_app_id": 999}, False),
        ({"waba_info": {"waba_id": WABA}}, None),
        ({}, None),
    ],
)
def test_an_account_fails_because_somebody_removed_another_app_from_it(
    named: dict[str, Any], ours: bool | None
) -> None:
    change = {"field": "account_update", "value": {"event": "PARTNER_APP_UNINSTALLED", **named}}
    [event] = facts_in(encoded(webhook(change)), received_at=NOW, owner=lambda _waba: None, app_id="1234567890")
    assert isinstance(event, AccountUpdated)
    assert event.of_our_app is ours
    removed = fold(WabaHealth(waba_id=WABA), event, NOW).account_events
    assert set(removed) == (set() if ours is False else {"PARTNER_APP_UNINSTALLED"})


@pytest.mark.parametrize(
    ("word", "limit"),
    [(10_000, 10_000), ("10000", 10_000), (-1, -1), ("TIER_UNLIMITED", -1), ("TIER_2K", 2000), ("TIER_NOT_SET", None)],
)
def test_nobody_sees_what_a_business_may_send_when_meta_calls_it_otherwise(word: Any, limit: int | None) -> None:
    value = {"max_daily_conversations_per_business": word, "max_phone_numbers_per_waba": 25}
    [event] = facts(webhook({"field": "business_capability_update", "value": value}))
    assert isinstance(event, CapabilityChanged)
    assert (event.max_daily_conversations_per_business, event.max_phone_numbers_per_waba) == (limit, 25)


RATE_LIMIT = {"code": 130429, "title": "Rate limit hit", "error_data": {"details": "too many"}}


def test_an_error_that_meta_tells_with_no_message_is_nobodys() -> None:
    change = conversation(errors=[RATE_LIMIT])
    [event] = facts(webhook(change))
    assert isinstance(event, MessagingFailed)
    assert (event.error_codes, event.phone_number_id, event.value) == ([130429], PHONE, change["value"])
    [later] = facts(webhook(change, time=1_700_000_001))
    assert later.id != event.id
    [again] = facts(webhook(change))
    assert again.id == event.id


@pytest.mark.parametrize("errors", [None, 7, [7], [{}], [{"code": "x"}], [{"code": None}]])
def test_errors_that_are_none_are_kept_whole(errors: Any) -> None:
    [event] = facts(webhook(conversation(errors=errors)))
    assert isinstance(event, Unrecognised)
    assert event.value["errors"] == errors


TEMPLATE = {"message_template_id": 12, "message_template_name": "promo", "message_template_language": "de"}
CHANGES: list[tuple[str, dict[str, Any], type[Event]]] = [
    ("message_template_status_update", {"event": "PAUSED", "reason": "x", **TEMPLATE}, TemplateStatusChanged),
    ("message_template_quality_update", {"new_quality_score": "RED", **TEMPLATE}, TemplateQualityChanged),
    ("template_category_update", {"new_category": "MARKETING", **TEMPLATE}, TemplateCategoryChanged),
    ("message_template_components_update", {"message_template_element": "Hi", **TEMPLATE}, TemplateComponentsChanged),
    ("account_update", {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}, AccountUpdated),
    ("account_review_update", {"decision": "APPROVED"}, AccountReviewed),
    ("account_alerts", {"alert_info": {"alert_type": "OBA", "alert_severity": "CRITICAL"}}, AccountAlerted),
    ("business_capability_update", {"max_daily_conversation_per_phone": 100}, CapabilityChanged),
    (
        "phone_number_quality_update",
        {"display_phone_number": "1", "event": "DOWNGRADE", "current_limit": "TIER_1K"},
        PhoneNumberQualityChanged,
    ),
    ("phone_number_name_update", {"display_phone_number": "1", "decision": "APPROVED"}, PhoneNumberNameReviewed),
    ("security", {"display_phone_number": "1", "event": "PIN_CHANGED"}, SecurityChanged),
]


@pytest.mark.parametrize(("field", "value", "kind"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_field_with_a_model_becomes_its_event(field: str, value: dict[str, Any], kind: type[Event]) -> None:
    (event,) = facts(webhook({"field": field, "value": value}))
    assert type(event) is kind
    assert event.model_dump()["value"] == value
    assert event.subject == WABA


@pytest.mark.parametrize("field", [change[0] for change in CHANGES if change[1]])
def test_a_known_field_without_what_it_needs_is_kept_whole(field: str) -> None:
    *_, event = facts(webhook({"field": field, "value": {"odd": True}}))
    value = event.model_dump()["value"]
    assert value == {"odd": True}


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        (
            "security",
            {"display_phone_number": "1", "event": "PIN_RESET_REQUEST", "requester": "61555822107539"},
            {"display_phone_number": "1", "event": "PIN_RESET_REQUEST"},
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "contact": {"wa_id": "16505551234", "name": "Ann"}},
            {"event": "DISABLED_UPDATE"},
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "by": "Ann"}, "country": {"a": 1}},
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}},
        ),
    ],
)
def test_a_person_in_an_accounts_webhook_is_not_kept_for_ever_and_nothing_of_it_is_lost(
    field: str, value: dict[str, Any], kept: dict[str, Any]
) -> None:
    modelled, rest = facts(webhook({"field": field, "value": value}))
    assert modelled.topic.retention is None
    assert modelled.model_dump()["value"] == kept
    assert isinstance(rest, Unrecognised)
    assert rest.topic.retention is not None
    assert (rest.field, rest.value, rest.waba_id, rest.org_id) == (field, value, WABA, "demo")
    alone, *others = facts(webhook({"field": field, "value": kept}))
    assert (type(alone), others) == (type(modelled), [])


def test_a_field_never_seen_before_is_kept_whole() -> None:
    (event,) = facts(webhook({"field": "teleportation", "value": {"to": "Mars"}}))
    assert isinstance(event, Unrecognised)
    assert (event.field, event.value, event.waba_id) == ("teleportation", {"to": "Mars"}, WABA)


def test_what_belongs_to_no_single_message_is_kept_once() -> None:
    change = conversation(messages=[text("wamid.A"), text("wamid.B")], hints=[1], contacts=[{"wa_id": "else"}])
    kept = [event for event in facts(webhook(change)) if isinstance(event, Unrecognised)]
    assert [(event.value["hints"], event.value["contacts"]) for event in kept] == [([1], [{"wa_id": "else"}])]


@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_a_number_are_not_missed_because_messages_come_along(count: int) -> None:
    messages = [text(f"wamid.{number}") for number in range(count)]
    change = conversation(messages=messages, errors=[RATE_LIMIT])
    *received, failed = facts(webhook(change))
    assert [type(event) for event in received] == [MessageReceived] * count
    assert isinstance(failed, MessagingFailed)
    assert (failed.error_codes, failed.phone_number_id, failed.value["errors"]) == ([130429], PHONE, [RATE_LIMIT])
    assert "messages" not in failed.value
    alone = conversation(errors=[RATE_LIMIT])
    assert failed.id == facts(webhook(alone))[0].id


@pytest.mark.parametrize("own", [{}, {"errors": [{"code": 131026}]}])
def test_a_number_is_not_refused_because_the_error_of_one_failed_message_stands_beside_it(own: dict[str, Any]) -> None:
    change = conversation(statuses=[status("wamid.A", "failed", **own)], errors=[{"code": 131026}])
    (event,) = facts(webhook(change))
    assert isinstance(event, MessageStatusChanged)
    assert event.error_codes == [131026]


def test_another_error_beside_a_failed_message_is_the_numbers() -> None:
    change = conversation(
        statuses=[status("wamid.A", "failed", errors=[{"code": 131026}])], errors=[{"code": 131026}, RATE_LIMIT]
    )
    failed, refused = facts(webhook(change))
    assert isinstance(failed, MessageStatusChanged)
    assert isinstance(refused, MessagingFailed)
    assert (failed.error_codes, refused.error_codes) == ([131026], [130429])


@pytest.mark.parametrize("errors", [7, [7], [{}], [{"code": "x"}]])
def test_a_failed_message_is_not_lost_because_what_stands_beside_it_is_odd(errors: Any) -> None:
    (event,) = facts(webhook(conversation(statuses=[status("wamid.A", "failed")], errors=errors)))
    assert isinstance(event, MessageStatusChanged)
    assert event.error_codes == []


@pytest.mark.parametrize("errors", [7, [7], [{}], [{"code": "x"}]])
def test_what_is_no_error_beside_messages_is_kept(errors: Any) -> None:
    change = conversation(messages=[text("wamid.A"), text("wamid.B")], errors=errors)
    kept = [event for event in facts(webhook(change)) if isinstance(event, Unrecognised)]
    assert [event.value["errors"] for event in kept] == [errors]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'"\\ud800"', b"[1e999]", b"nul", b'{"a": 123456789012345678901234}']
)
def test_a_body_that_cannot_be_passed_on_as_json_is_kept_as_bytes(body: bytes) -> None:
    (event,) = facts(body)
    assert isinstance(event, Unrecognised)
    assert base64.b64decode(event.body or "") == body


@pytest.mark.parametrize("odd", ["123456789012345678901234567890", '"\\ud83d"', "[" * 260 + "]" * 260])
def test_a_change_that_json_cannot_carry_on_is_kept_as_bytes_and_the_others_as_usual(odd: str) -> None:
    payload = webhook({"field": "new", "value": {"odd": 0}}, conversation(statuses=[status("wamid.A")]))
    kept, other = facts(encoded(payload).replace(b'"odd": 0', f'"odd": {odd}'.encode()))
    assert isinstance(kept, Unrecognised)
    assert (kept.waba_id, kept.field) == (WABA, "new")
    assert json.loads(base64.b64decode(kept.body or "")) == {"field": "new", "value": {"odd": json.loads(odd)}}
    assert isinstance(other, MessageStatusChanged)


@pytest.mark.parametrize("odd", ["123456789012345678901234567890", '"\\ud83d"', "[" * 260 + "]" * 260])
def test_an_odd_entry_that_json_cannot_carry_on_does_not_take_the_messages_of_others_with_it(odd: str) -> None:
    payload = webhook({"field": "new", "value": {"odd": 0}})
    payload["entry"][0]["id"] = None
    payload["entry"] += webhook(conversation(messages=[text("wamid.A")]))["entry"]
    kept, other = facts(encoded(payload).replace(b'"odd": 0', f'"odd": {odd}'.encode()))
    assert isinstance(kept, Unrecognised)
    assert kept.reason == "an entry without id or changes"
    whole = {"id": None, "changes": [{"field": "new", "value": {"odd": json.loads(odd)}}]}
    assert json.loads(base64.b64decode(kept.body or "")) == payload["entry"][0] | whole
    assert isinstance(other, MessageReceived)


def test_a_code_beyond_all_numbers_does_not_take_the_other_ticks_with_it() -> None:
    odd = status("wamid.A", "failed", errors=[{"code": "9" * 20}])
    kept, other = facts(webhook(conversation(statuses=[odd, status("wamid.B", "failed", errors=[{"code": "131026"}])])))
    assert isinstance(kept, Unrecognised)
    assert kept.value["statuses"] == [odd]
    assert isinstance(other, MessageStatusChanged)
    assert other.error_codes == [131026]
    assert decode(encode(kept, "/test").headers, encode(kept, "/test").value) is not None


@pytest.mark.parametrize("odd", ["123456789012345678901234567890", '"\\ud83d"', "[" * 260 + "]" * 260])
@pytest.mark.parametrize("many", [2, 600])  # in a small body, and in one that is read in slices
def test_half_an_emoji_in_one_message_does_not_take_the_history_of_years_with_it(odd: str, many: int) -> None:
    messages = [text(f"wamid.{number}") | {"odd": 0 if number else "ODD"} for number in range(many)]
    chunk = {
        "metadata": {"phase": 0, "chunk_order": 1, "progress": 100},
        "threads": [{"id": "1", "messages": messages}],
    }
    change = {**conversation(history=[chunk]), "field": "history"}
    body = encoded(webhook(change, template_status())).replace(b'"ODD"', odd.encode())
    kept, *imported, progress, template = facts(body)
    assert isinstance(kept, Unrecognised)
    assert (kept.field, kept.waba_id) == ("history", WABA)
    assert json.loads(base64.b64decode(kept.body or "")) == messages[0] | {"odd": json.loads(odd)}
    assert [type(event) for event in imported] == [MessageImported] * (many - 1)
    assert isinstance(progress, HistoryProgressed)
    assert progress.messages == many
    assert isinstance(template, TemplateStatusChanged)
    for event in (kept, *imported, progress):
        record = encode(event, "/wabus/gateway")
        assert decode(record.headers, record.value).id == event.id


def test_what_is_odd_in_a_history_and_not_in_a_message_takes_it_whole() -> None:
    chunk = {"metadata": {"phase": "ODD"}, "threads": [{"id": "1", "messages": [text("wamid.A")]}]}
    body = encoded(webhook({**conversation(history=[chunk]), "field": "history"})).replace(b"ODD", b"\\ud83d")
    (kept,) = facts(body)
    assert isinstance(kept, Unrecognised)
    assert json.loads(base64.b64decode(kept.body or ""))["field"] == "history"


def test_a_number_of_19_digits_stays_exact() -> None:
    (event,) = facts(webhook({"field": "new", "value": {"id": 9_223_372_036_854_775_807}}))
    assert isinstance(event, Unrecognised)
    assert event.value == {"id": 9_223_372_036_854_775_807}


def test_a_redelivery_has_the_same_ids_and_other_facts_have_others() -> None:
    payload = webhook(
        conversation(
            messages=[text("wamid.A"), text("wamid.B")], statuses=[status("wamid.A"), status("wamid.A", "read")]
        ),
        template_status(),
        template_status("PAUSED"),
    )
    ids = [event.id for event in facts(payload)]
    later = facts_in(encoded(payload), received_at=datetime(2027, 1, 1, tzinfo=UTC), owner=lambda _waba: None)
    assert ids == [event.id for event in later]
    assert len(set(ids)) == 6


def test_nothing_happened_in_1970_because_meta_wrote_true_for_a_time() -> None:
    payload = webhook(template_status(), conversation(messages=[text("wamid.A") | {"timestamp": True}]))
    payload["entry"][0]["time"] = True
    assert {event.time for event in facts(payload)} == {NOW}


def test_the_same_change_at_another_time_is_another_fact() -> None:
    (first,) = facts(webhook(template_status(), time=1_700_000_000))
    (second,) = facts(webhook(template_status(), time=1_700_000_001))
    assert first.id != second.id


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
odd_items = st.lists(json_values | st.fixed_dictionaries({"id": st.text(), "from": json_values}), max_size=3)
odd_changes = json_values | st.fixed_dictionaries(
    {
        "field": st.sampled_from(["messages", *[change[0] for change in CHANGES]]) | json_values,
        "value": json_values
        | st.fixed_dictionaries(
            {},
            optional={
                "metadata": json_values | st.just({"phone_number_id": PHONE}),
                "messages": odd_items | json_values,
                "statuses": odd_items | json_values,
                "contacts": odd_items | json_values,
                "message_template_id": json_values,
                "event": json_values,
            },
        ),
    }
)
odd_payloads = json_values | st.fixed_dictionaries(
    {
        "object": st.just("whatsapp_business_account"),
        "entry": st.lists(
            json_values
            | st.fixed_dictionaries({"id": json_values, "time": json_values, "changes": st.lists(odd_changes)}),
            max_size=3,
        )
        | json_values,
    }
)


@settings(max_examples=examples(400))
@given(odd_payloads)
def test_nothing_in_a_signed_body_is_lost_or_raises(payload: Any) -> None:
    events = facts(orjson.dumps(payload))
    assert events
    for event in events:
        record = encode(event, "/wabus/gateway")
        again = decode(record.headers, record.value)
        assert again.model_dump() == event.model_dump()
    bodies = [
        json.loads(base64.b64decode(event.body)) for event in events if isinstance(event, Unrecognised) and event.body
    ]
    fields = [field for field, _, kind in CHANGES if any(type(event) is kind for event in events)]
    kept = json.dumps([*(event.model_dump() for event in events), *bodies, *fields])
    for leaf in leaves(payload):
        assert json.dumps(leaf)[1:-1] in kept


def leaves(value: Any) -> list[str]:
    """The strings in a payload: if they are all in the events, nothing was dropped."""
    match value:
        case dict():
            return [leaf for part in value.values() for leaf in leaves(part)]  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [leaf for part in value for leaf in leaves(part)]  # pyright: ignore[reportUnknownVariableType]
        case str() if value != "whatsapp_business_account":
            return [value]
        case _:
            return []


@pytest.mark.parametrize("depth", [50, 190, 240, 250, 260, 1000, 5000])
def test_however_deep_it_nests_it_can_be_read_again(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    body = encoded(webhook({"field": "new", "value": {"deep": 0}})).replace(b"0}", deep + b"}")
    (event,) = facts(body)
    record = encode(event, "/wabus/gateway")
    assert decode(record.headers, record.value).model_dump() == event.model_dump()


def test_a_webhook_of_1000_changes_becomes_1000_events() -> None:
    payload = webhook(*(conversation(messages=[text(f"wamid.{number}")]) for number in range(1000)))
    assert len(facts(payload)) == 1000
