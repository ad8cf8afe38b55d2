"""Which facts share an id: what Meta tells twice, and nothing else."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wabus_events import (
    EVENTS,
    AccountAlerted,
    AccountReviewed,
    AccountSettingsChanged,
    AccountUpdated,
    CallReported,
    CapabilityChanged,
    ContactIdentityChanged,
    ContactSynced,
    Event,
    HistoryProgressed,
    MarketingPreferenceChanged,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessageStatusChanged,
    MessagingFailed,
    PhoneNumberNameReviewed,
    PhoneNumberQualityChanged,
    SecurityChanged,
    StandbyReceived,
    TemplateCategoryChanged,
    TemplateComponentsChanged,
    TemplateQualityChanged,
    TemplateStatusChanged,
    ThreadControlChanged,
    Unrecognised,
)
from wabus_gateway.webhooks.parse import facts_in
from webhooks import PHONE, WABA, conversation, encoded, status, template_status, text, webhook

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 1, 8, tzinfo=UTC)
PORTFOLIO = "2949482758682047"
GROUP = "Y2FwaV9ncm91cDo"

Json = dict[str, Any]


def facts(payload: Any, *, received_at: datetime = NOW) -> list[Event]:
    return list(facts_in(encoded(payload), received_at=received_at, owner=lambda waba_id: f"owner of {waba_id}"))


def only(change: Json, **entry: Any) -> Event:
    (event,) = facts(webhook(change, **entry))
    return event


def undated(payload: Json) -> Json:
    for entry in payload["entry"]:
        del entry["time"]
    return payload


def of_group(name: str = "read", **participant: str) -> Json:
    return status("wamid.A", name, GROUP, recipient_type="group", **participant)


def of_payment(name: str = "captured", **parts: Any) -> Json:
    """As Meta tells it of an order with a payment gateway in India."""
    amount = {"value": 45_000, "offset": 100}
    transaction = {
        "id": "order_1",
        "type": "razorpay",
        "status": "success",
        "created_timestamp": 1_700_000_000,
        **parts,
    }
    payment = {"reference_id": "r-1", "amount": amount, "currency": "INR", "transaction": transaction}
    return status("wamid.A", name, type="payment", payment=payment)


REFUND = {"id": "rfnd_1", "amount": {"value": 45_000, "offset": 100}, "status": "pending", "speed_processed": "normal"}


def test_a_read_by_a_member_of_a_group_without_a_number_is_not_lost_as_a_repetition_of_anothers() -> None:
    reads = [of_group(recipient_participant_user_id=f"BR.{number}") for number in range(1, 6)]
    assert len({event.id for event in facts(webhook(conversation(statuses=reads)))}) == 5


def test_a_read_by_another_member_in_the_form_of_older_examples_is_not_lost_as_a_repetition() -> None:
    reads = [of_group(participant_recipient_id=number) for number in ("5511911111111", "5511922222222")]
    assert len({event.id for event in facts(webhook(conversation(statuses=reads)))}) == 2


def test_a_refund_is_not_lost_as_a_repetition_of_its_payment() -> None:
    told = [
        of_payment(),
        of_payment(refunds=[REFUND]),
        of_payment(refunds=[{**REFUND, "status": "completed"}]),
        of_payment(refunds=[REFUND, {**REFUND, "id": "rfnd_2"}]),
    ]
    assert len({event.id for event in facts(webhook(conversation(statuses=told)))}) == 4


def test_a_second_attempt_to_pay_is_not_lost_as_a_repetition_of_the_first() -> None:
    told = [
        of_payment("pending", id="order_1", status="pending"),
        of_payment("pending", id="order_2", status="pending"),
        of_payment("pending", id="order_2", status="failed", error={"code": "payment_cancelled", "reason": "closed"}),
        of_payment("pending", id="order_2", status="pending", updated_timestamp=1_700_000_300),
    ]
    assert len({event.id for event in facts(webhook(conversation(statuses=told)))}) == 4


def test_a_payment_that_failed_is_not_lost_as_a_repetition_of_its_messages_failure() -> None:
    told = [status("wamid.A", "failed"), status("wamid.A", "failed", type="payment")]
    assert len({event.id for event in facts(webhook(conversation(statuses=told)))}) == 2


def test_the_same_news_of_a_flow_a_day_later_is_not_lost_as_a_repetition() -> None:
    change = {"field": "flows", "value": {"event": "FLOW_STATUS_CHANGE", "flow_id": "1", "new_status": "THROTTLED"}}
    assert only(change, time=1_700_000_000).id != only(change, time=1_700_086_400).id


def unwritable(field: str = "new") -> Json:
    return {"field": field, "value": {"number": 10**400}}


def test_a_change_kept_as_bytes_is_not_lost_as_a_repetition_of_another_accounts() -> None:
    assert only(unwritable(), waba_id="1").id != only(unwritable(), waba_id="2").id
    assert only(unwritable(), time=1_700_000_000).id != only(unwritable(), time=1_700_000_001).id


WABA_INFO = {"waba_id": WABA, "owner_business_id": "2329417887457253"}
TOLD_TO_PARTNERS: list[Json] = [
    {"event": "PARTNER_REMOVED", "waba_info": WABA_INFO},
    {
        "event": "PARTNER_REMOVED",
        "waba_info": WABA_INFO,
        "disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"},
    },
    {"event": "PARTNER_ADDED", "waba_info": {**WABA_INFO, "solution_partner_business_ids": [PORTFOLIO]}},
    {"event": "PARTNER_APP_INSTALLED", "waba_info": {**WABA_INFO, "partner_app_id": "5731794616896507"}},
    {"event": "PARTNER_APP_UNINSTALLED", "waba_info": {**WABA_INFO, "partner_app_id": "869361281603019"}},
    {"event": "AD_ACCOUNT_LINKED", "waba_info": {**WABA_INFO, "ad_account_linked": "980198427534243"}},
    {"event": "MM_LITE_TERMS_SIGNED", "waba_info": WABA_INFO},
]
TOLD_OF_THE_ENTRY: list[Json] = [
    {"event": "ACCOUNT_DELETED"},
    {"event": "ACCOUNT_OFFBOARDED"},
    {"event": "ACCOUNT_RECONNECTED"},
    {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}},
    {"event": "PARTNER_REMOVED", "phone_number": "15550783881"},
    {"event": "PARTNER_REMOVED", "waba_info": WABA_INFO},
    {"event": "PARTNER_REMOVED", "waba_info": {"waba_id": ""}},
    {"event": "PARTNER_REMOVED", "waba_info": {"waba_id": None}},
    {"event": "PARTNER_REMOVED", "waba_info": {"waba_id": True}},
    {"event": "PARTNER_REMOVED", "waba_info": "?"},
]


@pytest.mark.parametrize("value", TOLD_TO_PARTNERS, ids=lambda value: value["event"])
def test_who_lost_an_account_hears_of_that_account_and_not_of_the_partners_portfolio(value: Json) -> None:
    event = only({"field": "account_update", "value": value}, waba_id=PORTFOLIO)
    assert isinstance(event, AccountUpdated)
    assert (event.subject, event.org_id, event.portfolio_id) == (WABA, f"owner of {WABA}", PORTFOLIO)


@pytest.mark.parametrize("value", TOLD_OF_THE_ENTRY, ids=json.dumps)
def test_an_update_that_names_no_other_account_is_about_its_entrys(value: Json) -> None:
    event, *more = facts(webhook({"field": "account_update", "value": value}))
    assert isinstance(event, AccountUpdated)
    assert {(each.subject, getattr(each, "portfolio_id", None)) for each in (event, *more)} == {(WABA, None)}


def test_a_partners_portfolio_is_never_taken_for_an_account() -> None:
    value = {"event": "SOLUTION_CREATED", "solution_id": "774485461512159", "solution_status": "INITIATED"}
    event = only({"field": "partner_solutions", "value": value}, waba_id=PORTFOLIO)
    assert isinstance(event, Unrecognised)
    assert (event.subject, event.org_id, event.portfolio_id) == (None, None, PORTFOLIO)


def test_the_accounts_that_two_partners_lost_in_one_second_are_two_facts() -> None:
    change = {"field": "account_update", "value": TOLD_TO_PARTNERS[0]}
    assert only(change, waba_id="1").id != only(change, waba_id="2").id


TEMPLATE = {"message_template_id": 12, "message_template_name": "promo", "message_template_language": "de"}
PINNED: dict[str, tuple[str, Json]] = {
    "a message": ("f1245e36-372e-530d-bcef-9110d5c1f4a4", webhook(conversation(messages=[text("wamid.A")]))),
    "a status": ("75e7b8d8-e38b-5876-9d84-2ae92a64cf2c", webhook(conversation(statuses=[status("wamid.A")]))),
    "a failure": (
        "ff4df7c3-b663-5f96-8129-9cd7fd0ac85a",
        webhook(conversation(statuses=[status("wamid.A", "failed", errors=[{"code": 131047}])])),
    ),
    "a status of somebody without a number": (
        "248d9e7c-9b55-5873-a118-f189b9a91ae4",
        webhook(conversation(statuses=[{**status("wamid.A", "read", ""), "recipient_user_id": "BR.1"}])),
    ),
    "a status of a group as a whole": (
        "377079c4-af68-517f-bdf6-7045efb3f971",
        webhook(conversation(statuses=[of_group()])),
    ),
    "a status of a participant with a number": (
        "0e6b91ed-8628-5001-afc3-fad9fe31c467",
        webhook(conversation(statuses=[of_group(recipient_participant_id="5511911111111")])),
    ),
    "a status of a participant with both": (
        "0e6b91ed-8628-5001-afc3-fad9fe31c467",
        webhook(
            conversation(
                statuses=[of_group(recipient_participant_id="5511911111111", recipient_participant_user_id="BR.1")]
            )
        ),
    ),
    "a template": ("18654177-3f3a-5e3b-9d3e-8ffc2404ab89", webhook(template_status())),
    "a template without a time": ("66f9608c-8b78-5ce4-8a17-f3a212ce9e5b", undated(webhook(template_status()))),
    "an account of the entry": (
        "338886c9-78e8-534a-abe4-04012c6a707f",
        webhook({"field": "account_update", "value": {"event": "ACCOUNT_DELETED"}}),
    ),
    "an account that the entry is of": (
        "fd57e236-3f7d-5f9e-b273-22f332085751",
        webhook({"field": "account_update", "value": {"event": "PARTNER_REMOVED", "waba_info": WABA_INFO}}),
    ),
    "a field without a model or a time": (
        "f0f3d2d3-dc42-5548-9e71-2e8a913e73ef",
        undated(webhook({"field": "flows", "value": {"event": "?"}})),
    ),
    "an entry without changes": (
        "e0387f69-24e2-52a1-be86-d388377e2d2a",
        {"object": "whatsapp_business_account", "entry": [{"id": WABA, "time": 1_700_000_000}]},
    ),
    "another object": (
        "912c60bc-81e1-5f7d-ba47-647e97be12c2",
        {"object": "page", "entry": [{"id": "1", "time": 1_700_000_000}]},
    ),
}


KEYS = {
    "a message": f"{PHONE}:16505551234",
    "a status": f"{PHONE}:16505551234",
    "a failure": f"{PHONE}:16505551234",
    "a status of somebody without a number": f"{PHONE}:BR.1",
    "a status of a group as a whole": f"{PHONE}:{GROUP}",
    "a status of a participant with a number": f"{PHONE}:{GROUP}",
    "a status of a participant with both": f"{PHONE}:{GROUP}",
    "a template": WABA,
    "a template without a time": WABA,
    "an account of the entry": WABA,
    "an account that the entry is of": WABA,
    "a field without a model or a time": WABA,
    "an entry without changes": "",
    "another object": "",
}


@pytest.mark.parametrize("name", PINNED)
def test_a_conversation_is_in_the_partition_in_which_it_was(name: str) -> None:
    (event,) = facts(PINNED[name][1])
    assert event.key == KEYS[name]


@pytest.mark.parametrize(("pinned", "payload"), PINNED.values(), ids=PINNED)
def test_ids_of_before_are_still_those_of_the_same_facts(pinned: str, payload: Json) -> None:
    (event,) = facts(payload)
    assert event.id == pinned


@dataclass(frozen=True)
class Told:
    """A kind of fact: what differs between two of it, each with some values, and the change that tells one."""

    made: type[Event]
    parts: Mapping[str, list[Any]]
    change: Callable[[Json], Json]


ENTRY = {"waba_id": [WABA, "2"], "time": [1_700_000_000, 1_700_000_001]}


def of_field(made: type[Event], field: str, **parts: list[Any]) -> Told:
    return Told(made, {**ENTRY, **parts}, lambda drawn: {"field": field, "value": without_entry(drawn)})


def without_entry(drawn: Json) -> Json:
    return {name: part for name, part in drawn.items() if name not in ENTRY}


def of_number(
    made: type[Event],
    field: str,
    kind: str,
    item: Callable[[Json], Json],
    *,
    when_told: bool = True,
    **parts: list[Any],
) -> Told:
    """What an item in a list of a value about a number tells; `when_told` is whether only its entry says when."""

    def change(drawn: Json) -> Json:
        about = conversation()["value"] | {kind: [item(without_entry(drawn))]}
        return {"field": field, "value": about}

    times = ENTRY["time"] if when_told else ENTRY["time"][:1]
    return Told(made, {"time": times, **parts}, change)


def of_copy(kind: str, always: Json, **parts: list[Any]) -> Told:
    return Told(
        StandbyReceived,
        parts,
        lambda drawn: {"field": "standby", "value": conversation()["value"] | {"standby": {kind: [always | drawn]}}},
    )


def echo(drawn: Json) -> Json:
    return {"from": "15550783881", "to": "1", "type": "text", **drawn}


OF_TEMPLATE: dict[str, list[Any]] = {
    "message_template_id": [1, 2],
    "message_template_name": ["a", "b"],
    "message_template_language": ["de", "en"],
}
STATUS = {"id": ["wamid.A", "wamid.B"], "status": ["delivered", "read", "failed"], "timestamp": ["1700000002"]}
TOLD = {
    "a message": Told(
        MessageReceived,
        {"id": ["wamid.A", "wamid.B"]},
        lambda drawn: conversation(messages=[{**text("?"), **drawn}]),
    ),
    "a status": Told(
        MessageStatusChanged,
        {**STATUS, "recipient_id": ["1", "2"]},
        lambda drawn: conversation(statuses=[drawn]),
    ),
    "a status of somebody without a number": Told(
        MessageStatusChanged,
        {**STATUS, "recipient_user_id": ["BR.1", "BR.2"]},
        lambda drawn: conversation(statuses=[drawn]),
    ),
    **{
        f"a status of a participant by {name}": Told(
            MessageStatusChanged,
            {**STATUS, "recipient_id": [GROUP, "another"], name: ["1", "2", "BR.1", "BR.2"]},
            lambda drawn: conversation(statuses=[{**drawn, "recipient_type": "group"}]),
        )
        for name in ("recipient_participant_id", "recipient_participant_user_id", "participant_recipient_id")
    },
    "a status of a payment": Told(
        MessageStatusChanged,
        {
            "id": ["wamid.A", "wamid.B"],
            "status": ["pending", "captured", "failed"],
            "recipient_id": ["1", "2"],
            "payment": [
                of_payment()["payment"],
                of_payment(id="order_2")["payment"],
                of_payment(status="failed")["payment"],
                of_payment(refunds=[REFUND])["payment"],
            ],
        },
        lambda drawn: conversation(statuses=[{**drawn, "type": "payment"}]),
    ),
    "a template's status": of_field(
        TemplateStatusChanged,
        "message_template_status_update",
        event=["PAUSED", "APPROVED"],
        reason=["NONE", "x"],
        **OF_TEMPLATE,
    ),
    "a template's quality": of_field(
        TemplateQualityChanged, "message_template_quality_update", new_quality_score=["RED", "GREEN"], **OF_TEMPLATE
    ),
    "a template's category": of_field(
        TemplateCategoryChanged, "template_category_update", new_category=["MARKETING", "UTILITY"], **OF_TEMPLATE
    ),
    "a template's components": of_field(
        TemplateComponentsChanged,
        "message_template_components_update",
        message_template_element=["a", "b"],
        **OF_TEMPLATE,
    ),
    "an account": of_field(
        AccountUpdated, "account_update", event=["DISABLED_UPDATE", "ACCOUNT_DELETED"], country=["IN", "BR"]
    ),
    "an account told to a partner": of_field(
        AccountUpdated,
        "account_update",
        event=["PARTNER_ADDED", "PARTNER_REMOVED"],
        waba_info=[WABA_INFO, {**WABA_INFO, "waba_id": "3"}, {**WABA_INFO, "partner_app_id": "1"}],
    ),
    "an account's review": of_field(AccountReviewed, "account_review_update", decision=["APPROVED", "REJECTED"]),
    "an account's alert": of_field(
        AccountAlerted, "account_alerts", alert_info=[{"alert_type": "OBA_APPROVED"}, {"alert_type": "OBA_REJECTED"}]
    ),
    "an account's settings": of_field(
        AccountSettingsChanged, "account_settings_update", phone_number_settings=[{"phone_number_id": "1"}, {}]
    ),
    "a capability": of_field(
        CapabilityChanged,
        "business_capability_update",
        max_daily_conversation_per_phone=[250, 2000],
        max_daily_conversations_per_business=[250, "TIER_2K"],
    ),
    "a number's quality": of_field(
        PhoneNumberQualityChanged,
        "phone_number_quality_update",
        display_phone_number=["1", "2"],
        event=["UPGRADE", "DOWNGRADE"],
        current_limit=["TIER_250", "TIER_2K"],
    ),
    "a number's name": of_field(
        PhoneNumberNameReviewed,
        "phone_number_name_update",
        display_phone_number=["1", "2"],
        decision=["APPROVED", "REJECTED"],
    ),
    "a number's security": of_field(
        SecurityChanged, "security", display_phone_number=["1", "2"], event=["PIN_CHANGED", "PIN_RESET_REQUEST"]
    ),
    "a field without a model": Told(
        Unrecognised,
        {**ENTRY, "field": ["flows", "group_settings_update"], "value": [{"a": 1}, {"a": 2}, {}]},
        without_entry,
    ),
    "a field without what its model needs": of_field(Unrecognised, "security", odd=[1, 2]),
    "a partner's solution": of_field(Unrecognised, "partner_solutions", solution_id=["1", "2"]),
    "a change with more than field and value": Told(
        Unrecognised, {**ENTRY, "field": ["flows", "group_settings_update"], "odd": [1, 2]}, without_entry
    ),
    "a change that JSON cannot carry on": Told(
        Unrecognised,
        {**ENTRY, "field": ["flows", "group_settings_update"], "value": [{"a": 10**400}, {"a": 10**401}]},
        without_entry,
    ),
    "errors without a message": Told(
        MessagingFailed,
        {**ENTRY, "errors": [[{"code": 130429}], [{"code": 131000}]]},
        lambda drawn: conversation(**without_entry(drawn)),
    ),
    "a message without what its model needs": Told(
        Unrecognised, {**ENTRY, "from": ["1", "2"]}, lambda drawn: conversation(messages=[without_entry(drawn)])
    ),
    "errors beside several messages": Told(
        MessagingFailed,
        {**ENTRY, "errors": [[{"code": 130429}], [{"code": 131000}]]},
        lambda drawn: conversation(messages=[text("wamid.A"), text("wamid.B")], **without_entry(drawn)),
    ),
    "parts beside several messages": Told(
        Unrecognised,
        {**ENTRY, "conversation_context": [{"type": "summary"}, {}]},
        lambda drawn: conversation(messages=[text("wamid.A"), text("wamid.B")], **without_entry(drawn)),
    ),
    "an account that left": of_field(AccountUpdated, "account_offboarded", reason=["USER_INITIATED", "OTHER"]),
    "an echo": of_number(
        MessageEchoed, "smb_message_echoes", "message_echoes", echo, id=["wamid.A", "wamid.B"], when_told=False
    ),
    "a message of before": of_number(
        MessageImported,
        "history",
        "history",
        lambda drawn: {"metadata": {"phase": 0}, "threads": [{"id": "1", "messages": [{**text("?", "1"), **drawn}]}]},
        id=["wamid.A", "wamid.B"],
        type=["text", "media_placeholder", "image"],
        history_context=[{"status": "SENT"}, {"status": "READ"}, {}],
        when_told=False,
    ),
    "a chunk of history": of_number(
        HistoryProgressed,
        "history",
        "history",
        lambda drawn: {"metadata": drawn},
        phase=[0, 1],
        chunk_order=[1, 2],
        progress=[50, 100],
    ),
    "a history that is not shared": of_number(
        HistoryProgressed, "history", "history", lambda drawn: drawn, errors=[[{"code": 2593109}], [{"code": 1}]]
    ),
    "a contact of the address book": of_number(
        ContactSynced,
        "smb_app_state_sync",
        "state_sync",
        lambda drawn: {
            "type": "contact",
            "action": drawn["action"],
            "contact": {"phone_number": drawn["phone_number"], "full_name": drawn["full_name"]},
            "metadata": {"timestamp": drawn["timestamp"]},
        },
        action=["add", "remove"],
        phone_number=["1", "2"],
        full_name=["A", "B"],
        timestamp=["1739321024", "1739321025"],
        when_told=False,
    ),
    "an id that was replaced": of_number(
        ContactIdentityChanged,
        "user_id_update",
        "user_id_update",
        lambda drawn: {"user_id": {"previous": drawn["previous"], "current": drawn["current"]}},
        previous=["BR.1", "BR.2"],
        current=["BR.3", "BR.4"],
    ),
    "a number that was replaced": Told(
        ContactIdentityChanged,
        {"id": ["wamid.A", "wamid.B"]},
        lambda drawn: conversation(
            messages=[{**text("?"), "type": "system", "system": {"type": "user_changed_number", "wa_id": "2"}, **drawn}]
        ),
    ),
    "a preference": of_number(
        MarketingPreferenceChanged,
        "user_preferences",
        "user_preferences",
        lambda drawn: {"category": "marketing_messages", **drawn},
        wa_id=["1", "2"],
        value=["stop", "resume"],
        timestamp=[1_739_321_024, 1_739_321_025],
        when_told=False,
    ),
    "a handover": Told(
        ThreadControlChanged,
        {
            "waba_id": [WABA],
            "type": ["control_passed", "control_taken"],
            "sender": [{"phone_number": "1"}, {"phone_number": "2"}],
            "timestamp": ["1750101000", "1750101001"],
        },
        lambda drawn: {
            "field": "messaging_handovers",
            "value": {"recipient": {"phone_number_id": PHONE}, **without_entry(drawn)},
        },
    ),
    "a copy of a message": of_copy("messages", {"from": "1"}, id=["wamid.A", "wamid.B"]),
    "a copy of a status": of_copy("statuses", {}, **STATUS, recipient_id=["1", "2"]),
    "a copy of what another responder sent": of_copy(
        "message_echoes", {"message": {"to": "1"}}, id=["wamid.A", "wamid.B"]
    ),
    "a call": of_number(
        CallReported,
        "calls",
        "calls",
        lambda drawn: {"from": "1", "direction": "USER_INITIATED", **drawn},
        id=["wacid.A", "wacid.B"],
        event=["connect", "terminate"],
        timestamp=["1739321024", "1739321025"],
        when_told=False,
    ),
    "a status of a call": of_number(
        CallReported,
        "calls",
        "statuses",
        lambda drawn: {"type": "call", "recipient_id": "1", **drawn},
        id=["wacid.A", "wacid.B"],
        status=["RINGING", "ACCEPTED"],
        timestamp=["1739321024", "1739321025"],
        when_told=False,
    ),
}


def ids(told: Told, drawn: Json, *, received_at: datetime = NOW, beside: Json | None = None) -> list[str]:
    entry = {name: part for name, part in drawn.items() if name in ENTRY}
    payload = webhook(*([beside] if beside else []), told.change(drawn), **entry)
    made = [event.id for event in facts(payload, received_at=received_at) if type(event) is told.made]
    assert len(made) == 1
    return made


def test_every_event_made_of_metas_words_is_among_those_whose_ids_are_tested() -> None:
    assert {told.made for told in TOLD.values()} == {kind for kind in EVENTS.values() if "value" in kind.model_fields}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
@given(data=st.data())
def test_what_differs_in_one_thing_never_shares_an_id_and_what_comes_twice_always_does(
    told: Told, data: st.DataObject
) -> None:
    one = {name: data.draw(st.sampled_from(values), name) for name, values in told.parts.items()}
    name = data.draw(st.sampled_from([name for name, values in told.parts.items() if len(values) > 1]))
    other = {**one, name: data.draw(st.sampled_from([part for part in told.parts[name] if part != one[name]]))}
    assert ids(told, one) != ids(told, other)
    beside = template_status() if told.made is not TemplateStatusChanged else conversation(messages=[text("wamid.C")])
    assert ids(told, one) == ids(told, one, received_at=LATER, beside=beside)
