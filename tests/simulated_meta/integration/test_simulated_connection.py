"""What Graph says of a connection: the account, its numbers, who may send, and what the app is subscribed to."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.meta_openapi import create_meta

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

APP_ID, SECRET, VERIFY_TOKEN = "1234567890", "an-app-secret", "a-verify-token"
APP = {"Authorization": f"Bearer {APP_ID}|{SECRET}", "User-Agent": "client/1.0.0"}
SUBSCRIPTIONS = f"/v23.0/{APP_ID}/subscriptions"
OBJECT = "whatsapp_business_account"


@pytest.fixture
def store() -> Store:
    return Store(new_world(APP_ID, [SECRET]))


@pytest.fixture
async def meta(serve: Serve, store: Store) -> Client:
    return await serve(create_meta(store))


@pytest.fixture
async def callback(serve: Serve) -> str:
    async def verify(request: web.Request) -> web.Response:
        right = request.query.get("hub.verify_token") == VERIFY_TOKEN
        return web.Response(text=request.query["hub.challenge"] if right else "no", status=200 if right else 403)

    app = web.Application()
    app.router.add_get("/{path:.*}", verify)
    return str((await serve(app)).make_url("/webhooks/whatsapp"))


@pytest.fixture
def bearer(store: Store) -> dict[str, str]:
    return {"Authorization": f"Bearer {next(iter(store.world.tokens))}", "User-Agent": "client/1.0.0"}


async def get(meta: Client, path: str, headers: dict[str, str]) -> Any:
    answer = await meta.get(f"/v23.0/{path}", headers=headers)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_an_account_says_whose_it_is_where_and_how_it_is_charged(
    meta: Client, store: Store, bearer: dict[str, str]
) -> None:
    await meta.patch(f"/_control/wabas/{DEMO_WABA}", json={"timezone_id": "71", "currency": "INR", "country": "IN"})

    node = await get(meta, f"{DEMO_WABA}?fields=timezone_id,currency,country,owner_business_info", bearer)

    owner = {"id": store.world.business_id, "name": store.world.business_name}
    assert {name: node[name] for name in ("timezone_id", "currency", "country", "owner_business_info")} == {
        "timezone_id": "71",
        "currency": "INR",
        "country": "IN",
        "owner_business_info": owner,
    }


async def test_a_number_that_is_not_registered_and_one_in_coexistence_look_as_they_do_at_meta(
    meta: Client, bearer: dict[str, str]
) -> None:
    phones = f"/_control/wabas/{DEMO_WABA}/phones"
    await meta.post(phones, json={"display_phone_number": "+49 30 1", "registered": False})
    await meta.post(phones, json={"display_phone_number": "+49 30 2", "is_on_biz_app": True})

    fields = "display_phone_number,status,platform_type,throughput,is_on_biz_app"
    listed = (await get(meta, f"{DEMO_WABA}/phone_numbers?fields={fields}", bearer))["data"]

    def of(number: str) -> Any:
        found = next(each for each in listed if each["display_phone_number"] == number)
        return found["status"], found["platform_type"], found["throughput"]["level"], found["is_on_biz_app"]

    assert of("+49 30 1") == ("PENDING", "NOT_APPLICABLE", "NOT_APPLICABLE", False)
    assert of("+49 30 2") == ("CONNECTED", "CLOUD_API", "STANDARD", True)


async def test_who_may_send_is_told_of_all_that_takes_part_in_it(
    meta: Client, store: Store, bearer: dict[str, str]
) -> None:
    assert (await meta.put(f"/_control/health/{DEMO_WABA}", json={"errors": [141006]})).status == 200
    limit = {"can_send_message": "LIMITED", "additional_info": ["Your display name is not approved yet."]}
    await meta.put(f"/_control/health/{store.world.business_id}", json=limit)

    number = (await get(meta, f"{DEMO_PHONE}?fields=health_status", bearer))["health_status"]
    account = (await get(meta, f"{DEMO_WABA}?fields=health_status", bearer))["health_status"]

    assert number["can_send_message"] == account["can_send_message"] == "BLOCKED"
    assert [each["entity_type"] for each in number["entities"]] == ["PHONE_NUMBER", "WABA", "BUSINESS", "APP"]
    assert account["entities"] == number["entities"][1:]
    _, waba, business, app = number["entities"]
    assert waba["errors"][0]["error_code"] == 141006
    assert "payment method" in waba["errors"][0]["possible_solution"]
    assert {**limit, "entity_type": "BUSINESS", "id": store.world.business_id} == business
    assert app == {"entity_type": "APP", "id": APP_ID, "can_send_message": "AVAILABLE"}
    await meta.put(f"/_control/health/{DEMO_WABA}", json={"can_send_message": "AVAILABLE"})
    again = (await get(meta, f"{DEMO_WABA}?fields=health_status", bearer))["health_status"]
    assert again["can_send_message"] == "LIMITED"


async def test_what_is_subscribed_to_takes_the_place_of_all_that_was_there(
    meta: Client, store: Store, callback: str
) -> None:
    body = {"object": OBJECT, "callback_url": callback, "verify_token": VERIFY_TOKEN, "fields": "messages,calls"}

    answer = await meta.post(SUBSCRIPTIONS, params=body, headers=APP)

    assert (answer.status, await answer.json()) == (200, {"success": True})
    ((found),) = (await get(meta, f"{APP_ID}/subscriptions", APP))["data"]
    assert (found["object"], found["callback_url"], found["active"]) == (OBJECT, callback, True)
    assert [field["name"] for field in found["fields"]] == ["calls", "messages"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"fields": "messages,no_such_field"}, 100),
        ({"object": "page"}, 100),
        ({"verify_token": ""}, 100),
        ({"verify_token": "another"}, 2200),
    ],
)
async def test_a_subscription_that_meta_refuses_leaves_everything_as_it_was(
    meta: Client, store: Store, callback: str, change: dict[str, str], code: int
) -> None:
    before = store.world.model_dump()
    body = {"object": OBJECT, "callback_url": callback, "verify_token": VERIFY_TOKEN, "fields": "messages"}

    answer = await meta.post(SUBSCRIPTIONS, params=body | change, headers=APP)

    assert (answer.status, (await answer.json())["error"]["code"]) == (400, code)
    assert store.world.model_dump() == before


async def test_customers_tokens_can_not_change_what_the_app_is_subscribed_to(
    meta: Client, bearer: dict[str, str]
) -> None:
    assert (await meta.get(SUBSCRIPTIONS, headers=bearer)).status == 403
    assert (await meta.post(SUBSCRIPTIONS, params={"object": OBJECT}, headers=bearer)).status == 403


async def test_nothing_is_sent_of_a_field_that_the_app_is_not_subscribed_to(
    meta: Client, store: Store, callback: str
) -> None:
    store.world.callback_url, store.world.callback_verified = callback, True
    await meta.patch("/_control/app", json={"fields": ["messages"]})
    event = {"event": "VERIFIED_ACCOUNT"}

    answer = await (await meta.post(f"/_control/wabas/{DEMO_WABA}/account_update", json=event)).json()
    message = await (await meta.post("/_control/messages", json={"text": "Hello"})).json()

    assert answer == {"webhook": None, "why": "the app is not subscribed to account_update"}
    assert message["webhook"] is not None
