"""The simulated Meta over real HTTP: what Graph answers, and what its webhooks look like to a receiver."""

import asyncio
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.meta_openapi import create_meta
from waiting import Eventually, wait_until

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

APP_ID = "1234567890"
SECRET = "an-app-secret"
VERIFY_TOKEN = "a-verify-token"
TEMPLATES = f"/v23.0/{DEMO_WABA}/message_templates"
SUBSCRIBED = f"/v23.0/{DEMO_WABA}/subscribed_apps"


UNKNOWN = (
    "Unsupported {} request. Object with ID '{}' does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation. Please read the Graph API documentation"
)


@dataclass
class Receiver:
    """A webhook receiver that answers with `statuses` in turn, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    bodies: list[bytes] = field(default_factory=list[bytes])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    paths: list[str] = field(default_factory=list[str])

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._verify)
        app.router.add_post("/{path:.*}", self._receive)
        return app

    async def _verify(self, request: web.Request) -> web.Response:
        if request.query.get("hub.verify_token") != VERIFY_TOKEN:
            return web.Response(status=403)
        return web.Response(text=request.query["hub.challenge"])

    async def _receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        self.paths.append(request.path)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver(serve: Serve) -> Receiver:
    receiver = Receiver()
    client = await serve(receiver.app())
    receiver.url = str(client.make_url("/webhooks/whatsapp"))
    return receiver


@pytest.fixture
def store(receiver: Receiver) -> Store:
    world = new_world(APP_ID, [SECRET])
    world.callback_url, world.verify_token = receiver.url, VERIFY_TOKEN
    world.redirect_uris = ["http://127.0.0.1:8080"]
    return Store(world)


@pytest.fixture
async def meta(serve: Serve, store: Store) -> Client:
    return await serve(create_meta(store, delay_scale=0.01))


@pytest.fixture
def bearer(store: Store) -> dict[str, str]:
    return {"Authorization": f"Bearer {next(iter(store.world.tokens))}"}


async def test_every_template_arrives_once_when_next_is_followed(meta: Client, bearer: dict[str, str]) -> None:
    await meta.post(f"/_control/wabas/{DEMO_WABA}/templates", json={"count": 592})
    names: list[str] = []
    sizes: list[int] = []
    following: str | None = TEMPLATES + "?fields=id,name,components&limit=250"

    while following:
        answer = await (await meta.get(following, headers=bearer)).json()
        names += [template["id"] for template in answer["data"]]
        sizes.append(len(answer["data"]))
        next_url = answer["paging"].get("next")
        following = urlsplit(next_url)._replace(scheme="", netloc="").geturl() if next_url else None

    assert sizes == [250, 250, 100]
    assert len(set(names)) == 600


async def test_a_template_shows_the_fields_asked_for_and_no_others(meta: Client, bearer: dict[str, str]) -> None:
    answer = await (await meta.get(TEMPLATES + "?fields=name,quality_score&limit=1", headers=bearer)).json()

    assert answer["data"] == [
        {
            "name": "order_confirmation",
            "quality_score": {"score": "GREEN", "date": 1748454394},
            "id": "1689556908129832",
        }
    ]


async def test_an_unknown_field_is_a_bad_parameter(meta: Client, bearer: dict[str, str]) -> None:
    answer = await meta.get(TEMPLATES + "?fields=name,colour", headers=bearer)

    assert answer.status == 400
    assert (await answer.json())["error"]["code"] == 100


async def test_templates_can_be_chosen_by_status(meta: Client, bearer: dict[str, str]) -> None:
    answer = await (await meta.get(TEMPLATES + "?status=REJECTED&fields=status", headers=bearer)).json()

    assert [template["status"] for template in answer["data"]] == ["REJECTED"]


@pytest.mark.parametrize(
    ("path", "message", "subcode"),
    [
        (
            "{portfolio}/phone_numbers",
            "(#100) Tried accessing nonexisting field (phone_numbers) on node type (Business)",
            None,
        ),
        (
            f"{DEMO_PHONE}/message_templates",
            "(#100) Tried accessing nonexisting field (message_templates) on node type (WhatsAppBusinessPhoneNumber)",
            None,
        ),
        (
            f"{DEMO_WABA}?fields=id,phone_colour",
            "(#100) Tried accessing nonexisting field (phone_colour) on node type (WhatsAppBusinessAccount)",
            None,
        ),
        ("123456789012345", UNKNOWN.format("get", "123456789012345"), 33),
        ("123456789012345/phone_numbers", UNKNOWN.format("get", "123456789012345"), 33),
    ],
)
async def test_an_id_of_something_else_is_refused_as_graph_refuses_it(
    meta: Client, store: Store, bearer: dict[str, str], path: str, message: str, subcode: int | None
) -> None:
    answer = await meta.get("/v23.0/" + path.format(portfolio=store.world.business_id), headers=bearer)

    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error.get("error_subcode")) == (400, 100, subcode)
    assert error["message"] == message


async def test_nothing_can_be_subscribed_to_but_an_account(meta: Client, store: Store, bearer: dict[str, str]) -> None:
    answer = await meta.post(f"/v23.0/{store.world.business_id}/subscribed_apps", headers=bearer)

    error = (await answer.json())["error"]
    assert error["message"] == UNKNOWN.format("post", store.world.business_id)
    assert (error["type"], error["code"], error["error_subcode"]) == ("GraphMethodException", 100, 33)


LIMIT = "WhatsAppBusinessPhoneNumber.messaging_limit_tier"


async def test_a_field_can_be_retired_and_be_gone(meta: Client, bearer: dict[str, str]) -> None:
    path = f"/v23.0/{DEMO_PHONE}?fields=messaging_limit_tier,whatsapp_business_manager_messaging_limit"
    answers: list[Any] = []
    today = await (await meta.get(path, headers=bearer)).json()
    for state in ("kept", "null", "gone"):
        await meta.patch("/_control/graph", json={"retired": {LIMIT: state}})
        answers.append(await (await meta.get(path, headers=bearer)).json())

    kept, null, gone = answers
    limit = {"whatsapp_business_manager_messaging_limit": "TIER_2K", "id": DEMO_PHONE}
    assert kept == limit | {"messaging_limit_tier": "TIER_2K"}
    assert null == today == limit
    assert gone["error"]["message"] == (
        "(#100) Tried accessing nonexisting field (messaging_limit_tier) on node type (WhatsAppBusinessPhoneNumber)"
    )


async def test_a_version_that_is_yet_to_come_is_refused(meta: Client, bearer: dict[str, str]) -> None:
    await meta.patch("/_control/graph", json={"version": "v24.0"})

    statuses = [
        (await meta.get(f"/{version}/{DEMO_WABA}", headers=bearer)).status for version in ("v9.0", "v24.0", "v24.1")
    ]
    wrong = await meta.patch("/_control/graph", json={"version": "24", "retired": {LIMIT: "away"}})

    assert statuses == [200, 200, 400]
    assert wrong.status == 400


async def test_statuses_have_a_conversation_only_before_version_24(meta: Client, receiver: Receiver) -> None:
    for version in ("v23.0", "v24.0"):
        await meta.patch("/_control/graph", json={"version": version})
        await meta.post("/_control/messages/statuses?wait=true", json={"status": "sent"})

    old, new = [json.loads(body)["entry"][0]["changes"][0]["value"]["statuses"][0] for body in receiver.bodies]
    assert "expiration_timestamp" in old["conversation"]
    assert "conversation" not in new


async def test_a_token_of_another_app_shows_nothing_of_itself(meta: Client) -> None:
    other = await (await meta.post("/_control/tokens", json={"app_id": "999"})).json()
    app = {"Authorization": f"Bearer {APP_ID}|{SECRET}"}

    answer = await meta.get("/v23.0/debug_token", params={"input_token": other["value"]}, headers=app)
    proof = {"appsecret_proof": hmac.new(SECRET.encode(), other["value"].encode(), hashlib.sha256).hexdigest()}
    proven = await meta.get(TEMPLATES, params=proof, headers={"Authorization": f"Bearer {other['value']}"})

    error = (await answer.json())["error"]
    assert (answer.status, error["code"]) == (400, 100)
    assert error["message"] == "(#100) The App_id in the input_token did not match the Viewing App"
    assert proven.status == 400


async def test_accounts_and_portfolios_come_in_pages_of_25_and_a_token_names_all_its_accounts(meta: Client) -> None:
    made = await (await meta.post("/_control/wabas", json={"count": 30, "own_businesses": True})).json()
    owned = await (await meta.post("/_control/wabas", json={"count": 27})).json()
    bearer, app = {"Authorization": f"Bearer {made['token']}"}, {"Authorization": f"Bearer {APP_ID}|{SECRET}"}

    async def listed(path: str, token: dict[str, str]) -> list[int]:
        sizes: list[int] = []
        following: str | None = path
        while following:
            answer = await (await meta.get(following, headers=token)).json()
            sizes.append(len(answer["data"]))
            next_url = answer["paging"].get("next")
            following = urlsplit(next_url)._replace(scheme="", netloc="").geturl() if next_url else None
        return sizes

    debugged = await (await meta.get("/v23.0/debug_token", params={"input_token": made["token"]}, headers=app)).json()
    assert {len(scope["target_ids"]) for scope in debugged["data"]["granular_scopes"]} == {30}
    assert await listed("/v23.0/me/businesses?fields=id", bearer) == [25, 5]
    owner = {"Authorization": f"Bearer {owned['token']}"}
    (business,) = (await (await meta.get("/v23.0/me/businesses?fields=id", headers=owner)).json())["data"]
    assert await listed(f"/v23.0/{business['id']}/owned_whatsapp_business_accounts?fields=id,name", owner) == [25, 2]


async def test_a_token_for_everything_names_no_accounts_and_may_need_a_permission_to_list_them(meta: Client) -> None:
    scopes = ["whatsapp_business_management"]
    token = await (await meta.post("/_control/tokens", json={"names_targets": False, "scopes": scopes})).json()
    app = {"Authorization": f"Bearer {APP_ID}|{SECRET}"}

    query = {"input_token": token["value"]}
    debugged = await (await meta.get("/v23.0/debug_token", params=query, headers=app)).json()
    listed = await meta.get("/v23.0/me/businesses", headers={"Authorization": f"Bearer {token['value']}"})

    assert debugged["data"]["granular_scopes"] == [{"scope": "whatsapp_business_management"}]
    assert (listed.status, (await listed.json())["error"]["code"]) == (403, 200)


async def test_the_app_is_told_which_fields_it_gets(meta: Client, store: Store, eventually: Eventually) -> None:
    app = {"Authorization": f"Bearer {APP_ID}|{SECRET}"}

    async def subscribed() -> Any:
        return (await (await meta.get(f"/v23.0/{APP_ID}/subscriptions", headers=app)).json())["data"]

    (before,) = cast(list[Any], await eventually(subscribed))
    await meta.patch("/_control/app", json={"has_messages_callback": False})
    (after,) = await subscribed()

    names = [[field["name"] for field in each["fields"]] for each in (before, after)]
    assert "messages" in names[0]
    assert names[1] == [name for name in names[0] if name != "messages"]
    assert {field["version"] for field in before["fields"]} == {store.world.graph_version}


async def test_it_listens_where_it_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    env = {**os.environ, "META_APP_ID": APP_ID, "META_APP_SECRETS": SECRET, "META_HOME": str(tmp_path)}
    command = (sys.executable, "-m", "simulated_meta", "--host", "127.0.0.2", "--port", str(port))
    process = await asyncio.create_subprocess_exec(*command, env=env)
    try:
        async with aiohttp.ClientSession() as http:

            async def answers() -> bool:
                try:
                    async with http.get(f"http://127.0.0.2:{port}/_control/state") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await wait_until(answers)
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(f"http://127.0.0.1:{port}/_control/state")
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize(
    ("change", "status", "code", "subcode"),
    [
        ({"action": "expire"}, 401, 190, 463),
        ({"action": "revoke"}, 401, 190, 460),
        ({"action": "remove_scope", "scope": "whatsapp_business_management"}, 403, 200, None),
    ],
)
async def test_a_token_that_lost_its_power_is_refused(
    meta: Client, bearer: dict[str, str], change: dict[str, str], status: int, code: int, subcode: int | None
) -> None:
    await meta.patch("/_control/tokens", json=change)

    answer = await meta.get(TEMPLATES, headers=bearer)

    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error.get("error_subcode")) == (status, code, subcode)
    assert error["type"] == "OAuthException"
    assert error["fbtrace_id"]


async def test_a_waba_of_someone_else_looks_as_if_it_were_not_there(meta: Client, bearer: dict[str, str]) -> None:
    made = await (await meta.post("/_control/wabas", json={})).json()

    answer = await meta.get(f"/v23.0/{made['wabas'][0]['id']}/message_templates", headers=bearer)

    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error["error_subcode"]) == (400, 100, 33)


async def test_a_wrong_appsecret_proof_is_refused(meta: Client, store: Store, bearer: dict[str, str]) -> None:
    token = next(iter(store.world.tokens))
    proof = hmac.new(SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()

    right = await meta.get(TEMPLATES, params={"appsecret_proof": proof}, headers=bearer)
    wrong = await meta.get(TEMPLATES, params={"appsecret_proof": proof[::-1]}, headers=bearer)

    assert (right.status, wrong.status) == (200, 400)


async def test_a_rate_limit_starts_after_its_calls_and_tells_when_it_ends(meta: Client, bearer: dict[str, str]) -> None:
    await meta.post("/_control/faults", json={"rate_limit": {"waba_id": DEMO_WABA, "calls_left": 1, "minutes": 7}})

    first = await meta.get(TEMPLATES, headers=bearer)
    second = await meta.get(TEMPLATES, headers=bearer)

    usage = json.loads(second.headers["X-Business-Use-Case-Usage"])[DEMO_WABA][0]
    assert first.status == 200
    assert (second.status, (await second.json())["error"]["code"]) == (400, 80008)
    assert (usage["type"], usage["call_count"], usage["estimated_time_to_regain_access"]) == ("whatsapp", 100, 7)


async def test_a_failure_is_told_once_for_each_time_it_was_ordered(meta: Client, bearer: dict[str, str]) -> None:
    await meta.post("/_control/faults", json={"fail": {"times": 1, "status": 503, "code": 2}})
    await meta.post("/_control/faults", json={"fail": {"times": 1, "status": 502, "body": "html"}})
    await meta.post("/_control/faults", json={"fail": {"times": 1, "status": 200, "body": "truncated"}})

    answers = [await meta.get(TEMPLATES, headers=bearer) for _ in range(4)]

    assert [answer.status for answer in answers] == [503, 502, 200, 200]
    assert (await answers[0].json())["error"]["is_transient"] is True
    assert answers[1].content_type == "text/html"
    with pytest.raises(json.JSONDecodeError):
        json.loads(await answers[2].text())
    assert (await answers[3].json())["data"]


async def test_the_calls_are_listed_without_tokens(meta: Client, store: Store, bearer: dict[str, str]) -> None:
    token = next(iter(store.world.tokens))
    await meta.get(TEMPLATES, params={"access_token": token})

    listed = await (await meta.get("/_control/calls")).text()

    assert TEMPLATES in listed
    assert token not in listed


async def test_a_phone_number_tells_its_quality_and_the_callback_in_force(
    meta: Client, bearer: dict[str, str], receiver: Receiver
) -> None:
    override = receiver.url + "/org-1"
    subscription = {"override_callback_uri": override, "verify_token": VERIFY_TOKEN}
    await meta.post(SUBSCRIBED, headers=bearer)
    await meta.post(SUBSCRIBED, json=subscription, headers=bearer)

    limits = "messaging_limit_tier,whatsapp_business_manager_messaging_limit"
    fields = f"quality_rating,throughput,{limits},webhook_configuration"
    phone = await (await meta.get(f"/v23.0/{DEMO_PHONE}?fields={fields}", headers=bearer)).json()

    assert phone["quality_rating"] == "GREEN"
    assert phone["throughput"] == {"level": "STANDARD"}
    assert (phone.get("messaging_limit_tier"), phone["whatsapp_business_manager_messaging_limit"]) == (None, "TIER_2K")
    assert phone["webhook_configuration"]["whatsapp_business_account"] == override


async def test_an_alternate_callback_that_fails_the_handshake_is_not_taken(
    meta: Client, bearer: dict[str, str], receiver: Receiver
) -> None:
    subscription = {"override_callback_uri": receiver.url, "verify_token": "another"}
    await meta.post(SUBSCRIBED, headers=bearer)

    answer = await meta.post(SUBSCRIBED, json=subscription, headers=bearer)

    assert answer.status == 400
    assert (await answer.json())["error"]["code"] == 2200
    [app] = (await (await meta.get(SUBSCRIBED, headers=bearer)).json())["data"]
    assert "override_callback_uri" not in app


@pytest.mark.parametrize("why", ["not subscribed", "unsubscribed", "the app gets no messages"])
async def test_an_alternate_callback_is_taken_only_from_an_app_that_is_subscribed(
    meta: Client, bearer: dict[str, str], receiver: Receiver, why: str
) -> None:
    if why != "not subscribed":
        await meta.post(SUBSCRIBED, headers=bearer)
    if why == "unsubscribed":
        await meta.delete(SUBSCRIBED, headers=bearer)
    if why == "the app gets no messages":
        await meta.patch("/_control/app", json={"has_messages_callback": False})
    subscription = {"override_callback_uri": receiver.url, "verify_token": VERIFY_TOKEN}

    answer = await meta.post(SUBSCRIBED, json=subscription, headers=bearer)

    error = (await answer.json())["error"]
    assert (answer.status, error["code"], error["type"]) == (400, 100, "OAuthException")
    assert error["message"] == (
        "(#100) Before override the current callback uri, your app must be subscribed to receive messages for "
        "WhatsApp Business Account"
    )


async def test_subscribing_without_an_alternate_callback_takes_the_one_before_away(
    meta: Client, bearer: dict[str, str], receiver: Receiver
) -> None:
    subscription = {"override_callback_uri": receiver.url, "verify_token": VERIFY_TOKEN}
    for given in (None, subscription, None):
        await meta.post(SUBSCRIBED, json=given, headers=bearer)

    [app] = (await (await meta.get(SUBSCRIBED, headers=bearer)).json())["data"]
    assert "override_callback_uri" not in app


async def test_a_secret_that_was_reset_opens_nothing_any_more(meta: Client, store: Store) -> None:
    token = next(iter(store.world.tokens))
    proof = hmac.new(SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
    await meta.patch("/_control/app", json={"app_secrets": ["another"]})

    app = {"Authorization": f"Bearer {APP_ID}|{SECRET}"}
    debugged = await meta.get("/v23.0/debug_token", params={"input_token": token}, headers=app)
    proven = await meta.get(TEMPLATES, params={"appsecret_proof": proof}, headers={"Authorization": f"Bearer {token}"})
    bare = await meta.get(TEMPLATES, headers={"Authorization": f"Bearer {token}"})
    code = {"client_id": APP_ID, "client_secret": SECRET, "code": "any"}
    exchanged = await meta.get("/v23.0/oauth/access_token", params=code)

    errors = [(await answer.json())["error"] for answer in (debugged, proven, exchanged)]
    assert [(error["code"], error["message"]) for error in errors] == [
        (190, "Invalid OAuth access token signature."),
        (100, "Invalid appsecret_proof provided in the API argument"),
        (1, "Error validating client secret."),
    ]
    assert bare.status == 200


async def test_a_person_who_allows_comes_back_with_a_code_that_works_once(meta: Client) -> None:
    redirect_uri = "http://127.0.0.1:8080/connect/callback"
    query = {"client_id": APP_ID, "redirect_uri": redirect_uri, "state": "s-1", "scope": "whatsapp_business_management"}
    exchange = {"client_id": APP_ID, "client_secret": SECRET, "redirect_uri": redirect_uri}

    page = await (await meta.get("/v23.0/dialog/oauth", params=query)).text()
    decision = {"waba": DEMO_WABA, "decision": "allow"}
    redirect = await meta.post("/v23.0/dialog/oauth", params=query, data=decision, allow_redirects=False)
    back = parse_qs(urlsplit(redirect.headers["Location"]).query)
    first = await meta.get("/v23.0/oauth/access_token", params=exchange | {"code": back["code"][0]})
    second = await meta.get("/v23.0/oauth/access_token", params=exchange | {"code": back["code"][0]})
    token = (await first.json())["access_token"]
    app_token = {"Authorization": f"Bearer {APP_ID}|{SECRET}"}
    debugged = await (await meta.get(f"/v23.0/debug_token?input_token={token}", headers=app_token)).json()

    assert "Lucky Shrub" in page
    assert back["state"] == ["s-1"]
    assert (await second.json())["error"]["error_subcode"] == 36009
    assert debugged["data"]["is_valid"] is True
    assert debugged["data"]["granular_scopes"] == [{"scope": "whatsapp_business_management", "target_ids": [DEMO_WABA]}]


async def test_a_person_who_denies_comes_back_with_an_error(meta: Client) -> None:
    query = {"client_id": APP_ID, "redirect_uri": "http://127.0.0.1:8080/cb", "state": "s-1"}

    answer = await meta.post("/dialog/oauth", params=query, data={"decision": "deny"}, allow_redirects=False)
    foreign = await meta.get("/dialog/oauth", params=query | {"redirect_uri": "http://elsewhere.example/cb"})

    assert "error=access_denied" in answer.headers["Location"]
    assert foreign.status == 400


async def test_a_webhook_is_signed_over_the_bytes_that_arrive(meta: Client, receiver: Receiver) -> None:
    await meta.post("/_control/messages?wait=true", json={"text": "Grüße / 你好", "from": "4915112345678"})

    signature = hmac.new(SECRET.encode(), receiver.bodies[0], hashlib.sha256).hexdigest()
    message = json.loads(receiver.bodies[0])["entry"][0]["changes"][0]["value"]["messages"][0]
    assert receiver.headers[0]["X-Hub-Signature-256"] == f"sha256={signature}"
    assert (message["text"]["body"], message["from"]) == ("Grüße / 你好", "4915112345678")
    assert "\\u00fc" in receiver.bodies[0].decode()


async def test_a_tampered_webhook_has_a_signature_that_does_not_match(meta: Client, receiver: Receiver) -> None:
    await meta.post("/_control/messages?wait=true", json={"tamper": True})

    signature = hmac.new(SECRET.encode(), receiver.bodies[0], hashlib.sha256).hexdigest()
    assert receiver.headers[0]["X-Hub-Signature-256"] != f"sha256={signature}"


async def test_a_webhook_is_sent_again_until_it_is_taken(
    meta: Client, receiver: Receiver, eventually: Eventually
) -> None:
    receiver.statuses = [503, 500]
    payload = {"waba_id": DEMO_WABA, "field": "account_alerts", "value": {"entity_type": "WABA"}}

    await meta.post("/_control/webhooks", json=payload)

    async def delivered() -> Any:
        return (await (await meta.get("/_control/deliveries?state=delivered")).json())["data"]

    deliveries: Any = await eventually(delivered)
    assert [attempt["status"] for attempt in deliveries[0]["attempts"]] == [503, 500, 200]
    assert len(set(receiver.bodies)) == 1


async def test_only_message_webhooks_go_to_the_alternate_callback(
    meta: Client, receiver: Receiver, bearer: dict[str, str]
) -> None:
    subscription = {"override_callback_uri": receiver.url + "/org-1", "verify_token": VERIFY_TOKEN}
    await meta.post(SUBSCRIBED, headers=bearer)
    await meta.post(SUBSCRIBED, json=subscription, headers=bearer)

    await meta.post("/_control/messages?wait=true", json={})
    await meta.post("/_control/templates/1689556908129836/approve?wait=true")

    assert receiver.paths == ["/webhooks/whatsapp/org-1", "/webhooks/whatsapp"]


@pytest.mark.parametrize(
    ("action", "status", "expected"),
    [
        ("approve", "APPROVED", {"event": "APPROVED", "reason": "NONE"}),
        ("reject", "REJECTED", {"event": "REJECTED", "reason": "INVALID_FORMAT"}),
        ("pause", "PAUSED", {"event": "PAUSED", "reason": "NONE"}),
        ("disable", "DISABLED", {"event": "DISABLED", "reason": "NONE"}),
        ("remove", "PENDING_DELETION", {"event": "PENDING_DELETION", "reason": None}),
    ],
)
async def test_a_decision_on_a_template_changes_it_and_is_told(
    meta: Client, receiver: Receiver, bearer: dict[str, str], action: str, status: str, expected: dict[str, Any]
) -> None:
    await meta.post(f"/_control/templates/1689556908129836/{action}?wait=true")

    template = await (await meta.get("/v23.0/1689556908129836?fields=status", headers=bearer)).json()
    change = json.loads(receiver.bodies[0])["entry"][0]["changes"][0]
    assert template["status"] == status
    assert change["field"] == "message_template_status_update"
    assert expected.items() <= change["value"].items()
    assert change["value"]["message_template_id"] == 1689556908129836


async def test_a_phone_number_that_got_worse_is_told(meta: Client, receiver: Receiver) -> None:
    await meta.patch(f"/_control/phones/{DEMO_PHONE}?wait=true", json={"quality_rating": "RED"})

    change = json.loads(receiver.bodies[0])["entry"][0]["changes"][0]
    assert change["field"] == "phone_number_quality_update"
    assert change["value"]["event"] == "FLAGGED"


async def test_the_world_is_the_same_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "meta" / "world.json"
    first = await serve(create_meta(Store(new_world(APP_ID, [SECRET]), path)))
    await first.post(f"/_control/wabas/{DEMO_WABA}/templates", json={"name": "kept_template"})
    await first.close()

    world = Store.read(path)

    assert world is not None
    assert "kept_template" in {template["name"] for template in world.wabas[DEMO_WABA].templates.values()}
    assert path.stat().st_mode & 0o077 == 0


async def test_many_webhooks_at_once_all_arrive(meta: Client, receiver: Receiver, eventually: Eventually) -> None:
    await asyncio.gather(*(meta.post("/_control/messages", json={}) for _ in range(100)))

    async def all_arrived() -> bool:
        return len(receiver.bodies) == 100

    await eventually(all_arrived)
    assert len(set(receiver.bodies)) == 100
