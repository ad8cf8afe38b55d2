"""What Meta tells of a conversation beside its messages: who the person is, their wishes, responders and calls."""

from datetime import UTC, datetime
from typing import Any

import pytest
from meta_values import BUSINESS, CUSTOMER, PARENT, USER, Json, facts_of, only_fact, value_of
from wabus_events import (
    AccountUpdated,
    CallReported,
    ContactIdentityChanged,
    MarketingPreferenceChanged,
    MessageReceived,
    MessageStatusChanged,
    StandbyReceived,
    ThreadControlChanged,
    Unrecognised,
)
from webhooks import PHONE, WABA

OLD_USER, NEW_NUMBER = "US.10000000000000000001", "16505559999"
GROUP = "Y2FwaV9ncm91cDoxNzA1NTU1MDEzOToxMjAzNjM0MDQ2OTQyMzM4MjAZD"
TOLD_AT = datetime(2025, 6, 16, 19, 10, tzinfo=UTC)


def system(kind: str, **told: str) -> Json:
    return {"id": "wamid.S", "timestamp": "1750101000", "type": "system", "system": {"type": kind, **told}}


def renumbered(message: Json) -> ContactIdentityChanged:
    received, changed = facts_of("messages", value_of(messages=[message]))
    assert isinstance(received, MessageReceived)
    assert isinstance(changed, ContactIdentityChanged)
    assert (received.wamid, received.value, received.time) == (changed.wamid, changed.value, changed.time)
    return changed


def test_who_changes_number_is_known_by_both_numbers_and_both_ids() -> None:
    told = {"wa_id": NEW_NUMBER, "user_id": USER, "previous_user_id": OLD_USER, "parent_user_id": PARENT}
    changed = renumbered({"from": CUSTOMER, **system("user_changed_number", body="…", **told)})
    assert (changed.previous_wa_id, changed.current_wa_id) == (CUSTOMER, NEW_NUMBER)
    assert (changed.previous_user_id, changed.current_user_id) == (OLD_USER, USER)
    assert (changed.previous_parent_user_id, changed.current_parent_user_id) == (None, PARENT)
    assert (changed.key, changed.time) == (f"{PHONE}:{USER}", TOLD_AT)


def test_who_changes_number_and_hides_it_is_known_by_the_ids() -> None:
    changed = renumbered(system("user_changed_user_id", user_id=USER, previous_user_id=OLD_USER))
    assert (changed.previous_user_id, changed.current_user_id) == (OLD_USER, USER)
    assert (changed.previous_wa_id, changed.current_wa_id) == (None, None)


@pytest.mark.parametrize(
    ("body", "before"),
    [
        (f"User Pablo changed from {OLD_USER} to {USER}", OLD_USER),
        (f"User A changed from X to Y changed from {OLD_USER} to {USER}", OLD_USER),
        (f"User Pablo changed from {OLD_USER} to US.2", None),
        (f"User Pablo changed from somebody to {USER}", None),
        ("", None),
    ],
)
def test_before_august_2026_the_id_of_before_stands_in_the_text_alone(body: str, before: str | None) -> None:
    changed = renumbered(system("user_changed_user_id", body=body, user_id=USER))
    assert changed.previous_user_id == before


def test_the_new_id_beside_the_old_number_is_not_who_they_were() -> None:
    item = {"from": CUSTOMER, "from_user_id": USER, **system("user_changed_user_id", user_id=USER)}
    changed = renumbered(item)
    assert (changed.previous_wa_id, changed.previous_user_id, changed.current_user_id) == (CUSTOMER, None, USER)


def test_older_versions_name_the_numbers_otherwise() -> None:
    changed = renumbered(system("customer_changed_number", customer=CUSTOMER, new_wa_id=NEW_NUMBER))
    assert (changed.previous_wa_id, changed.current_wa_id, changed.key) == (
        CUSTOMER,
        NEW_NUMBER,
        f"{PHONE}:{NEW_NUMBER}",
    )


