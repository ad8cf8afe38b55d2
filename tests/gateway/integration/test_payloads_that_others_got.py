"""Webhooks in shapes that other people's systems got from Meta, some of which its pages do not have: what is in Kafka.

The shapes are those of public reports and of other projects, as of autumn 2026; names, numbers and texts are not.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from wabus_events import (
    ACCOUNTS,
    MESSAGES,
    AccountUpdated,
    CallReported,
    ContactIdentityChanged,
    ContactSynced,
    Event,
    HistoryProgressed,
    MessageEchoed,
    MessageImported,
    MessageReceived,
    MessageStatusChanged,
    StandbyReceived,
    ThreadControlChanged,
    Topic,
    Unrecognised,
)
from wabus_gateway.app import GatewaySettings, create_app
from wabus_runtime.service.process import serving
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually
from webhooks import PHONE, WABA, encoded, signed, webhook

Json = dict[str, Any]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]

BUSINESS, INES, INES_ID, PARENT = "4930123456", "33612345678", "FR.9418", "FR.ENT.77"
GROUP = "Y2FwaV9ncm91cDoxMjM"
SELF = {"display_phone_number": BUSINESS, "phone_number_id": PHONE}
AT = "1790000000"


def value(**parts: Any) -> Json:
    return {"messaging_product": "whatsapp", "metadata": SELF, **parts}


def message(kind: str, **parts: Any) -> Json:
    return {"id": f"wamid.{kind}", "timestamp": AT, "type": kind, **parts}


def hidden(**parts: Any) -> Json:
    return {"from_user_id": INES_ID, **parts}


CARD = {"profile": {"name": "Ines", "username": "ines.p"}, "user_id": INES_ID, "parent_user_id": PARENT}
WHO = {"wa_id": INES, "user_id": INES_ID}
NOBODY = {"wa_id": None, "user_id": None}

PAYLOADS: dict[str, tuple[str, Json, list[tuple[type[Event], Json]]]] = {
    "somebody without a number presses a button": (
        "messages",
        value(contacts=[CARD], messages=[hidden(**message("button", button={"payload": "Yes", "text": "Yes"}))]),
        [(MessageReceived, {"wa_id": None, "user_id": INES_ID, "parent_user_id": PARENT, "username": "ines.p"})],
    ),
    "an id stands where the number was": (
        "messages",
        value(contacts=[{"wa_id": INES_ID}], messages=[{"from": INES_ID, **message("text", text={"body": "…"})}]),
        [(MessageReceived, {"wa_id": None, "user_id": INES_ID})],
    ),
    "an unsupported message without anything of its type": (
        "messages",
        value(contacts=[WHO], messages=[{"from": INES, **message("unsupported", errors=[{"code": 131060}])}]),
        [(MessageReceived, WHO)],
    ),
    "a permission to call": (
        "messages",
        value(
            contacts=[WHO],
            messages=[
                {
                    "from": INES,
                    **message(
                        "interactive", interactive={"type": "call_permission_reply", "call_permission_reply": {}}
                    ),
                }
            ],
        ),
        [(MessageReceived, WHO)],
    ),
    "a new number, with the ids of before and after": (
        "messages",
        value(
            messages=[
                {
                    "from": INES,
                    **message(
                        "system",
                        system={
                            "type": "user_changed_number",
                            "wa_id": "33699999999",
                            "user_id": "FR.2",
                            "previous_user_id": INES_ID,
                            "body": f"Ines changed from {INES} to 33699999999",
                        },
                    ),
                }
            ]
        ),
        [
            (MessageReceived, WHO),
            (
                ContactIdentityChanged,
                {
                    "previous_wa_id": INES,
                    "previous_user_id": INES_ID,
                    "current_wa_id": "33699999999",
                    "current_user_id": "FR.2",
                },
            ),
        ],
    ),
    "statuses of a group, of one with a number and of one without": (
        "messages",
        value(
            contacts=[CARD],
            statuses=[
                {
                    "id": "wamid.G",
                    "status": "read",
                    "timestamp": AT,
                    "recipient_id": GROUP,
                    "recipient_type": "group",
                    **participant,
                }
                for participant in (
                    {"recipient_participant_id": "33600000001"},
                    {"recipient_participant_user_id": INES_ID},
                )
            ],
        ),
        [
            (MessageStatusChanged, {"group_id": GROUP, "wa_id": "33600000001", "participant_user_id": None}),
            (MessageStatusChanged, {"group_id": GROUP, "wa_id": None, "participant_user_id": INES_ID}),
        ],
    ),
    "an echo with plus signs, by an assistant of the app": (
        "smb_message_echoes",
        value(
            message_echoes=[
                {
                    "from": f"+{BUSINESS}",
                    "to": f"+{INES}",
                    "message_creation_type": "created_by_1p_bot",
                    **message("text", text={"body": "…"}),
                }
            ]
        ),
        [(MessageEchoed, {"wa_id": INES, "user_id": None})],
    ),
    "an echo in a group of the app": (
        "smb_message_echoes",
        value(
            message_echoes=[{"from": BUSINESS, "to": "120363041234567890@g.us", **message("image", image={"id": "1"})}]
        ),
        [(MessageEchoed, {"group_id": "120363041234567890@g.us", **NOBODY})],
    ),
    "a history whose numbers are texts": (
        "history",
        value(
            history=[
                {
                    "metadata": {"phase": "0", "chunk_order": "1", "progress": "100"},
                    "threads": [
                        {
                            "id": INES,
                            "messages": [
                                {"from": BUSINESS, "to": INES, **message("text", history_context={"status": "read"})},
                                {"from": INES, **message("media_placeholder", history_context={"status": "READ"})},
                            ],
                        }
                    ],
                }
            ]
        ),
        [
            (MessageImported, {"from_business": True, "wa_id": INES}),
            (MessageImported, {"from_business": False, "wa_id": INES}),
            (HistoryProgressed, {"phase": 0, "chunk_order": 1, "progress": 100, "messages": 2}),
        ],
    ),
    "a history that is not shared, told beside its chunks": (
        "history",
        value(errors=[{"code": 2593109, "title": "History sync is turned off"}]),
        [(HistoryProgressed, {"declined": True, "error_codes": [2593109]})],
    ),
    "an entry of the address book without a number": (
        "smb_app_state_sync",
        value(
            state_sync=[
                {
                    "type": "contact",
                    "action": "add",
                    "contact": {"full_name": "Ines", "user_id": INES_ID},
                    "metadata": {"timestamp": int(AT)},
                }
            ]
        ),
        [(ContactSynced, {"wa_id": None, "user_id": INES_ID, "full_name": "Ines"})],
    ),
    "a handover as the test panel sends it": (
        "messaging_handovers",
        {
            "messaging_product": "whatsapp",
            "recipient": SELF,
            "sender": {"phone_number": INES},
            "timestamp": AT,
            "control_passed": {"metadata": "…"},
        },
        [(ThreadControlChanged, {"is_ours": True, "wa_id": INES, "metadata": "…"})],
    ),
    "a handover by Meta's own agent": (
        "messaging_handovers",
        {
            "messaging_product": "whatsapp",
            "recipient": SELF,
            "sender": {"phone_number": INES},
            "timestamp": AT,
            "type": "control_passed",
            "control_passed": {"metadata": "customer_request", "previous_owner_app_role": "meta_business_agent"},
        },
        [(ThreadControlChanged, {"is_ours": True, "wa_id": INES, "previous_owner_role": "meta_business_agent"})],
    ),
    "a copy of what was sent, with id and number": (
        "standby",
        value(
            standby={
                "message_echoes": [
                    {
                        "id": "wamid.1",
                        "timestamp": AT,
                        "message": {"to": INES, "recipient": INES_ID, "type": "text", "biz_opaque_callback_data": "…"},
                    }
                ]
            }
        ),
        [(StandbyReceived, {"kind": "echo", **WHO})],
    ),
    "a copy of what was sent, with the number twice": (
        "standby",
        value(
            standby={
                "message_echoes": [
                    {
                        "id": "wamid.2",
                        "timestamp": AT,
                        "message": {"to": INES, "recipient": INES, "recipient_type": "individual", "type": "text"},
                    }
                ]
            }
        ),
        [(StandbyReceived, {"kind": "echo", "wa_id": INES, "user_id": None})],
    ),
    "a copy of a status": (
        "standby",
        value(
            standby={
                "statuses": [
                    {
                        "id": "wamid.2",
                        "status": "delivered",
                        "timestamp": AT,
                        "recipient_id": INES,
                        "recipient_user_id": INES_ID,
                    }
                ]
            }
        ),
        [(StandbyReceived, {"kind": "status", "status": "delivered", **WHO})],
    ),
    "a call of somebody without a number": (
        "calls",
        value(
            contacts=[CARD],
            calls=[
                {
                    "id": "wacid.1",
                    "event": "connect",
                    "direction": "USER_INITIATED",
                    "timestamp": AT,
                    "to": BUSINESS,
                    **hidden(),
                }
            ],
        ),
        [(CallReported, {"wa_id": None, "user_id": INES_ID, "direction": "USER_INITIATED"})],
    ),
    "an account that left": (
        "account_update",
        {
            "event": "ACCOUNT_OFFBOARDED",
            "disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"},
        },
        [(AccountUpdated, {"event": "ACCOUNT_OFFBOARDED", "reason": "PRIMARY_INACTIVITY"})],
    ),
    "a field that nobody here knows": (
        "business_username_update",
        {"display_phone_number": BUSINESS, "username": "shop", "status": "approved"},
        [(Unrecognised, {"field": "business_username_update"})],
    ),
}


@pytest.fixture
async def gateway(topics: KafkaSettings, eventually: Eventually) -> AsyncIterator[ClientSession]:
    app = create_app(load(GatewaySettings))
    async with serving(app, "127.0.0.1", 0) as ports, ClientSession(f"http://127.0.0.1:{ports[0]}") as client:

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status == 200

        await eventually(is_ready)
        yield client


async def test_each_is_understood_and_none_is_lost(gateway: ClientSession, events_in: EventsIn) -> None:
    for field, told, _ in PAYLOADS.values():
        body = encoded(webhook({"field": field, "value": told}))
        assert (await gateway.post("/webhooks/whatsapp", data=body, headers=signed(body))).status == 200
    found = [*await events_in(MESSAGES), *await events_in(ACCOUNTS)]
    for name, (_, _, expected) in PAYLOADS.items():
        for kind, parts in expected:
            made = [event for event in found if type(event) is kind]
            alike = [event for event in made if parts.items() <= {part: getattr(event, part) for part in parts}.items()]
            assert alike, (name, made)
            assert {event.subject for event in alike} == {WABA}
    kinds = Counter(kind for _, _, expected in PAYLOADS.values() for kind, _ in expected)
    assert Counter(type(event) for event in found if type(event) in kinds) == kinds
