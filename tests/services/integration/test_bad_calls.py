"""Every endpoint of every service, called with whatever hypothesis thinks of: never 500, and never a process less."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import jwt
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from raw_http import answers
from wabus_events import ACCOUNTS, TEMPLATES, AccountConnected, Event, Topic
from wabus_events.testing import an
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.service.process import Service, build_app
from wabus_runtime.settings import AuthSettings, KafkaSettings, load

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
Bearer = Callable[..., dict[str, str]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]

EXAMPLES = 15  # calls of each route
NAMES = (
    *("waba_id", "sync_id", "after", "before", "limit", "from", "to", "since", "until", "language", "status", "org"),
    *("category", "search", "sort", "version", "state", "code", "receipt", "signed_request", "token", "redirect"),
    *("q", "identifier", "around", "include", "window", "unread", "phone_number_id", "conversation_id"),
)
oddities = st.sampled_from(
    ["\0", "\ud800", "é", "'; DROP TABLE x;--", "../..", "%00", "1e999", "-1", "9" * 400, "2026-13-45"]
)
words = oddities | st.text(max_size=20) | st.integers().map(str) | st.dates().map(str)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | words, inner, max_size=4),
    max_leaves=8,
)


class Call(NamedTuple):
    """What is sent to a route."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    authorised: bool


visible = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
calls = st.builds(
    Call,
    words,
    st.dictionaries(st.sampled_from(NAMES) | words, words, max_size=4),
    st.dictionaries(
        st.sampled_from(["If-None-Match", "Last-Event-ID", "Idempotency-Key", "Cookie", "Content-Type", "traceparent"]),
        visible,
        max_size=3,
    ),
    anything | st.binary(max_size=40),
    st.booleans() | st.just(True),
)


def drawn() -> list[Call]:
    found: list[Call] = []

    @settings(
        max_examples=EXAMPLES, database=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow]
    )
    @given(calls)
    def draw(call: Call) -> None:
        found.append(call)

    draw()
    return found


async def test_no_call_of_any_endpoint_answers_500(topics: KafkaSettings, serve: Serve, bearer: Bearer) -> None:
    app = whole_system()
    client = await serve(app)
    failed: list[tuple[str, str, Call]] = []
    routes = sorted({(route.method, route.resource.canonical) for route in app.router.routes() if route.resource})
    assert len(routes) > 20
    for method, canonical in routes:
        for call in drawn():
            status = await answer(client, method, canonical, call, bearer() if call.authorised else {})
            if status >= 500 and status != 503:
                failed.append((method, canonical, call))
    assert failed == []
    assert (await client.get("/healthz")).status == 200


