"""What the WhatsApp Business app adds: echoes, the messages of before, and the address book."""

from datetime import UTC, datetime
from typing import Any

import pytest
from meta_values import BUSINESS, CUSTOMER, ENTRY_TIME, NOW, PARENT, USER, Json, facts_of, only_fact, value_of
from wabus_events import ContactSynced, HistoryProgressed, MessageEchoed, MessageImported, Unrecognised, encode
from wabus_events.webhooks.about import About
from webhooks import PHONE, WABA

ORIGINAL = "wamid.HBgLMTQxMjU1NTA4MjkVAgASGBQzQUNCNjk5RDUwNUZGMUZEM0VBRAA="


def echo(**parts: Any) -> Json:
    return {
        "from": BUSINESS,
        "to": CUSTOMER,
        "id": "wamid.E",
        "timestamp": "1739321024",
        "type": "text",
        "text": {"body": "Hi"},
        **parts,
    }


def of_user(**parts: Any) -> Json:
    return {"user_id": USER, "parent_user_id": PARENT, "profile": {"username": "pablo"}, **parts}


def test_what_is_written_in_the_app_is_in_the_conversation_of_who_gets_it() -> None:
    value = value_of(message_echoes=[echo(to_user_id=USER)], contacts=[of_user(wa_id=CUSTOMER)])
    event = only_fact(MessageEchoed, "smb_message_echoes", value)
    assert (event.key, event.wamid, event.message_type) == (f"{PHONE}:{CUSTOMER}", "wamid.E", "text")
    assert (event.wa_id, event.user_id, event.parent_user_id, event.username) == (CUSTOMER, USER, PARENT, "pablo")
    assert event.time == datetime(2025, 2, 12, 0, 43, 44, tzinfo=UTC)
    assert (event.waba_id, event.org_id, event.value) == (WABA, "acme", value)


def test_an_echo_to_somebody_whose_number_is_hidden_is_not_lost() -> None:
    item = echo(to_user_id=USER)
    del item["to"]
    event = only_fact(MessageEchoed, "smb_message_echoes", value_of(message_echoes=[item]))
    assert (event.key, event.wa_id, event.user_id) == (f"{PHONE}:{USER}", None, USER)


def test_a_plus_sign_does_not_part_an_echo_from_its_conversation() -> None:
    value = value_of(message_echoes=[echo(to=f"+{CUSTOMER}")])
    assert only_fact(MessageEchoed, "smb_message_echoes", value).key == f"{PHONE}:{CUSTOMER}"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("edit", {"original_message_id": ORIGINAL, "message": {"type": "image", "image": {"caption": "New"}}}),
        ("revoke", {"original_message_id": ORIGINAL}),
    ],
)
def test_an_edit_and_a_revoke_say_which_message_they_change(kind: str, change: Json) -> None:
    value = value_of(message_echoes=[echo(type=kind, **{kind: change})])
    event = only_fact(MessageEchoed, "smb_message_echoes", value)
    assert (event.message_type, event.original_wamid) == (kind, ORIGINAL)


def test_each_of_many_echoes_is_a_fact_with_its_own_contact() -> None:
    people = [("1", "US.1"), ("2", "US.2")]
    items = [echo(id=f"wamid.{number}", to=number, to_user_id=user) for number, user in people]
    contacts = [{"wa_id": number, "user_id": user, "profile": {"username": f"u{number}"}} for number, user in people]
    events = facts_of("smb_message_echoes", value_of(message_echoes=items, contacts=contacts))
    assert [isinstance(event, MessageEchoed) and event.username for event in events] == ["u1", "u2"]
    assert [event.model_dump()["value"]["contacts"] for event in events] == [[contacts[0]], [contacts[1]]]
    assert [event.model_dump()["value"]["message_echoes"] for event in events] == [[items[0]], [items[1]]]


@pytest.mark.parametrize("item", [7, {}, {"id": "wamid.E"}, {"id": 7, "to": "1"}, {"to": "1"}])
def test_one_broken_echo_does_not_take_the_others_with_it(item: Any) -> None:
    good, bad = facts_of("smb_message_echoes", value_of(message_echoes=[echo(), item]))
    assert isinstance(good, MessageEchoed)
    assert isinstance(bad, Unrecognised)
    assert (bad.field, bad.value["message_echoes"]) == ("smb_message_echoes", [item])