@pytest.mark.parametrize("told", [{}, {"type": "customer_identity_changed", "wa_id": "1"}, {"type": ["x"]}, 7])
def test_a_system_message_of_something_else_changes_nobodys_identity(told: Any) -> None:
    message = {"from": CUSTOMER, "id": "wamid.S", "timestamp": "1750101000", "type": "system", "system": told}
    assert only_fact(MessageReceived, "messages", value_of(messages=[message])).message_type == "system"


def test_the_sender_of_a_system_message_is_the_person_as_they_were() -> None:
    message = system("user_changed_user_id", user_id=USER, previous_user_id=OLD_USER)
    received, _ = facts_of("messages", value_of(messages=[message]))
    assert isinstance(received, MessageReceived)
    assert received.user_id == OLD_USER


def test_an_id_that_a_provider_passes_on_as_updated_is_told_like_that_of_a_system_message() -> None:
    item = {
        "wa_id": CUSTOMER,
        "detail": "User id for Pablo has been updated.",
        "user_id": {"previous": OLD_USER, "current": USER},
        "parent_user_id": {"previous": "US.ENT.1", "current": PARENT},
        "timestamp": "1750101000",
    }
    contacts = [{"profile": {"name": "Pablo"}, "wa_id": CUSTOMER}]
    event = only_fact(ContactIdentityChanged, "user_id_update", value_of(contacts=contacts, user_id_update=[item]))
    assert (event.previous_user_id, event.current_user_id, event.current_wa_id) == (OLD_USER, USER, CUSTOMER)
    assert (event.previous_parent_user_id, event.current_parent_user_id) == ("US.ENT.1", PARENT)
    assert (event.wamid, event.key, event.time) == (None, f"{PHONE}:{USER}", TOLD_AT)


def test_a_person_is_found_though_their_number_changes_is_hidden_and_is_shown_again() -> None:
    """What anybody needs who looks a person up: each event links what it names, and nothing else."""

    def wrote(wamid: str, user_id: str, number: str | None) -> Json:
        shown = {"from": number} if number else {}
        who = {"user_id": user_id, "profile": {"name": "P"}} | ({"wa_id": number} if number else {})
        item = {**shown, "from_user_id": user_id, "id": wamid, "timestamp": "1750101000", "type": "text"}
        return value_of(contacts=[who], messages=[item])

    changed = {
        "from": CUSTOMER,
        **system("user_changed_number", wa_id=NEW_NUMBER, user_id=USER, previous_user_id=OLD_USER),
    }
    told = [
        wrote("wamid.1", OLD_USER, CUSTOMER),
        wrote("wamid.2", OLD_USER, None),
        value_of(messages=[changed]),
        wrote("wamid.3", USER, None),
        wrote("wamid.4", USER, NEW_NUMBER),
        wrote("wamid.5", "US.99", None),
    ]
    groups: list[set[str]] = []
    for value in told:
        for event in facts_of("messages", value):
            match event:
                case ContactIdentityChanged():
                    ids = event.previous_user_id, event.current_user_id, event.previous_wa_id, event.current_wa_id
                case MessageReceived():
                    ids = event.user_id, event.wa_id
                case _:
                    raise AssertionError(event)
            named = {each for each in ids if each}
            groups = [group for group in groups if not group & named] + [
                named.union(*(group for group in groups if group & named))
            ]
    assert groups == [{OLD_USER, USER, CUSTOMER, NEW_NUMBER}, {"US.99"}]


def of_group(**participant: str) -> Json:
    told = {"id": "wamid.A", "status": "read", "timestamp": "1750101000", "recipient_id": GROUP}
    return {**told, "recipient_type": "group", **participant}


def test_a_status_of_a_group_says_whose_it_is() -> None:
    contacts = [{"wa_id": CUSTOMER, "user_id": USER, "profile": {"username": "pablo"}}, {"user_id": "US.2"}]
    shown = {"recipient_participant_id": CUSTOMER, "recipient_participant_user_id": USER}
    hidden = {"recipient_participant_user_id": "US.2", "recipient_participant_parent_user_id": "US.ENT.2"}
    told = value_of(contacts=contacts, statuses=[of_group(**shown), of_group(**hidden), of_group()])
    assert [
        (
            event.contact,
            event.group_id,
            event.participant,
            event.participant_user_id,
            event.parent_user_id,
            event.username,
            event.user_id,
            event.wa_id,
        )
        for event in facts_of("messages", told)
        if isinstance(event, MessageStatusChanged)
    ] == [
        (GROUP, GROUP, CUSTOMER, USER, None, "pablo", None, CUSTOMER),
        (GROUP, GROUP, None, "US.2", "US.ENT.2", None, None, None),
        (GROUP, GROUP, None, None, None, None, None, None),
    ]


