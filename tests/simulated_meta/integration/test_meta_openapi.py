"""Meta's OpenAPI as a witness: it notices what differs, and every deviation that is listed is needed."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_TEMPLATE, DEMO_WABA
from support import meta_openapi

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

pytestmark = pytest.mark.skipif(meta_openapi.missing() is not None, reason=str(meta_openapi.missing()))


@pytest.fixture
def store() -> Store:
    return Store(new_world("1234567890", ["an-app-secret"]))


@pytest.fixture
async def meta(serve: Serve, store: Store) -> Client:
    return await serve(meta_openapi.create_meta(store))


@pytest.fixture
def bearer(store: Store) -> dict[str, str]:
    return {"Authorization": f"Bearer {next(iter(store.world.tokens))}", "User-Agent": "client/1.0.0"}


def found() -> list[str]:
    findings = [str(finding) for finding in meta_openapi.FINDINGS]
    meta_openapi.FINDINGS.clear()
    return findings


@pytest.mark.parametrize(
    ("method", "path", "body", "finding"),
    [
        ("GET", f"{DEMO_WABA}/phone_numbers?sort=colour", None, 'query sort: is "colour"'),
        ("GET", f"{DEMO_WABA}/phone_numbers?colour=red", None, "parameter colour: is not described"),
        ("GET", f"{DEMO_WABA}/phone_numbers?limit=101", None, "query limit: breaks maximum"),
        ("POST", f"{DEMO_WABA}/subscribed_apps", {"verify_token": 1}, "body /verify_token: breaks type"),
    ],
)
async def test_a_call_that_meta_does_not_describe_is_noticed(
    meta: Client, bearer: dict[str, str], method: str, path: str, body: Any, finding: str
) -> None:
    await meta.request(method, f"/v23.0/{path}", json=body, headers=bearer)

    (noticed,) = found()
    assert noticed.endswith(finding)


async def test_an_answer_that_meta_would_not_give_is_noticed(
    meta: Client, store: Store, bearer: dict[str, str]
) -> None:
    store.world.wabas[DEMO_WABA].phones[DEMO_PHONE].quality_rating = "PURPLE"

    await meta.get(f"/v23.0/{DEMO_WABA}/phone_numbers?fields=quality_rating", headers=bearer)

    assert found() == ['GET /{Version}/{WABA-ID}/phone_numbers answer /data/*/quality_rating: is "PURPLE"']


async def test_every_deviation_listed_is_needed(meta: Client, store: Store, bearer: dict[str, str]) -> None:
    token, app = next(iter(store.world.tokens)), f"{store.world.app_id}|an-app-secret"
    business, everything = store.world.business_id, "status,messaging_limit_tier"
    proof = hmac.new(b"an-app-secret", token.encode(), hashlib.sha256).hexdigest()
    store.world.retired.clear()
    meta_openapi.USED.clear()

    for path in (
        "me/businesses",
        f"debug_token?input_token={token}",
        f"oauth/access_token?client_id={store.world.app_id}&client_secret=an-app-secret&grant_type=client_credentials",
        f"{DEMO_WABA}?fields=business_verification_status",
        f"{DEMO_WABA}/phone_numbers?fields={everything}",
        f"{DEMO_WABA}/message_templates?limit=1",
        f"{DEMO_TEMPLATE}?fields=name",
        f"{DEMO_PHONE}/block_users",
        f"{business}/owned_whatsapp_business_accounts?limit=1&fields=id",
    ):
        await meta.get(f"/v23.0/{path}", headers=bearer)
    await meta.get(f"/v23.0/{DEMO_WABA}?access_token={token}&appsecret_proof={proof}", headers={"User-Agent": "curl"})
    store.world.wabas[DEMO_WABA].country = "BR"
    await meta.post(f"/v23.0/{DEMO_WABA}?is_enabled_for_insights=true", headers=bearer)
    offer_name = {"name": "weekend_offer", "language": "en_US"}
    sent = {"at": store.world.now() - 60, "phone_number_id": DEMO_PHONE, "to": "4915123456789", "template": offer_name}
    await meta.post("/_control/traffic?webhook=false", json={"messages": [sent] * 1000})
    now = int(store.world.now())
    for path in (
        f"{DEMO_WABA}/pricing_analytics?start={now - 9}&end={now}&granularity=DAILY",
        f"{DEMO_WABA}/template_analytics?start={now}&end={now}&granularity=DAILY&template_ids=[{DEMO_TEMPLATE}]",
        f"{DEMO_TEMPLATE}/compare?template_ids=[{DEMO_TEMPLATE}]&start={now - 604_800}&end={now}",
    ):
        await meta.get(f"/v23.0/{path}", headers=bearer)
    to = {"messaging_product": "whatsapp", "to": "4915123456789"}
    offer = {"type": "limited_time_offer", "parameters": []}
    copied = {"type": "button", "sub_type": "copy_code", "index": 0, "parameters": []}
    asked = {"name": "weekend_offer", "language": {"code": "en_US"}, "components": [offer, copied]}
    place = {"latitude": 52.5, "longitude": 13.4}
    for body in (
        to | {"type": "template", "template": asked},
        to | {"type": "location", "location": place, "biz_opaque_callback_data": "w1:7"},
        {"messaging_product": "whatsapp", "recipient": "US.1", "type": "text", "text": {"body": "Hi"}},
        {
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": "wamid.1",
            "typing_indicator": {"type": "text"},
        },
    ):
        await meta.post(f"/v23.0/{DEMO_PHONE}/messages", json=body, headers=bearer)
    sale = {"name": "bulk", "language": {"policy": "deterministic", "code": "en_US"}}
    bid = {"bid_spec": {"per_message_bid_multiplier": 1.5}}
    template = to | {"recipient_type": "individual", "type": "template", "template": sale}
    await meta.post("/_control/wabas/102290129340398/templates", json={"name": "bulk", "category": "MARKETING"})
    await meta.post(f"/v23.0/{DEMO_PHONE}/marketing_messages", json=template | bid, headers=bearer)
    of_ours = template | {
        "template": {"name": "bulk", "language": {"code": "en_US"}},
        "biz_opaque_callback_data": "w1:8",
    }
    await meta.post(f"/v23.0/{DEMO_PHONE}/marketing_messages", json=of_ours, headers=bearer)
    await meta.get(f"/v23.0/{store.world.app_id}/subscriptions", headers={"Authorization": f"Bearer {app}"})

    unused = [each for each in meta_openapi.deviations() if each not in meta_openapi.USED]
    assert (unused, found()) == ([], [])