def past(sender: str, wamid: str, status: str | None = "READ", **parts: Any) -> Json:
    told = {"from": sender, "id": wamid, "timestamp": "1739230955", "type": "text", "text": {"body": "Hi"}, **parts}
    return told | ({"history_context": {"status": status}} if status else {})


def chunk(*threads: Any, **parts: Any) -> Json:
    return {"metadata": {"phase": 1, "chunk_order": 2, "progress": 55}, "threads": list(threads), **parts}


def test_each_message_of_before_is_a_fact_and_the_chunk_says_how_far_it_is() -> None:
    first = {"id": CUSTOMER, "messages": [past(BUSINESS, "wamid.1"), past(CUSTOMER, "wamid.2", "DELIVERED")]}
    second = {"id": "12125557890", "messages": [past(BUSINESS, "wamid.3", type="media_placeholder")]}
    *messages, progress = facts_of("history", value_of(history=[chunk(first, second)]))
    assert [
        (event.key, event.wamid, event.from_business, event.message_type, event.status)
        for event in messages
        if isinstance(event, MessageImported)
    ] == [
        (f"{PHONE}:{CUSTOMER}", "wamid.1", True, "text", "READ"),
        (f"{PHONE}:{CUSTOMER}", "wamid.2", False, "text", "DELIVERED"),
        (f"{PHONE}:12125557890", "wamid.3", True, "media_placeholder", "READ"),
    ]
    assert {event.time for event in messages} == {datetime(2025, 2, 10, 23, 42, 35, tzinfo=UTC)}
    assert isinstance(progress, HistoryProgressed)
    assert (progress.phase, progress.chunk_order, progress.progress, progress.messages) == (1, 2, 55, 3)
    assert (progress.key, progress.time, progress.declined, progress.error_codes) == (WABA, ENTRY_TIME, False, [])


def test_a_message_of_before_has_metas_value_with_nothing_but_itself_in_it() -> None:
    first, second = past(CUSTOMER, "wamid.1"), past(BUSINESS, "wamid.2")
    thread: Json = {"id": CUSTOMER, "context": {"user_id": USER}, "messages": [first, second]}
    message, *_ = facts_of("history", value_of(history=[chunk(thread)]))
    own = {**thread, "messages": [first]}
    assert message.model_dump()["value"] == value_of(history=[{"metadata": chunk()["metadata"], "threads": [own]}])


def test_the_id_of_who_hides_their_number_is_not_told_for_a_number_where_a_thread_has_nothing_else() -> None:
    ours = {"from": BUSINESS, "id": "wamid.1", "timestamp": "1739230955", "type": "text"}
    imported, _ = facts_of("history", value_of(history=[chunk({"id": USER, "messages": [ours]})]))
    assert isinstance(imported, MessageImported)
    assert (imported.contact, imported.user_id, imported.wa_id) == (USER, USER, None)
    assert imported.from_business


def test_a_message_among_thousands_of_a_thread_is_told_as_if_it_were_alone() -> None:
    kinds: list[Json] = [{}, {"type": "edit", "edit": {"original_message_id": ORIGINAL}}, {"timestamp": "1739230999"}]
    messages = [past(CUSTOMER, f"wamid.{number}", **kind) for number, kind in enumerate(kinds)] + [
        past(BUSINESS, "wamid.9", to=CUSTOMER, type="media_placeholder")
    ]
    *together, _ = facts_of("history", value_of(history=[chunk({"id": CUSTOMER, "messages": messages})]))
    alone = [
        facts_of("history", value_of(history=[chunk({"id": CUSTOMER, "messages": [each]})]))[0] for each in messages
    ]
    assert together == alone
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, MessageImported)
        assert MessageImported.model_validate(one.__dict__) == one
        assert encode(one, "/test") == encode(other, "/test")
        assert one.model_copy(update={"source": "/test"}).source == "/test"


