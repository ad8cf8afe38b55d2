"""What a webhook becomes says what pywa says of the same webhook: who it is, which message, call or choice it is."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pywa.types.calls import CallTerminate
from pywa.types.system import PhoneNumberChange
from pywa.types.user_preferences import UserMarketingPreferences
from pywa_reader import Reader
from simulated_meta import Store, new_world
from simulated_meta.control.people import VARIANTS
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.meta_openapi import create_meta
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
    MessageStatusChanged,
    MessagingFailed,
    StandbyReceived,
    ThreadControlChanged,
    Unrecognised,
)
from wabus_gateway.webhooks.parse import facts_in

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]

NUMBER, HIDDEN = "16505551234", "US.13491208655302741918"
PEOPLE = (NUMBER, HIDDEN)
BECOMES: dict[str, tuple[type[Event], ...]] = {
    "smb_message_echoes": (MessageEchoed,),
    "history": (MessageImported, HistoryProgressed),
    "smb_app_state_sync": (ContactSynced,),
    "user_id_update": (ContactIdentityChanged,),
    "user_preferences": (MarketingPreferenceChanged,),
    "messaging_handovers": (ThreadControlChanged,),
    "standby": (StandbyReceived,),
    "calls": (CallReported,),
    "account_offboarded": (AccountUpdated,),
    "account_reconnected": (AccountUpdated,),
}


@pytest.fixture
def reader() -> Reader:
    return Reader(DEMO_PHONE)


@pytest.fixture
async def meta(serve: Serve, reader: Reader) -> Client:
    receiver = await serve(reader.app())
    world = new_world("1234567890", ["an-app-secret"])
    world.callback_url = str(receiver.make_url("/webhooks"))
    world.has_parent_user_ids = True
    client = await serve(create_meta(Store(world)))
    await fire(client, "POST", "/people", {"user_id": HIDDEN, "username": "pablo"})
    return client


async def fire(meta: Client, method: str, path: str, body: Json) -> Json:
    answer = await meta.request(method, f"/_control{path}?wait=true", json=body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


def ours(reader: Reader) -> list[Event]:
    """What the gateway makes of all that has come."""
    now = datetime.now(UTC)
    return [event for body in reader.bodies for event in facts_in(body, received_at=now, owner=lambda waba_id: waba_id)]


def agree(event: Any, update: Any) -> None:
    """Whether both mean the same person, number and moment."""
    user = update.from_user
    assert (event.wa_id, event.user_id, event.parent_user_id) == (user.wa_id, user.bsuid, user.parent_bsuid)
    assert event.username == user.username
    assert (event.phone_number_id, event.waba_id) == (update.metadata.phone_number_id, update.waba_id)
    assert event.time == update.timestamp


@pytest.mark.parametrize(
    ("field", "variant"), [(field, variant) for field, variants in VARIANTS.items() for variant in variants]
)
async def test_every_field_that_meta_sends_becomes_its_events(
    meta: Client, reader: Reader, field: str, variant: str
) -> None:
    for user in PEOPLE:
        await fire(meta, "POST", f"/fields/{field}", {"variant": variant, "user": user})

    events = ours(reader)
    assert len(events) >= len(PEOPLE)
    assert {type(event) for event in events} <= {*BECOMES[field]}
    assert {event.subject for event in events} == {DEMO_WABA}
    if reader.typed:
        for event, update in zip(events, reader.typed, strict=True):
            agree(event, update)


@pytest.mark.parametrize("variant", ["edit", "revoke"])
async def test_which_message_was_edited_or_deleted_in_the_app_is_read_alike(
    meta: Client, reader: Reader, variant: str
) -> None:
    await fire(meta, "POST", "/fields/smb_message_echoes", {"variant": variant, "original": "wamid.O"})
    await fire(meta, "POST", "/messages", {f"{variant}s": "wamid.O"})

    echo, received = ours(reader)
    assert isinstance(echo, MessageEchoed)
    assert isinstance(received, MessageReceived)
    for event, update in zip((echo, received), reader.typed, strict=True):
        agree(event, update)
        assert (event.wamid, event.original_wamid) == (update.id, update.original_message_id)


@pytest.mark.parametrize("user", PEOPLE)
async def test_a_message_and_its_statuses_are_read_alike(meta: Client, reader: Reader, user: str) -> None:
    await fire(meta, "POST", "/messages", {"from": user})
    for status in ("sent", "delivered", "read", "played"):
        await fire(meta, "POST", "/messages/statuses", {"to": user, "status": status})

    received, *statuses = ours(reader)
    assert isinstance(received, MessageReceived)
    assert all(isinstance(event, MessageStatusChanged) for event in statuses)
    for event, update in zip((received, *statuses), reader.typed, strict=True):
        agree(event, update)


async def test_members_of_a_group_are_read_alike(meta: Client, reader: Reader) -> None:
    made = await fire(meta, "POST", "/groups", {"participants": [NUMBER, HIDDEN]})
    group = made["group"]["id"]
    await fire(meta, "POST", "/messages", {"from": HIDDEN, "group_id": group})
    await fire(meta, "POST", f"/groups/{group}/statuses", {"status": "read"})

    created, received, *statuses = ours(reader)
    message, told = reader.typed
    assert isinstance(created, Unrecognised)
    assert isinstance(received, MessageReceived)
    agree(received, message)
    assert (received.group_id, received.key) == (message.chat.id, f"{DEMO_PHONE}:{group}")
    for event, status in zip(statuses, told, strict=True):
        assert isinstance(event, MessageStatusChanged)
        assert (event.group_id, event.participant, event.participant_user_id) == (
            told.group_id,
            status.from_user.wa_id,
            status.from_user.bsuid,
        )
        assert (event.parent_user_id, event.username) == (status.from_user.parent_bsuid, status.from_user.username)


@pytest.mark.parametrize(("variant", "choice"), [("stop", "stop"), ("resume", "resume"), ("signup", "signup")])
async def test_a_preference_is_read_alike(meta: Client, reader: Reader, variant: str, choice: str) -> None:
    await fire(meta, "POST", "/fields/user_preferences", {"variant": variant, "user": HIDDEN})

    [event], [update] = ours(reader), reader.typed
    assert isinstance(event, MarketingPreferenceChanged)
    assert isinstance(update, UserMarketingPreferences)
    assert (event.choice, event.category, event.signup_id) == (
        update.value.value,
        update.category.value,
        update.signup_id,
    )
    assert event.choice == choice


@pytest.mark.parametrize("variant", [*VARIANTS["calls"]])
async def test_a_call_is_read_alike(meta: Client, reader: Reader, variant: str) -> None:
    await fire(meta, "POST", "/fields/calls", {"variant": variant, "user": NUMBER})

    [event], [update] = ours(reader), reader.typed
    assert isinstance(event, CallReported)
    assert event.call_id == update.id
    if variant in ("ringing", "accepted", "rejected"):
        assert event.status == update.status.value
        return
    assert (event.event, event.direction) == (update.event.value, update.direction.value)
    if isinstance(update, CallTerminate):
        assert (event.status, event.began_at, event.ended_at, event.duration) == (
            update.status.value,
            update.start_time,
            update.end_time,
            update.duration,
        )
        assert event.error_codes == ([update.error.code] if update.error else [])


async def test_somebody_with_another_number_is_read_alike_and_found_again(meta: Client, reader: Reader) -> None:
    """They write, take a user name so that Meta hides their number, change it, and show it again."""
    who = await fire(meta, "POST", "/people", {"phone": NUMBER})
    await fire(meta, "POST", "/messages", {"from": NUMBER})
    await fire(meta, "PATCH", f"/people/{who['user_id']}", {"username": "sheena", "shows_phone": False})
    await fire(meta, "POST", "/messages", {"from": who["user_id"]})
    hidden = (await fire(meta, "PATCH", f"/people/{who['user_id']}", {"phone": "16505550000"}))["person"]
    await fire(meta, "POST", "/messages", {"from": hidden["user_id"]})
    await fire(meta, "PATCH", f"/people/{hidden['user_id']}", {"shows_phone": True})
    await fire(meta, "POST", "/messages", {"from": "16505550000"})
    shown = (await fire(meta, "PATCH", f"/people/{hidden['user_id']}", {"phone": "16505559999"}))["person"]

    events = ours(reader)
    changes = [event for event in events if isinstance(event, ContactIdentityChanged)]
    assert [(event.previous_user_id, event.current_user_id) for event in changes] == [
        (who["user_id"], hidden["user_id"]),
        (hidden["user_id"], shown["user_id"]),
    ]
    assert [(event.previous_wa_id, event.current_wa_id) for event in changes] == [
        (None, None),
        ("16505550000", "16505559999"),
    ]
    last = reader.typed[-1]
    assert isinstance(last, PhoneNumberChange)
    assert (last.old_wa_id, last.new_wa_id, last.new_user_id) == ("16505550000", "16505559999", shown["user_id"])
    messages = [event for event in events if isinstance(event, MessageReceived) and event.message_type == "text"]
    assert [(event.wa_id, event.user_id) for event in messages] == [
        (NUMBER, who["user_id"]),
        (None, who["user_id"]),
        (None, hidden["user_id"]),
        ("16505550000", hidden["user_id"]),
    ]


@pytest.mark.parametrize(("variant", "user_id"), [("echo", True), ("echo_again", False)])
async def test_who_was_written_to_by_another_responder_is_who_the_message_says(
    meta: Client, reader: Reader, variant: str, user_id: bool
) -> None:
    who = await fire(meta, "POST", "/people", {"phone": NUMBER})
    await fire(meta, "POST", "/fields/standby", {"variant": variant, "user": NUMBER})

    [event] = ours(reader)
    assert isinstance(event, StandbyReceived)
    assert (event.wa_id, event.user_id) == (NUMBER, who["user_id"] if user_id else None)


async def test_errors_beside_a_message_are_told_with_it_and_on_their_own(meta: Client, reader: Reader) -> None:
    await fire(meta, "POST", "/messages/errors", {"code": 130429, "from": NUMBER})

    received, failed = ours(reader)
    assert isinstance(received, MessageReceived)
    assert isinstance(failed, MessagingFailed)
    assert failed.error_codes == [130429]