async def test_a_body_that_is_no_json_is_called_the_same_everywhere(
    topics: KafkaSettings, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(whole_system())
    headers = {**bearer(), "Content-Type": "application/json"}
    for path in ("/whatsapp/connect", "/templates/sync"):
        async with client.post(path, data=b"{", headers=headers) as refused:
            assert (refused.status, (await refused.json())["code"]) == (400, "malformed_json"), path


async def test_nobodys_name_becomes_a_record_that_stops_the_projection_of_others(
    topics: KafkaSettings, serve: Serve, events_in: EventsIn, publisher: Publisher
) -> None:
    await publisher.publish([an(AccountConnected, org_id="demo", waba_id="102290129340398")])
    client = await serve(whole_system())
    secret = load(AuthSettings).jwt_secret
    assert secret is not None
    signup = {"code": "c", "waba_id": "102290129340398"}
    for subject in ("u\0", "\ud800", "u\n7", "u" * 256):
        claims = {"orgId": "demo", "role": "admin", "sub": subject, "exp": time.time() + 60}
        headers = {"Authorization": f"Bearer {jwt.encode(claims, secret.get_secret_value(), algorithm='HS256')}"}
        for path, body in (("/templates/sync", {}), ("/webhook/health/check", {}), ("/whatsapp/connect", signup)):
            async with client.post(path, json=body, headers=headers) as refused:
                assert (refused.status, (await refused.json())["code"]) == (401, "unauthorised"), (path, subject)
        async with client.get("/whatsapp/connect", headers=headers, allow_redirects=False) as refused:
            assert refused.status == 401, subject
    assert len(await events_in(ACCOUNTS)) == 1
    assert await events_in(TEMPLATES) == []


RAW: dict[str, tuple[bytes, bytes, int]] = {
    "a key in the wrong bytes": (b"POST /templates/sync", b"Idempotency-Key: \xff", 422),
    "a key with a control character": (b"POST /templates/sync", b"Idempotency-Key: a\tb", 422),
    "half a surrogate pair as a key": (b"POST /templates/sync", b"Idempotency-Key: \xed\xa0\x80", 422),
    "a template's id": (b"GET /templates/%ff%ed%a0%80", b"Accept: */*", 404),
    "a template's id with a NUL": (b"GET /templates/%00", b"Accept: */*", 422),
    "a template's id in the wrong bytes": (b"GET /templates/\xff", b"Accept: */*", 400),
    "words": (b"GET /templates?q=%ff%ed%a0%80", b"Accept: */*", 200),
    "words with a NUL": (b"GET /templates?q=%00", b"Accept: */*", 422),
    "words in the wrong bytes": (b"GET /templates?q=\xff", b"Accept: */*", 400),
    "a sync's id": (b"GET /webhook/health?sync_id=%ff%ed%a0%80", b"Accept: */*", 200),
    "a sync's id in the wrong bytes": (b"GET /webhook/health?sync_id=\xff", b"Accept: */*", 400),
    "an account": (b"DELETE /whatsapp/connection?waba_id=%ff", b"Accept: */*", 422),
    "words in messages with a NUL": (b"GET /conversations/search?q=%00", b"Accept: */*", 422),
    "words in messages": (b"GET /conversations/search?q=%ff%ed%a0%80", b"Accept: */*", 200),
    "a person": (b"GET /contacts?identifier=%ff%ed%a0%80", b"Accept: */*", 200),
    "a conversation": (b"GET /conversations/%ff", b"Accept: */*", 422),
    "a page of another feed": (b"GET /webhook/health/history?before=%00", b"Accept: */*", 422),
}
"""First line and a header of a request, and the status that it must have."""


async def test_words_that_no_store_can_hold_are_refused(topics: KafkaSettings, serve: Serve, bearer: Bearer) -> None:
    client = await serve(whole_system())
    for name, (begun, header, status) in RAW.items():
        lines = [begun + b" HTTP/1.1", b"Host: x", b"Connection: close", header, b"Content-Length: 0"]
        lines += [f"{key}: {value}".encode() for key, value in bearer().items()]
        assert await answers(client.port or 0, b"\r\n".join(lines) + b"\r\n\r\n") == [status], name


def whole_system() -> web.Application:
    services: list[Service] = [entry.load() for entry in sorted(entry_points(group="wabus.services"))]
    return build_app([(service, load(service.settings["api"])) for service in services], "api")


async def answer(
    client: TestClient[web.Request, web.Application], method: str, canonical: str, call: Call, headers: dict[str, str]
) -> int:
    """The status; of a stream, whose answer has no end, only the beginning is waited for."""
    part = quote(call.path, safe="", errors="replace") or "x"
    path = "/".join(part if piece.startswith("{") else piece for piece in canonical.split("/"))
    pairs = ((quote(name, errors="replace"), quote(value, errors="replace")) for name, value in call.query.items())
    query = "&".join(f"{name}={value}" for name, value in pairs)
    body = call.body if isinstance(call.body, bytes) else json.dumps(call.body).encode()
    kind = {"Content-Type": "application/json", **call.headers, **headers}
    async with asyncio.timeout(30):
        try:
            request = client.request(method, f"{path}?{query}", data=body, headers=kind, allow_redirects=False)
            response = await request
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            return 0
        response.close()
        return response.status