def test_a_message_whose_id_is_none_does_not_pass_for_one_because_those_before_it_were() -> None:
    messages = [past(CUSTOMER, "wamid.1"), past(CUSTOMER, "wamid.2") | {"id": 3}]
    facts = facts_of("history", value_of(history=[chunk({"id": CUSTOMER, "messages": messages})]))
    assert [type(each) for each in facts] == [MessageImported, Unrecognised, HistoryProgressed]


def test_who_is_in_a_thread_whose_number_is_hidden_is_known_by_the_id() -> None:
    context = {"user_id": USER, "parent_user_id": PARENT, "username": "pablo"}
    theirs = {"from_user_id": USER, "id": "wamid.1", "timestamp": "1739230955", "type": "text"}
    ours = {"from": BUSINESS, "to_user_id": USER, "id": "wamid.2", "timestamp": "1739230955", "type": "text"}
    *messages, _ = facts_of("history", value_of(history=[chunk({"context": context, "messages": [theirs, ours]})]))
    assert [
        (event.key, event.from_business, event.wa_id, event.user_id, event.parent_user_id, event.username)
        for event in messages
        if isinstance(event, MessageImported)
    ] == [(f"{PHONE}:{USER}", by_us, None, USER, PARENT, "pablo") for by_us in (False, True)]


@pytest.mark.parametrize(
    ("message", "from_business"),
    [
        ({"from": BUSINESS}, True),
        ({"from": f"+{BUSINESS}"}, True),
        ({"from": CUSTOMER}, False),
        ({"from": f"+{CUSTOMER}"}, False),
        ({"from": CUSTOMER, "to": BUSINESS}, False),
        ({"from": "15550000000", "to": CUSTOMER}, True),  # the business had another number then
        ({"from": "15550000000"}, True),
        ({"from_user_id": USER}, False),
        ({}, False),
    ],
)
def test_who_wrote_a_message_of_before_is_not_mixed_up(message: Json, from_business: bool) -> None:
    told = {"id": "wamid.1", "timestamp": "1739230955", "type": "text", **message}
    imported, _ = facts_of("history", value_of(history=[chunk({"id": CUSTOMER, "messages": [told]})]))
    assert isinstance(imported, MessageImported)
    assert (imported.from_business, imported.contact) == (from_business, CUSTOMER)


GROUPS = ("Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0MDQ2OTQyMzM4MjAZD", "120363041234567890@g.us", "120363041234567890")


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_in_a_history_is_nobodys_number(group: str) -> None:
    theirs, hidden = past(CUSTOMER, "wamid.1"), past("", "wamid.2", from_user_id=USER)
    messages = [theirs, hidden, past(BUSINESS, "wamid.3"), past("", "wamid.4")]
    *facts, _ = facts_of("history", value_of(history=[chunk({"id": group, "messages": messages})]))
    assert [
        (event.wa_id, event.user_id, event.from_business, event.contact)
        for event in facts
        if isinstance(event, MessageImported) and event.group_id == group and event.key == f"{PHONE}:{group}"
    ] == [
        (CUSTOMER, None, False, CUSTOMER),
        (None, USER, False, USER),
        (None, None, True, group),
        (None, None, False, group),
    ]


def test_a_message_of_a_group_among_those_with_a_person_is_the_groups() -> None:
    messages = [past(CUSTOMER, "wamid.1"), past(CUSTOMER, "wamid.2", group_id=GROUPS[0])]
    alone, shared, _ = facts_of("history", value_of(history=[chunk({"id": CUSTOMER, "messages": messages})]))
    assert (alone.key, shared.key) == (f"{PHONE}:{CUSTOMER}", f"{PHONE}:{GROUPS[0]}")


@pytest.mark.parametrize("item", [{"to": GROUPS[0]}, {"to": GROUPS[1]}, {"to": None, "group_id": GROUPS[0]}])
def test_what_is_written_in_a_group_in_the_app_is_nobodys_number(item: Json) -> None:
    event = only_fact(MessageEchoed, "smb_message_echoes", value_of(message_echoes=[echo(**item)]))
    assert (event.group_id, event.wa_id, event.user_id) == (item["to"] or item["group_id"], None, None)


