"""Every webhook that the simulated Meta can send, read by pywa: types that nobody here wrote."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pywa_reader import Reader
from simulated_meta import Store, create_app, new_world
from simulated_meta.control.people import VARIANTS
from simulated_meta.seed import DEMO_PHONE, DEMO_TEMPLATE, DEMO_WABA
from simulated_meta.webhooks.delivery import Way
from simulated_meta.webhooks.templates import ACTIONS
from support.meta_openapi import create_meta

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]

HIDDEN = "US.13491208655302741918"
"""Somebody whose number Meta hides."""
UNTYPED = (
    *("account_review_update", "business_capability_update", "group_lifecycle_update", "group_participants_update"),
    *("history", "messaging_handovers", "phone_number_quality_update", "smb_app_state_sync", "standby"),
    *("user_id_update", "account_offboarded", "account_reconnected"),
)
"""Fields that pywa 4.5 has no type for: it hands them on as they are."""


@pytest.fixture
def reader(caplog: pytest.LogCaptureFixture) -> Reader:
    caplog.set_level(logging.WARNING, logger="pywa")
    return Reader(DEMO_PHONE)


@pytest.fixture
async def meta(serve: Serve, reader: Reader) -> Client:
    receiver = await serve(reader.app())
    world = new_world("1234567890", ["an-app-secret"])
    world.callback_url = str(receiver.make_url("/webhooks"))
    world.has_parent_user_ids = True
    return await serve(create_meta(Store(world)))


async def fire(meta: Client, method: str, path: str, body: Json) -> Json:
    answer = await meta.request(method, f"/_control{path}?wait=true", json=body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


MESSAGES: dict[str, tuple[str, Json]] = {
    "from a number": ("/messages", {"from": "16505551234", "text": "Hello"}),
    "from somebody without a number": ("/messages", {"from": HIDDEN}),
    "an edit": ("/messages", {"edits": "wamid.first", "text": "Hallo"}),
    "a deletion": ("/messages", {"revokes": "wamid.first"}),
    "sent": ("/messages/statuses", {"status": "sent"}),
    "delivered": ("/messages/statuses", {"status": "delivered", "to": HIDDEN, "opaque": "order-7"}),
    "read": ("/messages/statuses", {"status": "read"}),
    "played": ("/messages/statuses", {"status": "played"}),
    "a payment": ("/payments", {"refunds": [{"id": "r1", "amount": 100}]}),
}


@pytest.mark.filterwarnings("ignore:Unknown MessageStatusType value. 'captured'")  # pywa has no payments
@pytest.mark.parametrize("path_and_body", MESSAGES.values(), ids=MESSAGES)
async def test_what_people_do_is_read(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture, path_and_body: tuple[str, Json]
) -> None:
    path, body = path_and_body

    await fire(meta, "POST", path, body)

    assert caplog.messages == []
    [update] = reader.typed
    who = body.get("from", body.get("to"))
    assert update.from_user.wa_id is None if who == HIDDEN else update.from_user.wa_id
    assert update.from_user.bsuid == HIDDEN if who == HIDDEN else update.from_user.bsuid
    assert update.from_user.parent_bsuid.split(".")[1] == "ENT"
    assert update.metadata.phone_number_id == DEMO_PHONE


async def test_a_username_is_read_where_meta_shows_it(meta: Client, reader: Reader) -> None:
    await fire(meta, "POST", "/people", {"user_id": HIDDEN, "username": "@pablo"})
    for status in ("sent", "delivered"):
        await fire(meta, "POST", "/messages/statuses", {"to": HIDDEN, "status": status})

    assert [update.from_user.username for update in reader.typed] == [None, "@pablo"]


async def test_members_of_a_group_are_told_apart(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    made = await fire(meta, "POST", "/groups", {"participants": ["16505551234", HIDDEN]})
    group = made["group"]["id"]
    await fire(meta, "POST", f"/groups/{group}/participants", {"user": "4915112345678"})
    await fire(meta, "POST", "/messages", {"from": HIDDEN, "group_id": group})
    await fire(meta, "POST", f"/groups/{group}/statuses", {"status": "read"})

    message, statuses = reader.typed
    assert (message.chat.id, message.from_user.bsuid) == (group, HIDDEN)
    assert statuses.group_id == group
    assert [status.from_user.wa_id for status in statuses] == ["16505551234", None, "4915112345678"]
    assert caplog.messages == []


async def test_somebody_with_another_number_is_read_as_changed(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    who = await fire(meta, "POST", "/people", {"phone": "16505551234"})

    after = await fire(meta, "PATCH", f"/people/{who['user_id']}", {"phone": "16505559999"})

    [change] = reader.typed
    assert (change.old_wa_id, change.new_wa_id) == ("16505551234", "16505559999")
    assert change.new_user_id == after["person"]["user_id"] != who["user_id"]
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("field", "variant"), [(field, variant) for field, variants in VARIANTS.items() for variant in variants]
)
async def test_each_further_field_is_read(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture, field: str, variant: str
) -> None:
    for user in ("16505551234", HIDDEN):
        await fire(meta, "POST", f"/fields/{field}", {"variant": variant, "user": user})

    assert {(update.field, update.id) for update in reader.raw} == {(field, DEMO_WABA)}
    if field not in UNTYPED:
        assert [update.from_user.bsuid == HIDDEN for update in reader.typed] == [False, True]
    assert caplog.messages == []


@pytest.mark.parametrize("action", ACTIONS)
async def test_each_decision_on_a_template_is_read(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture, action: str
) -> None:
    await fire(meta, "POST", f"/templates/{DEMO_TEMPLATE}/{action}", {})

    [update] = reader.typed
    assert (update.template_id, update.template_name) == (DEMO_TEMPLATE, "weekend_offer")
    assert "UNKNOWN" not in (update.new_status.value, update.reason.value if update.reason else "")
    assert caplog.messages == []


async def test_changes_of_a_template_are_read(meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    components = [{"type": "BODY", "text": "Other words"}, {"type": "FOOTER", "text": "Bye"}]
    for change in ({"category": "UTILITY"}, {"quality": "RED"}, {"components": components}):
        await fire(meta, "PATCH", f"/templates/{DEMO_TEMPLATE}", change)
    await fire(meta, "DELETE", f"/templates/{DEMO_TEMPLATE}", {})

    assert {update.template_id for update in reader.typed} == {DEMO_TEMPLATE}
    assert len(reader.typed) == 4
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ("PARTNER_ADDED", {}),
        ("PARTNER_REMOVED", {}),
        ("PARTNER_APP_INSTALLED", {}),
        ("PARTNER_APP_UNINSTALLED", {}),
        ("AD_ACCOUNT_LINKED", {}),
        ("MM_LITE_TERMS_SIGNED", {}),
        ("ACCOUNT_DELETED", {}),
        ("ACCOUNT_VIOLATION", {"violation_info": {"violation_type": "ADULT"}}),
        ("DISABLED_UPDATE", {"ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "April 17, 2025"}}),
    ],
)
async def test_each_update_of_an_account_is_read(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture, event: str, details: Json
) -> None:
    await fire(meta, "POST", f"/wabas/{DEMO_WABA}/account_update", {"event": event, **details})

    [update] = reader.typed
    of_a_partner = event.startswith(("PARTNER", "AD_", "MM_"))
    assert update.event.value == event
    assert (update.waba_info.id if of_a_partner else update.id) == DEMO_WABA
    assert of_a_partner is (update.id == "506914307656634")
    assert caplog.messages == []


async def test_what_pywa_has_no_type_for_is_handed_on(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    await fire(meta, "POST", f"/wabas/{DEMO_WABA}/capability", {"max_daily_conversations_per_business": 250})
    await fire(meta, "PATCH", f"/wabas/{DEMO_WABA}", {"account_review_status": "REJECTED"})
    await fire(meta, "PATCH", f"/phones/{DEMO_PHONE}", {"quality_rating": "RED"})
    await fire(meta, "POST", "/groups", {})

    assert {update.field for update in reader.raw} <= {*UNTYPED}
    assert reader.raw[0].value == {"max_daily_conversations_per_business": 250, "max_phone_numbers_per_business": 25}
    assert (reader.typed, caplog.messages) == ([], [])


async def test_where_pywa_expects_more_than_meta_sends_it_says_so(
    meta: Client, reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed status has no contacts ("Business-scoped user IDs"), and a value of errors neither messages nor statuses
    ("Errors messages webhook reference"): pywa 4.5 reads neither. The day it does, this says so."""
    await fire(meta, "POST", "/messages/statuses", {"status": "failed"})
    await fire(meta, "POST", "/messages/errors", {})

    assert [sorted(update.value) for update in reader.raw] == [
        ["messaging_product", "metadata", "statuses"],
        ["errors", "messaging_product", "metadata"],
    ]
    assert (reader.typed, len(caplog.messages)) == ([], 2)