def test_a_message_in_a_group_says_who_wrote_it() -> None:
    message = {"from": CUSTOMER, "from_user_id": USER, "group_id": GROUP, "id": "wamid.A", "type": "text"}
    event = only_fact(MessageReceived, "messages", value_of(messages=[message]))
    assert (event.group_id, event.contact, event.user_id, event.key) == (GROUP, CUSTOMER, USER, f"{PHONE}:{GROUP}")


@pytest.mark.parametrize("field", ["group_lifecycle_update", "group_participants_update", "group_settings_update"])
def test_what_happens_to_groups_themselves_stays_whole(field: str) -> None:
    value = value_of(groups=[{"group_id": GROUP, "type": "group_create"}])
    event = only_fact(Unrecognised, field, value)
    assert (event.field, event.value) == (field, value)


def test_an_edit_of_a_received_message_says_which_one_it_changes() -> None:
    edit = {"original_message_id": "wamid.O", "message": {"type": "text", "text": {"body": "New"}}}
    message = {"from": CUSTOMER, "id": "wamid.A", "timestamp": "1750101000", "type": "edit", "edit": edit}
    assert only_fact(MessageReceived, "messages", value_of(messages=[message])).original_wamid == "wamid.O"
    revoke = {**message, "type": "revoke", "revoke": {"original_message_id": "wamid.O"}}
    assert only_fact(MessageReceived, "messages", value_of(messages=[revoke])).original_wamid == "wamid.O"


def preference(**parts: Any) -> Json:
    detail = "User requested to stop marketing messages"
    return {
        "wa_id": CUSTOMER,
        "detail": detail,
        "category": "marketing_messages",
        "value": "stop",
        "timestamp": 1_750_101_000,
        **parts,
    }


@pytest.mark.parametrize(
    ("choice", "wants"), [("stop", False), ("resume", True), ("signup", True), ("STOP", False), ("pause", None)]
)
def test_who_wants_no_more_marketing_is_heard(choice: str, wants: bool | None) -> None:
    value = value_of(contacts=[{"wa_id": CUSTOMER, "user_id": USER}], user_preferences=[preference(value=choice)])
    event = only_fact(MarketingPreferenceChanged, "user_preferences", value)
    assert (event.choice, event.wants_marketing, event.category) == (choice.lower(), wants, "marketing_messages")
    assert (event.key, event.user_id, event.time) == (f"{PHONE}:{CUSTOMER}", USER, TOLD_AT)


def test_a_preference_of_somebody_without_a_number_is_theirs() -> None:
    item = preference(user_id=USER)
    del item["wa_id"]
    event = only_fact(MarketingPreferenceChanged, "user_preferences", value_of(user_preferences=[item]))
    assert (event.contact, event.wa_id) == (USER, None)


@pytest.mark.parametrize("parts", [{"category": "newsletters"}, {"category": 7}, {"value": 7}, {"wa_id": None}])
def test_a_preference_that_is_another_is_kept_whole(parts: Json) -> None:
    value = value_of(user_preferences=[preference(**parts)])
    assert only_fact(Unrecognised, "user_preferences", value).value == value


def handover(kind: str, **parts: Any) -> Json:
    roles = {"previous_owner_role": "ai_agent", "new_owner_role": "escalation", "metadata": "Asked for a person"}
    return {
        "messaging_product": "whatsapp",
        "recipient": {"display_phone_number": BUSINESS, "phone_number_id": PHONE},
        "sender": {"phone_number": f"+{CUSTOMER}"},
        "timestamp": "1750101000",
        "type": kind,
        kind: roles,
        **parts,
    }


