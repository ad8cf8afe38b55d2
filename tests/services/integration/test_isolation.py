"""Every endpoint of every service, tried without a token, with another organisation's, and with a member's."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from pydantic import SecretStr
from wabus_conversations.threads.ids import Ids, message_id
from wabus_events import (
    AccountConnected,
    CredentialStored,
    Event,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    SendRequested,
    TemplateChanged,
    TemplatesSynced,
    fact_id,
)
from wabus_events.models.templates import Template
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import Service, build_app
from wabus_runtime.settings import CredentialSettings, IdentitySettings, KafkaSettings, load
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]

WABA = "900000000000001"
SECRETS = (
    WABA,
    "a_template_nobody_else_sees",
    "900000000000002",
    "words_nobody_else_reads",
    "4930555001122",
    "Zoe",
    "told-to-nobody-else",
)
SEND = "00000000-0000-0000-0000-000000000007"
PHONE, WAMID, NUMBER = "900000000000003", "wamid.X", SECRETS[4]
WITH_MEDIUM = "wamid.M"
OPEN = {
    "/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/inbox", "/insights", "/favicon.ico",
    "/ui/{folder}/{file}", "/ui/{release}/{folder}/{file}", "/ui/session",
    "/webhooks/whatsapp", "/webhooks/whatsapp/{waba_id}",
    "/whatsapp/callback", "/whatsapp/setup", "/whatsapp/setup/{waba_id}",
    "/whatsapp/deauthorize", "/whatsapp/data-deletion",
}  # fmt: skip
"""Endpoints that check something other than a token: Meta's signature, a state, or that there is nothing to hide."""
SUBSCRIBED: list[str] = []
"""The subscription of the organisation `demo`."""


