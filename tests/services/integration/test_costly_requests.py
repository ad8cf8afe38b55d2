"""No single request, however it is made up, holds up the event loop: 8 kB of semicolons once took 2.6 s of it."""

import base64
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import entry_points

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from raw_http import answers
from wabus_runtime.http.auth import VERIFIER
from wabus_runtime.http.rates import Rates
from wabus_runtime.service.process import Service, build_app, serving
from wabus_runtime.settings import KafkaSettings, load

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
Bearer = Callable[..., dict[str, str]]
SIZE = 8_000  # bytes, about as many as a line may have
CPU_AT_MOST = 0.4  # seconds for a request, with what else runs in the process; most take 3 ms


def line(name: bytes, piece: bytes, begin: bytes = b"", end: bytes = b"") -> bytes:
    """A header that repeats a piece as often as a line may hold it."""
    return name + b": " + begin + piece * ((SIZE - len(begin) - len(end)) // len(piece)) + end


HEADERS = (
    line(b"Content-Type", b";"),
    line(b"Content-Type", b"; a=b", b"application/x-www-form-urlencoded"),
    line(b"Content-Type", b'; a="\\"', b"application/json"),
    line(b"Cookie", b"\\", b'wabus_connect="', b'"'),
    line(b"Cookie", b"\\101", b'wabus_connect="', b'"'),
    line(b"Cookie", b"a=b;"),
    line(b"Cookie", b'a="'),
    line(b"Cookie", b"; "),
    line(b"If-None-Match", b'"a",'),
    line(b"If-None-Match", b"W/"),
    line(b"If-None-Match", b" ", b'"'),
    line(b"If-Modified-Since", b"a"),
    line(b"Accept", b"text/html;q=0.1,"),
    line(b"Accept-Encoding", b"gzip,"),
    line(b"Prefer", b"wait=1 "),
    line(b"Prefer", b" ", b"; wait", b"x"),
    line(b"Idempotency-Key", b'"'),
    line(b"Last-Event-ID", b"-"),
    line(b"traceparent", b"0"),
    line(b"traceparent", b"00-"),
    line(b"Range", b"0-1,", b"bytes="),
    line(b"X-Hub-Signature-256", b"0", b"sha256="),
    line(b"X-Forwarded-For", b","),
    line(b"Authorization", b"a.b.c", b"Bearer "),
    b"Authorization: Bearer " + base64.urlsafe_b64encode(b'{"alg":"HS256","a":' + b"[" * 5_000) + b".e30.x",
)  # fmt: skip
QUERIES = (
    b"?" + b"a=b&" * (SIZE // 4),
    b"?" + b"%ff&" * (SIZE // 4),
    b"?q=" + b"a+" * 256,
    b"?sync_id=" + b"&sync_id=".join([b"x" * 200] * 20),
    b"?after=" + b"A" * 4_000,
    b"?state=" + b"%41" * (SIZE // 3),
    b"?receipt=" + b"A" * (SIZE - 50),
    b"?hub.mode=subscribe&hub.verify_token=" + b"a" * (SIZE - 100),
    b"?status=" + b"a," * 250,
    b"?before=" + b"9" * (SIZE - 50),
)
BODIES = (
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b"&" * 60_000,
    b"a=%41&" * 10_000,
    b'{"body":{' + b",".join(b'"%d":"x"' % number for number in range(5_000)) + b"}}",
    b'{"buttons":' + b"9" * 60_000 + b"}",
    b"signed_request=" + b"A" * 60_000,
    b'"' + b"\\" * 60_000,
)


@pytest.fixture
def app(topics: KafkaSettings) -> web.Application:
    services: list[Service] = [entry.load() for entry in sorted(entry_points(group="wabus.services"))]
    return build_app([(service, load(service.settings["api"])) for service in services], "api")


@pytest.mark.long
async def test_no_request_of_whatever_words_holds_up_the_others(app: web.Application, bearer: Bearer) -> None:
    app[VERIFIER].asked = Rates(1_000_000)
    routes = sorted({(route.method, route.resource.canonical) for route in app.router.routes() if route.resource})
    assert len(routes) > 20
    authorised = b"Authorization: " + bearer()["Authorization"].encode()
    costly: list[tuple[str, str, bytes, float]] = []
    statuses: list[int] = []
    took = 0.0
    async with serving(app, "127.0.0.1", 0) as (port,):
        for method, canonical in routes:
            if canonical.endswith("/stream"):
                continue
            path = canonical.replace("{", "").replace("}", "").encode()
            for each in (*HEADERS, *QUERIES, *(BODIES if method == "POST" else ())):
                query = each if each.startswith(b"?") else b""
                body = each if each in BODIES else b""
                head = [method.encode() + b" " + path + query + b" HTTP/1.1", b"Host: x", b"Connection: close"]
                head += [authorised] if not each.startswith(b"Authorization") else []
                head += [each] if not query and not body else []
                if body and b"Content-Type" not in each:
                    form = canonical.startswith("/whatsapp") and canonical != "/whatsapp/connect"
                    kind = b"application/x-www-form-urlencoded" if form else b"application/json"
                    head.append(b"Content-Type: " + kind)
                sent = b"\r\n".join([*head, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body
                for _ in range(3):  # words that cost, cost each time; a collection of this process's garbage does not
                    began = time.process_time()
                    statuses = await answers(port, sent, wait=30)
                    took = time.process_time() - began
                    if took <= CPU_AT_MOST:
                        break
                if took > CPU_AT_MOST or not statuses or (statuses[0] >= 500 and statuses[0] != 503):
                    costly.append((method, canonical, each[:60], took))
    assert costly == []


CALLS: tuple[tuple[str, str], ...] = (
    ("GET", "/whatsapp/connect"),
    ("POST", "/whatsapp/connect"),
    ("POST", "/templates/sync"),
    ("POST", "/webhook/health/check"),
)


async def test_one_organisation_that_asks_and_asks_is_told_to_wait_and_others_are_not(
    app: web.Application, serve: Serve, bearer: Bearer
) -> None:
    client = await serve(app)

    async def status(method: str, path: str, org: str) -> int:
        async with client.request(method, path, headers=bearer(org), json={}) as answer:
            assert answer.status != 429 or 0 < int(answer.headers["Retry-After"]) <= 60
            return answer.status

    asked = [await status(*CALLS[number % len(CALLS)], "a") for number in range(80)]
    assert 429 not in asked[:60]
    assert asked[-1] == 429
    for method, path in CALLS:
        assert await status(method, path, "b") != 429
    assert await status("GET", "/templates", "a") == 200
