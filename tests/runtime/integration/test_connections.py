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
from wabus_runtime.http.connections import Patience
from wabus_runtime.service.process import KEEP_ALIVE, build_app, serving
from wabus_runtime.settings import load
from webhooks import signed

SIGNATURE = signed(b"")["X-Hub-Signature-256"].encode()
ANSWER = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r]*\r\n((?:[^\r]+\r\n)*)\r\n")


@pytest.fixture(params=["gateway", "any other service"])
async def port(
    request: pytest.FixtureRequest, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, patience: Patience
) -> AsyncIterator[int]:
    """Kafka is away: what is signed is answered 503, which is enough here."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    app = create_app(load(GatewaySettings)) if request.param == "gateway" else build_app([])
    app.router.add_get("/large", large)
    async with serving(app, "127.0.0.1", 0, patience=patience) as ports:
        yield ports[0]


@pytest.fixture
def patience() -> Patience:
    """How long a client is waited for, unless a test says otherwise."""
    return Patience()


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
@pytest.mark.parametrize("patience", [Patience(head=0.3)])
async def test_a_head_that_comes_byte_by_byte_is_given_up(port: int, head: bytes) -> None:
    began = time.monotonic()
    assert await said(port, *(head[at : at + 1] for at in range(len(head))), pause=0.02, wait=30) == b""
    assert time.monotonic() - began < KEEP_ALIVE / 3


@pytest.mark.parametrize("patience", [Patience(head=0.3)])
async def test_a_second_head_has_its_time_too(port: int) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    received = await said(
        port, one, *(bytes([each]) for each in b"GET /healthz HTTP/1.1\r\n" * 500), pause=0.02, wait=30
    )
    assert received.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("patience", [Patience(head=2.0)])
async def test_a_head_in_pieces_is_answered_and_who_is_silent_between_requests_stays(port: int) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for pause in (0.0, 2.3):  # longer than a head may take, with nothing begun
        await asyncio.sleep(pause)
        writer.write(one[:20])
        await asyncio.sleep(0.05)
        writer.write(one[20:])
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"}"), 5)
    writer.close()


@pytest.mark.parametrize("patience", [Patience(head=0.2)])
async def test_a_slow_body_is_no_slow_head(port: int) -> None:
    whole = form(b"signed_request=a.b")  # read by the one, refused by the other before it is here
    received = await said(port, whole[:-9], *(bytes([each]) for each in whole[-9:]), SENTINEL, pause=0.05)
    assert [int(status) for status, _ in ANSWER.findall(received)] in ([403, 200], [404, 200])


@pytest.mark.parametrize("patience", [Patience(unread=0.2)])
async def test_who_does_not_read_answers_loses_the_connection(port: int) -> None:
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


HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def large_head(size: int) -> bytes:
    """A head of so many bytes, none of whose lines is long."""
    return (
        HEALTHZ[:-2] + b"".join(b"X-%04d: %s\r\n" % (number, b"a" * 1000) for number in range(size // 1010)) + b"\r\n"
    )


async def test_a_head_that_is_large_in_all_is_refused_whether_or_not_it_ends(port: int) -> None:
    largest, too_large = large_head(connections.LONGEST_HEAD - 1_100), large_head(connections.LONGEST_HEAD + 1_100)
    assert statuses(await said(port, largest, SENTINEL)) == [200, 200]
    for raw in (too_large + SENTINEL, too_large[:-2]):
        received = await said(port, HEALTHZ, raw, pause=0.1)
        assert statuses(received) == [200, 431]
        assert b"X-0" not in received


def statuses(received: bytes) -> list[int]:
    return [int(status) for status, _ in ANSWER.findall(received)]


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity, chunked", b"x, chunked", b"gzip,chunked"])
async def test_a_transfer_coding_that_nobody_undoes_is_refused(port: int, coding: bytes) -> None:
    head = b"POST /whatsapp/deauthorize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    assert statuses(await said(port, head + b"0\r\n\r\n" + SENTINEL)) == [501]


@pytest.mark.parametrize("body", [b"", b"abc"])
async def test_what_stands_behind_an_upgrade_that_is_not_made_is_never_read_as_another_request(
    port: int, body: bytes
) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    upgrade = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    behind = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n"
    for pieces in ((upgrade + behind + HEALTHZ,), (upgrade + behind, HEALTHZ), (upgrade, HEALTHZ)):
        received = await said(port, *pieces, pause=0.1)
        assert statuses(received) == [200]
        assert b"Connection: close\r\n" in received


async def half_closed(port: int, raw: bytes, wait: float = 10.0) -> bytes:
    """All that is answered to who says this and that there is no more to come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), wait)
    finally:
        writer.close()


async def test_who_closes_their_own_side_gets_the_answers_to_what_they_asked(port: int) -> None:
    assert statuses(await half_closed(port, HEALTHZ)) == [200]
    assert statuses(await half_closed(port, HEALTHZ * 3)) == [200, 200, 200]
    assert statuses(await half_closed(port, HEALTHZ + HEALTHZ[:-2])) == [200]
    assert statuses(await half_closed(port, form(b"signed_request=a.b"))) in ([403], [404])
    large = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"
    answered = await half_closed(port, large * 20)
    assert len(answered) > 20 * 65536 or statuses(answered) == [404] * 20


async def test_half_a_request_of_who_sends_no_more_is_dropped_at_once(port: int) -> None:
    for raw in (HEALTHZ[:-2], form(b"signed_request=a.b")[:-3], b""):
        assert statuses(await half_closed(port, raw, wait=3)) in ([], [404])


async def test_a_body_that_goes_on_behind_its_answer_is_not_read_for_long(port: int) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert await taken_of(port, head, b"1000\r\n" + b"a" * 4096 + b"\r\n") < 3 * connections.REQUEST_MOST
    began = time.monotonic()
    received = await said(port, head, *[b"1\r\na\r\n"] * 1000, pause=0.05, wait=30)
    assert statuses(received) == [404]
    assert time.monotonic() - began < 5 * connections.LINGER


async def taken_of(port: int, head: bytes, piece: bytes) -> int:
    """How many bytes of an endless body are taken until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    taken = 0
    try:
        while taken < 100 * connections.REQUEST_MOST:
            writer.write(piece * 16)
            await asyncio.wait_for(writer.drain(), 10)
            taken += 16 * len(piece)
            await asyncio.sleep(0)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    del reader
    return taken
