"""What no client library would send, on every service's port: answered in our words, without its own, and in time."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web
from raw_http import MARK, ODD, SENTINEL, form
from wabus_gateway.app import GatewaySettings, create_app
from wabus_runtime.http import connections
from wabus_runtime.service.process import KEEP_ALIVE, build_app, serving
from wabus_runtime.settings import load
from webhooks import signed

SIGNATURE = signed(b"")["X-Hub-Signature-256"].encode()
ANSWER = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


@pytest.fixture(params=["gateway", "any other service"])
async def port(
    request: pytest.FixtureRequest, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[int]:
    """Kafka is away: what is signed is answered 503, which is enough here."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    app = create_app(load(GatewaySettings)) if request.param == "gateway" else build_app([])
    app.router.add_get("/large", large)
    async with serving(app, "127.0.0.1", 0) as ports:
        yield ports[0]


async def large(request: web.Request) -> web.Response:
    """As long as a page of templates, so that few of them fill what the kernel keeps for who does not read."""
    return web.Response(body=bytes(65536))


async def said(port: int, *pieces: bytes, pause: float = 0.0, wait: float = 5.0) -> bytes:
    """All that is answered to some pieces until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(wait):
            while piece := await reader.read(65536):
                received += piece
    except (ConnectionError, TimeoutError):
        pass
    finally:
        sending.cancel()
        writer.transport.abort()
    return received


async def test_every_refusal_is_a_problem_that_echoes_nothing(port: int) -> None:
    wrong: dict[str, bytes] = {}
    for odd in ODD:
        if odd.unfinished:
            continue
        received = await said(port, odd.raw, SENTINEL, wait=1)
        for answer in ANSWER.finditer(received):
            status, head = int(answer[1]), answer[2].lower()
            if MARK.encode() in received or (status >= 400 and b"content-type: application/problem+json" not in head):
                wrong[odd.name] = received
    assert wrong == {}


@pytest.mark.parametrize(
    "line",
    [
        b"GET /healthz HTTP/1.1", b"GET /nowhere HTTP/1.1", b"DELETE /metrics HTTP/1.1", b"GET / HTTP/9.9",
        b"GET /healthz HTTP/1.1\r\nExpect: a",
        b"POST /webhooks/whatsapp HTTP/1.1\r\nContent-Length: 0\r\nX-Hub-Signature-256: " + SIGNATURE,
    ],
)  # fmt: skip
async def test_no_answer_tells_what_it_was_made_with_or_lets_a_browser_guess_what_it_is(port: int, line: bytes) -> None:
    received = await said(port, line + b"\r\nHost: a\r\n\r\n", SENTINEL, wait=1)
    heads = [answer[2].splitlines() for answer in ANSWER.finditer(received)]
    assert heads != []
    for head in heads:
        assert {b"Server: wabus", b"X-Content-Type-Options: nosniff"} <= {*head}


@pytest.mark.parametrize(("scheme", "told"), [("https", True), ("http", False)])
async def test_a_browser_that_came_by_tls_comes_no_other_way_again(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, scheme: str, told: bool
) -> None:
    monkeypatch.setenv("PUBLIC_URL", f"{scheme}://wabus.example.com")
    async with serving(create_app(load(GatewaySettings)), "127.0.0.1", 0) as ports:
        received = await said(ports[0], SENTINEL)
    assert (b"Strict-Transport-Security: max-age=31536000\r\n" in received) is told


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b"GET / HTTP/9.9", "The first line of the request is none of HTTP."),
        (b"GET / HTTP/1.1\r\nx y: zebra", "The request is no HTTP: Invalid header token."),
        (b"GET / HTTP/1.1\r\na: " + b"zebra" * 10_000, "A line of the request's head is too long."),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: zebra", "Nothing but 100-continue can be expected."),
    ],
)
async def test_a_refusal_names_what_is_wrong(port: int, line: bytes, detail: str) -> None:
    received = await said(port, line + b"\r\n\r\n", SENTINEL)
    body = orjson.loads(received[received.index(b"{") : received.index(b"}") + 1])
    assert body["detail"] == detail
    assert b"zebra" not in received


@pytest.mark.parametrize(
    "head", [b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 5_000, b"POST /webhooks/whatsapp HTTP/1.1\r"]
)
async def test_a_head_that_comes_byte_by_byte_is_given_up(
    port: int, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.3)
    began = time.monotonic()
    assert await said(port, *(head[at : at + 1] for at in range(len(head))), pause=0.02, wait=30) == b""
    assert time.monotonic() - began < KEEP_ALIVE / 3


async def test_a_second_head_has_its_time_too(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.3)
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    received = await said(
        port, one, *(bytes([each]) for each in b"GET /healthz HTTP/1.1\r\n" * 500), pause=0.02, wait=30
    )
    assert received.count(b"HTTP/1.1 200") == 1


async def test_a_head_in_pieces_is_answered_and_who_is_silent_between_requests_stays(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 2.0)
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for pause in (0.0, 2.3):  # longer than a head may take, with nothing begun
        await asyncio.sleep(pause)
        writer.write(one[:20])
        await asyncio.sleep(0.05)
        writer.write(one[20:])
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"}"), 5)
    writer.close()


async def test_a_slow_body_is_no_slow_head(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT", 0.2)
    whole = form(b"signed_request=a.b")  # read by the one, refused by the other before it is here
    received = await said(port, whole[:-9], *(bytes([each]) for each in whole[-9:]), SENTINEL, pause=0.05)
    assert [int(status) for status, _ in ANSWER.findall(received)] in ([403, 200], [404, 200])


async def test_who_does_not_read_answers_loses_the_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "UNREAD_TIMEOUT", 0.2)
    asked = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))

        async def ask_on() -> None:
            while True:
                await loop.sock_sendall(client, asked * 100)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask_on(), 10)
    assert await said(port, asked, SENTINEL) != b""