def test_the_business_is_not_taken_for_the_person_in_a_thread_that_names_nobody() -> None:
    messages = [past(BUSINESS, "wamid.1")]
    for thread in ({"id": "status@broadcast"}, {}):
        facts = facts_of("history", value_of(history=[chunk({**thread, "messages": messages})]))
        assert [type(each) for each in facts] == [Unrecognised, HistoryProgressed]


@pytest.mark.parametrize(("kind", "from_business"), [("messages", False), ("message_echoes", True)])
def test_a_medium_that_is_told_later_is_another_fact_of_the_same_message(kind: str, from_business: bool) -> None:
    sender = {"from": BUSINESS, "to": CUSTOMER} if from_business else {"from": CUSTOMER}
    image = {**sender, "id": "wamid.1", "timestamp": "1738796547", "type": "image", "image": {"id": "24"}}
    value = value_of(contacts=[of_user(wa_id=CUSTOMER)], **{kind: [image]})
    medium = only_fact(MessageImported, "history", value)
    assert (medium.from_business, medium.contact, medium.user_id) == (from_business, CUSTOMER, USER)
    assert (medium.message_type, medium.status, medium.username, medium.value) == ("image", None, "pablo", value)
    placeholder = past(BUSINESS, "wamid.1", type="media_placeholder")
    before, _ = facts_of("history", value_of(history=[chunk({"id": CUSTOMER, "messages": [placeholder]})]))
    assert before.id != medium.id


DECLINED = {"code": 2593109, "title": "History sync is turned off by the business from the WhatsApp Business App"}


def test_a_business_that_shares_no_history_is_no_mystery_and_no_failure() -> None:
    value = value_of(history=[{"errors": [DECLINED]}])
    event = only_fact(HistoryProgressed, "history", value)
    assert (event.declined, event.error_codes, event.messages, event.progress) == (True, [2593109], 0, None)
    assert event.value == value


def test_a_refusal_to_share_that_stands_beside_the_history_is_one_too() -> None:
    value = value_of(errors=[DECLINED])
    event = only_fact(HistoryProgressed, "history", value)
    assert (event.declined, event.error_codes, event.value) == (True, [2593109], value)


def test_errors_of_all_of_a_history_are_told_beside_what_has_come() -> None:
    threads = [{"id": CUSTOMER, "messages": [past(CUSTOMER, "wamid.1")]}]
    for chunks in ([chunk(*threads)], [chunk(*threads), chunk(*threads, metadata={"phase": 2})]):
        facts = facts_of("history", value_of(history=chunks, errors=[{"code": 131000}]))
        assert {type(each) for each in facts} == {MessageImported, HistoryProgressed}
        codes = [each.error_codes for each in facts if isinstance(each, HistoryProgressed)]
        assert codes == [[] for _ in chunks] + [[131000]]


def test_what_stands_beside_the_errors_of_a_history_is_kept() -> None:
    value = value_of(errors=[{"code": 131000}], hint="x")
    assert only_fact(HistoryProgressed, "history", value).value == value
    chunks = [{"errors": [{"code": 131000}]}]
    ids = [each.id for each in facts_of("history", value_of(history=chunks, errors=[{"code": 131000}]))]
    assert len(set(ids)) == 2


def test_a_number_that_is_shown_beside_a_user_id_is_not_hidden() -> None:
    message = past(BUSINESS, "wamid.1", to=CUSTOMER, to_user_id="DE.1")
    event, _ = facts_of("history", value_of(history=[chunk({"messages": [message]})]))
    assert isinstance(event, MessageImported)
    assert (event.contact, event.user_id, event.from_business) == (CUSTOMER, "DE.1", True)


def test_errors_of_a_history_that_have_no_code_are_kept() -> None:
    value = value_of(errors=[{"title": "?"}])
    assert only_fact(Unrecognised, "history", value).value == value


def test_another_error_of_a_history_is_not_taken_for_a_refusal_to_share_it() -> None:
    event = only_fact(HistoryProgressed, "history", value_of(history=[{"errors": [{"code": 1}]}]))
    assert (event.declined, event.error_codes) == (False, [1])