@pytest.mark.parametrize(
    ("kind", "ours"), [("control_passed", True), ("control_taken", False), ("control_shared", None)]
)
def test_who_answers_from_now_on_is_told(kind: str, ours: bool | None) -> None:
    event = only_fact(ThreadControlChanged, "messaging_handovers", handover(kind))
    assert (event.change, event.is_ours, event.key) == (kind, ours, f"{PHONE}:{CUSTOMER}")
    assert (event.previous_owner_role, event.new_owner_role, event.metadata) == (
        "ai_agent",
        "escalation",
        "Asked for a person",
    )
    assert (event.time, event.wa_id) == (TOLD_AT, CUSTOMER)


def test_a_handover_that_says_the_least_is_still_one() -> None:
    """Meta: "Treat every field inside the notification object as optional"."""
    bare = handover("control_passed", control_passed={"previous_owner_app_id": 1066355071287456})
    del bare["sender"]
    event = only_fact(ThreadControlChanged, "messaging_handovers", bare)
    assert (event.contact, event.key, event.new_owner_role) == (None, PHONE, None)
    assert event.previous_owner_app_id == "1066355071287456"


def test_a_handover_of_somebody_without_a_number_is_in_their_conversation() -> None:
    event = only_fact(ThreadControlChanged, "messaging_handovers", handover("control_taken", sender={"user_id": USER}))
    assert (event.key, event.wa_id) == (f"{PHONE}:{USER}", None)


@pytest.mark.parametrize("kind", ["control_passed", "control_taken"])
def test_a_handover_that_names_no_type_is_the_one_whose_object_it_has(kind: str) -> None:
    """What Meta's own test panel sends."""
    event = only_fact(ThreadControlChanged, "messaging_handovers", handover(kind, type=None))
    assert (event.change, event.metadata, event.wa_id) == (kind, "Asked for a person", CUSTOMER)


@pytest.mark.parametrize(
    "told",
    [
        {"previous_owner_app_id": "66", "previous_owner_app_role": "meta_business_agent"},
        {"previous_owner": {"app_id": 66, "app_role": "meta_business_agent", "business_id": "5"}},
    ],
)
def test_which_app_answered_until_now_is_known_where_meta_names_no_role_in_the_conversation(told: Json) -> None:
    event = only_fact(ThreadControlChanged, "messaging_handovers", handover("control_passed", control_passed=told))
    assert (event.previous_owner_role, event.previous_owner_app_id) == ("meta_business_agent", "66")


def test_a_handover_that_names_a_person_like_a_message_does_is_in_the_same_conversation() -> None:
    sender = {"wa_id": CUSTOMER, "user_id": USER}
    event = only_fact(ThreadControlChanged, "messaging_handovers", handover("control_passed", sender=sender))
    assert (event.wa_id, event.user_id) == (CUSTOMER, USER)


def test_a_handover_is_about_the_number_that_it_names_anywhere() -> None:
    value = value_of(**handover("control_passed", recipient={"display_phone_number": BUSINESS}))
    assert only_fact(ThreadControlChanged, "messaging_handovers", value).phone_number_id == PHONE


@pytest.mark.parametrize(
    "parts", [{"type": None, "control_passed": 1}, {"type": ["x"]}, {"recipient": {}}, {"recipient": 7}]
)
def test_a_handover_that_is_none_is_kept_whole(parts: Json) -> None:
    value = handover("control_passed", **parts)
    assert only_fact(Unrecognised, "messaging_handovers", value).value == value


MESSAGE = {"from": CUSTOMER, "id": "wamid.A", "timestamp": "1750101000", "type": "text", "text": {"body": "Hi"}}
STATUS = {"id": "wamid.A", "status": "delivered", "timestamp": "1750101000", "recipient_id": CUSTOMER}
REQUEST = {"messaging_product": "whatsapp", "to": f"+{CUSTOMER}", "type": "template", "template": {"name": "sale"}}
ECHO = {"id": "wamid.A", "timestamp": "1750101000", "message": REQUEST, "template": {"status": "APPROVED"}}