@pytest.fixture
async def app(topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> web.Application:
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    services: list[Service] = [entry.load() for entry in sorted(entry_points(group="wabus.services"))]
    return build_app([(service, load(service.settings["all"])) for service in services], "all")


@pytest.fixture
async def client(
    app: web.Application, serve: Serve, topics: KafkaSettings, eventually: Eventually, bearer: Bearer
) -> Client:
    """All services in one process, with the organisation `demo` having an account and a template."""
    client = await serve(app)
    publisher = Publisher(topics, "/wabus/test")
    await publisher.start()
    await publisher.publish(facts())
    await publisher.stop()

    async def known() -> bool:
        health = await client.get("/webhook/health", headers=bearer("demo"))
        templates = await client.get("/templates", headers=bearer("demo"))
        connections = await client.get("/whatsapp/connection", headers=bearer("demo"))
        threads = await client.get("/conversations", headers=bearer("demo"))
        sends = await client.get("/sends", headers=bearer("demo"))
        performance = await client.get("/performance/templates", headers=bearer("demo"))
        texts = [await answer.text() for answer in (health, templates, connections, threads, sends, performance)]
        expected = (WABA, SECRETS[1], WABA, SECRETS[3], NUMBER, SECRETS[1])
        return all(secret in text for secret, text in zip(expected, texts, strict=True))

    await eventually(known)
    receiver = {"url": f"http://localhost:{free_ports(1)[0]}/{SECRETS[6]}"}
    async with client.post("/subscriptions", json=receiver, headers=bearer("demo")) as answer:
        SUBSCRIBED[:] = [(await answer.json())["subscription_id"]]
    return client


def facts() -> list[Event]:
    now = datetime.now(UTC)
    about: dict[str, Any] = {"time": now, "org_id": "demo", "waba_id": WABA}
    sealed = Keyring(load(CredentialSettings)).seal(SecretStr("EAAtoken"), org_id="demo", waba_id=WABA)
    template = Template(template_id=SECRETS[2], name=SECRETS[1], language="en", category="UTILITY", status="APPROVED")
    synced: dict[str, Any] = {
        "sync_id": "s1",
        "reason": "manual",
        "total": 1,
        "approved": 1,
        "by_status": {"APPROVED": 1},
    }
    item = {"id": WAMID, "from": NUMBER, "type": "text", "text": {"body": SECRETS[3]}}
    profile = {"wa_id": NUMBER, "profile": {"name": SECRETS[5]}}
    message: dict[str, Any] = {
        **about,
        "time": now + timedelta(seconds=1),
        "phone_number_id": PHONE,
        "wamid": WAMID,
        "contact": NUMBER,
        "message_type": "text",
        "value": {"contacts": [profile], "messages": [item]},
    }
    image = {"id": WITH_MEDIUM, "from": NUMBER, "type": "image", "image": {"id": "1", "mime_type": "image/jpeg"}}
    photo: dict[str, Any] = {
        **message,
        "time": now,
        "wamid": WITH_MEDIUM,
        "message_type": "image",
        "value": {"contacts": [profile], "messages": [image]},
    }
    sent: dict[str, Any] = {
        "id": WAMID,
        "status": "read",
        "recipient_id": NUMBER,
        "errors": [{"code": 1, "title": SECRETS[3]}],
    }
    status: dict[str, Any] = {**message, "status": "read", "value": {"statuses": [sent]}}
    status.pop("message_type")
    send: dict[str, Any] = {
        "phone_number_id": PHONE,
        "send_id": SEND,
        "lane": "service",
        "kind": "text",
        "to": NUMBER,
        "message": {"type": "text", "text": {"body": SECRETS[3]}},
        "not_before": now + timedelta(days=1),
        "expires_at": now + timedelta(days=2),
    }
    reported: dict[str, Any] = {
        "phone_number_id": PHONE,
        "wamid": "wamid.T",
        "wa_id": NUMBER,
        "kind": "template",
        "template_name": SECRETS[1],
        "template_language": "en",
        "template_id": SECRETS[2],
    }
    made: list[Event] = [
        CredentialStored(id="1", **about, key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=sealed.ciphertext),
        AccountConnected(id="2", **about),
        TemplateChanged(id="3", **about, template=template, added=True, sync_id="s1"),
        TemplatesSynced(id="4", **about, **synced, added=1, changed=0, removed=0, started_at=now),
        MessageReceived(id="5", **message),
        MessageStatusChanged(id="6", **status),
        SendRequested(id="7", **about, **send),
        MessageReceived(id="7", **photo),
        MessageReported(id="8", **about, **reported),
    ]
    return made


def ids() -> dict[str, str]:
    """What stands in paths, of the organisation `demo`."""
    made = Ids(load(IdentitySettings).identity_bytes)
    person = made.identifier(f"demo\x1f{WABA}", "wa_id", NUMBER)
    return {
        "sync_id": "s1",
        "send_id": SEND,
        "upload_id": SEND,
        "phone_number_id": PHONE,
        "template_id": SECRETS[2],
        "id": SECRETS[2],
        "waba_id": WABA,
        "contact_id": person,
        "conversation_id": made.conversation("demo", PHONE, person),
        "message_id": message_id("demo", PHONE, WAMID),
        "subscription_id": SUBSCRIBED[0],
        "event_id": "5",
        "note_id": "00000000-0000-0000-0000-000000000009",
        "advice_id": "00000000-0000-0000-0000-00000000000a",
        "experiment_id": "00000000-0000-0000-0000-00000000000b",
        "media_id": fact_id("medium", message_id("demo", PHONE, WITH_MEDIUM)),
    }


def guarded(app: web.Application) -> list[tuple[str, str]]:
    """Method and path of every route that must ask for a token, with ids of the organisation `demo` filled in."""
    found: set[tuple[str, str]] = set()
    for route in app.router.routes():
        resource = route.resource
        if resource is None or resource.canonical in OPEN or route.method == "HEAD":
            continue
        path = resource.canonical
        for name, value in ids().items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"the test does not know how to fill {path}"
        found.add((route.method, path))
    return sorted(found)


async def test_what_others_must_not_see_its_own_organisation_does(client: Client, bearer: Bearer) -> None:
    path = "/conversations/{conversation_id}".format(**ids())
    own = {
        path: SECRETS[3],
        f"{path}/messages": SECRETS[3],
        f"{path}/messages/{ids()['message_id']}/statuses": SECRETS[3],
        f"/conversations/search?q={SECRETS[3]}": SECRETS[3],
        f"/contacts?identifier={NUMBER}": SECRETS[5],
        f"/contacts/{ids()['contact_id']}": NUMBER,
        f"/contacts/{ids()['contact_id']}/export": SECRETS[3],
        "/subscriptions": SECRETS[6],
    }
    # Of a medium: that it is there, for nobody can fetch it here.
    own["/media/{media_id}".format(**ids())] = "medium_not_stored"
    for asked, secret in own.items():
        answer = await client.get(asked, headers=bearer("demo"))
        assert secret in await answer.text(), asked


async def test_no_endpoint_shows_another_organisations_data_or_works_without_a_token(
    client: Client, app: web.Application, bearer: Bearer
) -> None:
    routes = guarded(app)
    assert len(routes) >= 8
    for method, path in routes:
        anonymous = await client.request(method, path)
        assert anonymous.status == 401, f"{method} {path} without a token"
        stranger = await client.request(method, path, headers=bearer("other"))
        streams = stranger.content_type == "text/event-stream"
        shown = await (stranger.content.readuntil(b"\n\n") if streams else stranger.read())
        echoed = set(path.split("/"))
        leaked = [secret for secret in SECRETS if secret in shown.decode() and secret not in echoed]
        assert not leaked, f"{method} {path} shows {leaked} to another organisation"
        assert stranger.status not in (500, 501), f"{method} {path}: {stranger.status}"
        stranger.close()


async def test_another_organisation_can_change_nothing(client: Client, app: web.Application, bearer: Bearer) -> None:
    async def standing() -> list[str]:
        paths = ("/whatsapp/connection", "/templates", "/conversations", "/contacts")
        told = await (await client.get("/subscriptions", headers=bearer("demo"))).json()
        return [
            *[await (await client.get(path, headers=bearer("demo"))).text() for path in paths],
            *[each["url"] + each["status"] for each in told["subscriptions"]],
        ]

    before = await standing()
    for method, path in guarded(app):
        if method not in ("GET", "HEAD") and path != "/stream-tickets":  # which are their own
            answer = await client.request(
                method, path, params={"waba_id": WABA}, json={"waba_id": WABA}, headers=bearer("other")
            )
            assert answer.status in (400, 403, 404, 409, 422), f"{method} {path}: {answer.status}"
    assert await standing() == before


async def test_a_member_can_change_nothing_that_is_for_administrators(client: Client, bearer: Bearer) -> None:
    for method, path in (
        ("POST", "/templates/sync"),
        ("DELETE", "/whatsapp/connection"),
        ("DELETE", "/contacts/{contact_id}".format(**ids())),
        ("POST", "/subscriptions"),
    ):
        answer = await client.request(method, path, headers=bearer("demo", "member"))
        assert (answer.status, answer.content_type) == (403, "application/problem+json")


async def test_no_identifier_in_a_query_or_header_opens_another_organisations_data(
    client: Client, app: web.Application, bearer: Bearer
) -> None:
    identifiers = [
        *ids().items(),
        ("name", SECRETS[1]),
        ("q", SECRETS[1]),
        ("q", SECRETS[3]),
        ("identifier", NUMBER),
        ("phone_number_id", PHONE),
        ("around", ids()["message_id"]),
        ("org_id", "demo"),
        ("orgId", "demo"),
    ]
    async with client.get("/webhook/health/stream", headers=bearer("demo")) as stream:
        seen = await stream.content.readuntil(b"\n\n") + await stream.content.readuntil(b"\n\n")
    assert WABA in seen.decode()
    last_id = next(line.partition(": ")[2] for line in seen.decode().splitlines() if line.startswith("id: "))
    for method, path in guarded(app):
        if method != "GET":
            continue
        for name, value in identifiers:
            headers = {**bearer("other"), "Last-Event-ID": last_id, "X-Org-Id": "demo", "Cookie": "orgId=demo"}
            stranger = await client.get(path, params={name: value}, headers=headers)
            streams = stranger.content_type == "text/event-stream"
            shown = await (stranger.content.readuntil(b"\n\n") if streams else stranger.read())
            echoed = {*path.split("/"), value}
            assert not [secret for secret in SECRETS if secret in shown.decode() and secret not in echoed], path
            assert stranger.status < 500, f"{path}?{name}"
            stranger.close()


async def test_header_and_query_tricks_do_not_choose_the_organisation(client: Client, bearer: Bearer) -> None:
    tricks = {"X-Org-Id": "demo", "orgId": "demo", "X-Forwarded-User": "demo"}
    answer = await client.get(
        "/webhook/health", params={"org_id": "demo", "orgId": "demo"}, headers={**bearer("other"), **tricks}
    )
    assert WABA not in await answer.text()
