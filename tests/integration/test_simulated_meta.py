"""The simulated Meta over real HTTP: what Graph answers, and what its webhooks look like to a receiver."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from wabus_local.meta import Store, create_app, new_world
from wabus_local.meta.seed import DEMO_PHONE, DEMO_WABA
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]

APP_ID = "1234567890"
SECRET = "an-app-secret"
VERIFY_TOKEN = "a-verify-token"
TEMPLATES = f"/v23.0/{DEMO_WABA}/message_templates"
SUBSCRIBED = f"/v23.0/{DEMO_WABA}/subscribed_apps"


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
    return await serve(create_app(store, delay_scale=0.01))


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
    first = await serve(create_app(Store(new_world(APP_ID, [SECRET]), path)))
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