@pytest.mark.parametrize(
    ("kind", "name", "item", "message_type", "status"),
    [
        ("message", "messages", MESSAGE, "text", None),
        ("status", "statuses", STATUS, None, "delivered"),
        ("echo", "message_echoes", ECHO, "template", None),
    ],
)
def test_a_copy_of_what_another_responder_answers_is_told_as_a_copy(
    kind: str, name: str, item: Json, message_type: str | None, status: str | None
) -> None:
    contacts = [{"wa_id": CUSTOMER, "user_id": USER, "profile": {"username": "pablo"}}]
    value = value_of(standby={"contacts": contacts, name: [item]})
    event = only_fact(StandbyReceived, "standby", value)
    assert (event.kind, event.wamid, event.message_type, event.status) == (kind, "wamid.A", message_type, status)
    assert (event.key, event.user_id, event.username) == (f"{PHONE}:{CUSTOMER}", USER, "pablo")
    assert (event.time, event.value) == (TOLD_AT, value)


@pytest.mark.parametrize(
    ("request_", "contact", "user_id", "parent", "group"),
    [
        ({"recipient": USER}, USER, USER, None, None),
        ({"recipient": PARENT}, PARENT, None, PARENT, None),
        ({"to": CUSTOMER, "recipient": USER}, CUSTOMER, USER, None, None),
        ({"to": CUSTOMER, "recipient": CUSTOMER, "recipient_type": "individual"}, CUSTOMER, None, None, None),
        ({"recipient": f"+{CUSTOMER}"}, CUSTOMER, None, None, None),
        ({"to": GROUP, "recipient_type": "group"}, GROUP, None, None, GROUP),
        ({"to": GROUP}, GROUP, None, None, GROUP),
    ],
)
def test_whom_another_responder_wrote_to_is_known_however_they_addressed_them(
    request_: Json, contact: str, user_id: str | None, parent: str | None, group: str | None
) -> None:
    item = {"id": "wamid.A", "timestamp": "1750101000", "message": {"type": "text", **request_}}
    event = only_fact(StandbyReceived, "standby", value_of(standby={"message_echoes": [item]}))
    assert (event.contact, event.user_id, event.parent_user_id, event.group_id) == (contact, user_id, parent, group)
    assert event.wa_id == (CUSTOMER if contact == CUSTOMER else None)


def test_copies_that_are_not_in_an_object_of_their_own_are_told_all_the_same() -> None:
    contacts = [{"wa_id": CUSTOMER, "user_id": USER}]
    value = value_of(contacts=contacts, messages=[MESSAGE, MESSAGE | {"id": "wamid.B"}], statuses=[STATUS])
    copies = facts_of("standby", value)
    assert [(type(copy), getattr(copy, "kind", None), getattr(copy, "user_id", None)) for copy in copies] == [
        (StandbyReceived, kind, USER) for kind in ("message", "message", "status")
    ]
    alone = value_of(messages=[MESSAGE])
    assert only_fact(StandbyReceived, "standby", alone).value == alone


def test_copies_of_several_things_are_told_one_by_one_and_what_is_left_is_kept() -> None:
    copied = {"messages": [MESSAGE], "statuses": [STATUS, of_group(recipient_participant_user_id=USER)], "new": 1}
    *copies, left = facts_of("standby", value_of(standby=copied, hint=2))
    assert [
        (event.kind, event.group_id, event.participant_user_id, event.key)
        for event in copies
        if isinstance(event, StandbyReceived)
    ] == [
        ("message", None, None, f"{PHONE}:{CUSTOMER}"),
        ("status", None, None, f"{PHONE}:{CUSTOMER}"),
        ("status", GROUP, USER, f"{PHONE}:{GROUP}"),
    ]
    assert copies[0].model_dump()["value"] == value_of(standby={"messages": [MESSAGE]})
    assert isinstance(left, Unrecognised)
    assert left.value == value_of(standby={"new": 1}, hint=2)


@pytest.mark.parametrize("standby", [{}, 7, {"messages": 7}, {"messages": [7]}, {"message_echoes": [{"id": "w"}]}])
def test_an_odd_copy_is_kept_whole(standby: Any) -> None:
    value = value_of(standby=standby)
    assert only_fact(Unrecognised, "standby", value).value == value