def test_a_history_that_is_told_anew_after_another_connection_is_told_again() -> None:
    value = value_of(history=[chunk({"id": CUSTOMER, "messages": [past(CUSTOMER, "wamid.1")]})])
    again = About(WABA, NOW, NOW, "acme")
    (message, progress), (message_again, progress_again) = facts_of("history", value), facts_of("history", value, again)
    assert message.id == message_again.id
    assert progress.id != progress_again.id


def test_a_message_between_two_of_our_numbers_is_a_fact_in_both_their_histories() -> None:
    thread = {"id": CUSTOMER, "messages": [past(CUSTOMER, "wamid.1")]}
    ours = value_of(history=[chunk(thread)])
    theirs = {**ours, "metadata": {"display_phone_number": CUSTOMER, "phone_number_id": "2"}}
    ids = [facts_of("history", value)[0].id for value in (ours, theirs)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("message", [7, {}, {"id": 7}, None])
def test_one_broken_message_of_before_does_not_take_its_chunk_with_it(message: Any) -> None:
    thread = {"id": CUSTOMER, "messages": [message, past(CUSTOMER, "wamid.1")]}
    bad, good, progress = facts_of("history", value_of(history=[chunk(thread)]))
    assert isinstance(bad, Unrecognised)
    assert bad.value["history"][0]["threads"][0]["messages"] == [message]
    assert isinstance(good, MessageImported)
    assert isinstance(progress, HistoryProgressed)
    assert progress.messages == 2


def test_parts_of_a_history_that_are_new_to_us_are_kept_once() -> None:
    thread = {"id": CUSTOMER, "pinned": True, "messages": [past(CUSTOMER, "wamid.1")]}
    value = value_of(history=[{**chunk(thread, {"id": "2"}, "odd"), "source": "ios"}], hint="x")
    message, progress = facts_of("history", value)
    assert "pinned" not in str(message)
    assert isinstance(progress, HistoryProgressed)
    kept = {"metadata": chunk()["metadata"], "source": "ios"}
    threads = [{"id": CUSTOMER, "pinned": True}, {"id": "2"}, "odd"]
    assert progress.value == value_of(history=[{**kept, "threads": threads}], hint="x")


@pytest.mark.parametrize("history", [[], [7], [{}], [{"threads": 7}], 7, [{"errors": [7]}]])
def test_a_history_that_is_none_is_kept_whole(history: Any) -> None:
    event = only_fact(Unrecognised, "history", value_of(history=history))
    assert (event.field, event.value) == ("history", value_of(history=history))


def entry(action: str = "add", **contact: str) -> Json:
    return {"type": "contact", "contact": contact, "action": action, "metadata": {"timestamp": "1739321024"}}


def test_a_name_of_the_address_book_is_told_with_whose_it_is() -> None:
    told = entry(full_name="Pablo Morales", first_name="Pablo", phone_number=CUSTOMER, user_id=USER, username="pablo")
    event = only_fact(ContactSynced, "smb_app_state_sync", value_of(state_sync=[told]))
    assert (event.key, event.user_id, event.username) == (f"{PHONE}:{CUSTOMER}", USER, "pablo")
    assert (event.action, event.full_name, event.first_name) == ("add", "Pablo Morales", "Pablo")
    assert event.time == datetime(2025, 2, 12, 0, 43, 44, tzinfo=UTC)


def test_each_of_many_contacts_is_a_fact_also_one_without_a_number_and_one_that_was_removed() -> None:
    told = [entry(full_name="A", user_id=USER), entry("remove", phone_number=CUSTOMER)]
    events = facts_of("smb_app_state_sync", value_of(state_sync=told))
    assert [
        (event.contact, event.wa_id, event.action, event.full_name)
        for event in events
        if isinstance(event, ContactSynced)
    ] == [(USER, None, "add", "A"), (CUSTOMER, CUSTOMER, "remove", None)]


@pytest.mark.parametrize("item", [7, {}, entry(), {**entry(phone_number="1"), "type": "label"}, {"type": "contact"}])
def test_what_is_no_contact_is_kept_whole(item: Any) -> None:
    event = only_fact(Unrecognised, "smb_app_state_sync", value_of(state_sync=[item]))
    assert event.value == value_of(state_sync=[item])
