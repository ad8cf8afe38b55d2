"""Every endpoint of every service, tried without a token, with another organisation's, and with a member's."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pydantic import SecretStr
from wabus_events import AccountConnected, CredentialStored, Event, TemplateChanged, TemplatesSynced
from wabus_events.models.templates import Template
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import Service, build_app
from wabus_runtime.settings import CredentialSettings, KafkaSettings, load
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Bearer = Callable[..., dict[str, str]]

WABA = "900000000000001"
SECRETS = (WABA, "a_template_nobody_else_sees", "900000000000002")
OPEN = {
    "/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/ui/{file}", "/ui/session", "/favicon.ico",
    "/webhooks/whatsapp", "/webhooks/whatsapp/{waba_id}", "/whatsapp/callback",
    "/whatsapp/deauthorize", "/whatsapp/data-deletion",
}  # fmt: skip
"""Endpoints that check something other than a token: Meta's signature, a state, or that there is nothing to hide."""


@pytest.fixture
async def app(topics: KafkaSettings) -> web.Application:
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
        texts = [await answer.text() for answer in (health, templates, connections)]
        return SECRETS[0] in texts[0] and SECRETS[1] in texts[1] and SECRETS[0] in texts[2]

    await eventually(known)
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
    made: list[Event] = [
        CredentialStored(id="1", **about, key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=sealed.ciphertext),
        AccountConnected(id="2", **about),
        TemplateChanged(id="3", **about, template=template, added=True, sync_id="s1"),
        TemplatesSynced(id="4", **about, **synced, added=1, changed=0, removed=0, started_at=now),
    ]
    return made


def guarded(app: web.Application) -> list[tuple[str, str]]:
    """Method and path of every route that must ask for a token, with ids of the organisation `demo` filled in."""
    found: set[tuple[str, str]] = set()
    for route in app.router.routes():
        resource = route.resource
        if resource is None or resource.canonical in OPEN or route.method == "HEAD":
            continue
        path = resource.canonical
        for name in ("sync_id", "template_id", "id", "waba_id"):
            path = path.replace(f"{{{name}}}", {"sync_id": "s1", "waba_id": WABA}.get(name, SECRETS[2]))
        assert "{" not in path, f"the test does not know how to fill {path}"
        found.add((route.method, path))
    return sorted(found)


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
        paths = ("/whatsapp/connection", "/templates")
        return [await (await client.get(path, headers=bearer("demo"))).text() for path in paths]

    before = await standing()
    for method, path in guarded(app):
        if method not in ("GET", "HEAD"):
            answer = await client.request(
                method, path, params={"waba_id": WABA}, json={"waba_id": WABA}, headers=bearer("other")
            )
            assert answer.status in (400, 403, 404, 409, 422), f"{method} {path}: {answer.status}"
    assert await standing() == before


async def test_a_member_can_change_nothing_that_is_for_administrators(client: Client, bearer: Bearer) -> None:
    for method, path in (("POST", "/templates/sync"), ("DELETE", "/whatsapp/connection")):
        answer = await client.request(method, path, headers=bearer("demo", "member"))
        assert (answer.status, answer.content_type) == (403, "application/problem+json")


async def test_no_identifier_in_a_query_or_header_opens_another_organisations_data(
    client: Client, app: web.Application, bearer: Bearer
) -> None:
    identifiers = {
        "waba_id": WABA,
        "sync_id": "s1",
        "template_id": SECRETS[2],
        "name": SECRETS[1],
        "q": SECRETS[1],
        "org_id": "demo",
        "orgId": "demo",
    }
    async with client.get("/webhook/health/stream", headers=bearer("demo")) as stream:
        seen = await stream.content.readuntil(b"\n\n") + await stream.content.readuntil(b"\n\n")
    assert WABA in seen.decode()
    last_id = next(line.partition(": ")[2] for line in seen.decode().splitlines() if line.startswith("id: "))
    for method, path in guarded(app):
        if method != "GET":
            continue
        for name, value in identifiers.items():
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