def call(event: str = "connect", direction: str | None = "USER_INITIATED", **parts: Any) -> Json:
    told = {"id": "wacid.A", "from": CUSTOMER, "to": BUSINESS, "event": event, "timestamp": "1750101000", **parts}
    return told | ({"direction": direction} if direction else {})


def test_a_call_of_a_person_opens_their_window() -> None:
    contacts = [{"wa_id": CUSTOMER, "user_id": USER, "profile": {"name": "P", "username": "pablo"}}]
    value = value_of(calls=[call(session={"sdp_type": "offer"})], contacts=contacts)
    event = only_fact(CallReported, "calls", value)
    assert (event.call_id, event.key, event.direction) == ("wacid.A", f"{PHONE}:{CUSTOMER}", "USER_INITIATED")
    assert (event.user_id, event.username, event.opens_window_at) == (USER, "pablo", TOLD_AT)


def test_how_long_a_call_took_is_told_when_it_ends() -> None:
    ended = call("terminate", status="COMPLETED", start_time="1750101000", end_time="1750101060", duration="60")
    event = only_fact(CallReported, "calls", value_of(calls=[ended]))
    assert (event.event, event.status, event.duration) == ("terminate", "COMPLETED", 60)
    assert (event.began_at, event.ended_at) == (TOLD_AT, datetime(2025, 6, 16, 19, 11, tzinfo=UTC))
    assert event.opens_window_at is None


@pytest.mark.parametrize("direction", ["BUSINESS_INITIATED", None])
def test_a_call_of_the_business_is_in_the_conversation_of_who_is_called(direction: str | None) -> None:
    parts = {"from": BUSINESS, "to": CUSTOMER, "to_user_id": USER}
    event = only_fact(CallReported, "calls", value_of(calls=[call(direction=direction, **parts)]))
    assert (event.contact, event.user_id, event.opens_window_at) == (CUSTOMER, USER, None)


def test_why_a_call_failed_is_told_with_it() -> None:
    failed = call("terminate", status="FAILED")
    event = only_fact(CallReported, "calls", value_of(calls=[failed], errors=[{"code": 138021}]))
    assert event.error_codes == [138021]


@pytest.mark.parametrize("status", ["RINGING", "ACCEPTED", "REJECTED"])
def test_what_becomes_of_a_call_of_the_business_is_no_status_of_a_message(status: str) -> None:
    told = {"id": "wacid.A", "type": "call", "status": status, "timestamp": "1750101000", "recipient_user_id": USER}
    event = only_fact(CallReported, "calls", value_of(statuses=[told]))
    assert (event.event, event.status, event.direction) == ("status", status, "BUSINESS_INITIATED")
    assert (event.contact, event.wa_id) == (USER, None)


@pytest.mark.parametrize("item", [7, {}, call(id=7), {"id": "wacid.A", "event": "connect"}])
def test_a_call_that_is_none_is_kept_whole(item: Any) -> None:
    value = value_of(calls=[item])
    assert only_fact(Unrecognised, "calls", value).value == value


@pytest.mark.parametrize("field", ["account_offboarded", "account_reconnected"])
@pytest.mark.parametrize("nested", [False, True])
def test_an_account_that_left_is_told_as_account_update_tells_it(field: str, nested: bool) -> None:
    told = {"waba_id": WABA, "phone_number_id": PHONE, "reason": "USER_INITIATED", "timestamp": 1_750_101_000}
    event = only_fact(AccountUpdated, field, {field: told} if nested else told)
    assert (event.event, event.phone_number_id, event.reason) == (field.upper(), PHONE, "USER_INITIATED")
    assert (event.waba_id, event.org_id, event.time) == (WABA, "acme", TOLD_AT)


def test_why_an_account_was_disconnected_is_told() -> None:
    value = {"event": "PARTNER_REMOVED", "disconnection_info": {"reason": "PRIMARY_INACTIVITY"}}
    assert only_fact(AccountUpdated, "account_update", value).reason == "PRIMARY_INACTIVITY"