async def test_a_service_whose_public_address_leads_elsewhere_is_verified_and_told_through_another(
    serve: Serve, reader: Reader
) -> None:
    asked: list[str] = []

    async def handshake(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(text=request.query["hub.challenge"])

    app = reader.app()
    app.router.add_get("/{path:.*}", handshake)
    receiver = await serve(app)
    world = new_world("1234567890", ["an-app-secret"])
    way = Way("https://wabus.example.com", str(receiver.make_url("")).rstrip("/"))
    meta = await serve(create_app(Store(world), way=way))

    callback = {"callback_url": "https://wabus.example.com/webhooks/whatsapp", "verify_token": "t"}
    verified = await (await meta.post("/_control/callback", json=callback)).json()
    await fire(meta, "POST", "/messages", {"text": "Hello"})

    assert (verified, asked) == ({"verified": True, "why": None}, ["/webhooks/whatsapp"])
    assert len(reader.typed) == 1


def test_only_what_is_below_the_public_address_takes_the_other_way() -> None:
    way = Way("http://127.0.0.1:8080", "http://front:8080")

    assert way.to("http://127.0.0.1:8080/webhooks/whatsapp/1") == "http://front:8080/webhooks/whatsapp/1"
    assert way.to("http://127.0.0.1:80801/webhooks") == "http://127.0.0.1:80801/webhooks"
    assert way.to("https://elsewhere.example/hook") == "https://elsewhere.example/hook"
    assert Way().to("http://127.0.0.1:8080/webhooks") == "http://127.0.0.1:8080/webhooks"
