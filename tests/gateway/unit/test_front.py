"""Which requests are answered before aiohttp sees them, and that both read these alike, to the byte."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from wabus_gateway.fast_path.http import MOST, OWN_PATH, PATH, FastPath, Patience, plain_head

MARK = "sha256=" + "ab" * 32
LINE = "POST /webhooks/whatsapp HTTP/1.1"
FIELDS = {"Host": "wabus.example", "Content-Length": "2", "X-Hub-Signature-256": MARK}


def head(line: str = LINE, **changed: str | None) -> bytes:
    """A plain webhook's head; underscores stand for hyphens, None leaves a field out."""
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line, *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return "".join(f"{each}\r\n" for each in lines).encode() + b"\r\n"


def test_a_plain_webhook_is_understood() -> None:
    understood = plain_head(head(User_Agent="facebookexternalua", Connection="keep-alive") + b"{}")
    assert understood is not None
    assert (understood.route, understood.length, understood.signature) == (PATH, 2, MARK)


def test_a_wabas_own_callback_is_understood() -> None:
    understood = plain_head(head("POST /webhooks/whatsapp/102290129340398 HTTP/1.1"))
    assert understood is not None
    assert understood.route == OWN_PATH


@pytest.mark.parametrize(
    "data",
    [
        head("GET /webhooks/whatsapp HTTP/1.1"),
        head("POST /webhooks/whatsapp HTTP/1.0"),
        head("POST /webhooks/whatsapp?a=1 HTTP/1.1"),
        head("POST /webhooks/whatsapp/1/2 HTTP/1.1"),
        head("POST /templates/sync HTTP/1.1"),
        head("POST  /webhooks/whatsapp HTTP/1.1"),
        head(Transfer_Encoding="chunked"),
        head(Transfer_Encoding="chunked", Content_Length=None),
        head(Content_Encoding="gzip"),
        head(Expect="100-continue"),
        head(Connection="close"),
        head(Connection="upgrade", Upgrade="websocket"),
        head(Content_Length=None),
        head(Content_Length="+2"),
        head(Content_Length="2, 2"),
        head(Content_Length=str(MOST + 1)),
        head(X_Hub_Signature_256=None),
        head(X_Hub_Signature_256="sha1=" + "ab" * 20),
        head(X_Hub_Signature_256=MARK.upper()),
        head(Host=None),
        head(Padding="x" * 8_000),
        head().replace(b"Content-Length: 2", b"Content-Length: 2\r\ncontent-length: 3"),
        head().replace(b"Content-Length:", b"Content-Length :"),
        head().replace(b"Host:", b" Host:"),
        head().replace(b"Host: wabus.example", b"Host: a\r\n folded"),
        head().replace(b"\r\n", b"\n"),
        head().replace(b"wabus.example", b"wabus\x00example"),
        head()[:-2],
        b"",
    ],
)
def test_anything_else_is_left_to_aiohttp(data: bytes) -> None:
    assert plain_head(data) is None


NAMES = st.sampled_from(
    [*FIELDS, *map(str.lower, FIELDS), "X-Other", "Connection", "Transfer-Encoding", "Te", "Expect"]
)
VALUES = st.sampled_from(
    [*FIELDS.values(), "", "0", "02", "2 ", "\t2", "2\t", "chunked", "keep-alive", "a:b", "é", "\x7f"]
)
ENDS = st.sampled_from(["\r\n"] * 12 + ["\n", "\r\r\n", " \r\n", "\r\n "])
COLONS = st.sampled_from([": "] * 6 + [":", " :", ":\t", ""])
LINES = st.sampled_from([LINE] * 4 + ["POST /webhooks/whatsapp/12 HTTP/1.1", "PUT /webhooks/whatsapp HTTP/1.1"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    fields = list(FIELDS.items())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(fields)))
        if draw(st.booleans()):
            fields.insert(at, (draw(NAMES), draw(VALUES)))
        else:
            fields[at : at + 1] = [(draw(NAMES), draw(VALUES))]
    text = draw(LINES) + draw(ENDS) + "".join(name + draw(COLONS) + value + draw(ENDS) for name, value in fields)
    return text.encode() + b"\r\n"


@settings(max_examples=examples(600))
@given(heads(), st.binary(max_size=30))
def test_what_is_understood_aiohttp_understands_in_the_same_way(data: bytes, rest: bytes) -> None:
    understood = plain_head(data + rest)
    if understood is None:
        return
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(Mock(_reading_paused=False), loop, 2**16, max_line_size=8190, max_field_size=8190)
        messages, upgraded, _ = parser.feed_data(data)
    finally:
        loop.close()
    ((message, payload),) = messages
    assert understood.size == len(data)
    assert (message.method, message.path.rsplit("/", 1)[0]) in (("POST", "/webhooks"), ("POST", "/webhooks/whatsapp"))
    assert (upgraded, message.chunked, message.compression, message.should_close) == (False, False, None, False)
    assert message.headers.getall("Content-Length") == [str(message.headers["Content-Length"])]
    assert int(message.headers["Content-Length"]) == understood.length
    assert message.headers.getall("X-Hub-Signature-256") == [understood.signature]
    assert payload.is_eof() is (understood.length == 0)


class Answering:
    """A receiver that takes what ends in `}` for signed and answers when it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Any]] = []
        self.slow = 0

    def is_genuine(self, body: bytes, signature: str) -> bool:
        return body.endswith(b"}")

    def note_slow(self) -> None:
        self.slow += 1

    def take(self, body: bytes, route: str, answered: Any) -> None:
        self.taken.append((body, answered))


class AnsweringAtOnce(Answering):
    def take(self, body: bytes, route: str, answered: Any) -> None:
        self.taken.append((body, answered))
        answered(200)


LARGE = 1024 * 1024  # bytes, more than a connection holds of what nobody reads


async def echo(request: web.BaseRequest) -> web.Response:
    return web.Response(text=f"aiohttp {request.method} {len(await request.read())}")


@pytest.fixture
def patience() -> Patience:
    """How long a client is waited for, unless a test says otherwise."""
    return Patience()


@pytest.fixture
async def front(patience: Patience) -> Any:
    receiver = Answering()
    answers = {200: web.Response(text="taken"), 503: web.Response(status=503, text="busy")}
    answers[408] = web.Response(status=408, text="slow")
    front = FastPath(receiver, answers, patience)
    server = await asyncio.get_running_loop().create_server(front.before(web.Server(echo)), "127.0.0.1", 0)  # type: ignore[arg-type]
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield receiver, reader, writer, front
    writer.close()
    server.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_requests_in_one_piece_are_answered_in_their_order(front: Any) -> None:
    receiver, reader, writer, _ = front
    writer.write((head() + b"{}") * 2)
    await until(lambda: receiver.taken)
    assert len(receiver.taken) == 1
    receiver.taken[0][1](200)
    assert (await reader.readuntil(b"taken")).startswith(b"HTTP/1.1 200 OK\r\n")
    await until(lambda: len(receiver.taken) == 2)
    receiver.taken[1][1](503)
    assert (await reader.readuntil(b"busy")).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


async def test_a_request_in_two_pieces_is_put_together(front: Any) -> None:
    receiver, _, writer, served = front
    writer.write(head())
    await until(lambda: any(each.has_part for each in served.connections))
    writer.write(b"{}")
    await until(lambda: receiver.taken)
    assert receiver.taken[0][0] == b"{}"


@pytest.mark.parametrize("patience", [Patience(whole=0.3, look_every=0.05)])
async def test_a_request_that_comes_byte_by_byte_is_answered_in_its_time_or_given_up(front: Any) -> None:
    receiver, reader, writer, _ = front
    writer.write(head(Content_Length="9999"))
    for _ in range(500):
        if receiver.slow:
            break
        writer.write(b" ")
        await asyncio.sleep(0.01)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    assert (receiver.slow, receiver.taken) == (1, [])


async def test_who_has_said_all_still_gets_the_answers_that_are_due(front: Any) -> None:
    receiver, reader, writer, _ = front
    writer.write((head() + b"{}") * 2 + head())
    writer.write_eof()
    for number in range(2):
        await until(lambda number=number: len(receiver.taken) > number)
        receiver.taken[number][1](200)
    answers = await asyncio.wait_for(reader.read(), 5)
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert len(receiver.taken) == 2


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (head() + b"[]", b"aiohttp POST 2"),
        (head("GET /healthz HTTP/1.1", Content_Length=None), b"aiohttp GET 0"),
        (head(Content_Length="20000") + b" " * 20_000, b"aiohttp POST 20000"),
        (head()[:20], None),
    ],
    ids=["a bad signature", "another request", "a large body", "a head in pieces"],
)
async def test_what_is_not_plain_reaches_aiohttp_whole(front: Any, data: bytes, answer: bytes | None) -> None:
    receiver, reader, writer, served = front
    writer.write(data)
    if answer is None:
        await until(lambda: not served.connections)
        writer.write(head()[20:] + b"{}")
        answer = b"aiohttp POST 2"
    assert await reader.readuntil(answer)
    assert not receiver.taken
    # And what follows on this connection too.
    writer.write(head() + b"{}")
    assert await reader.readuntil(b"aiohttp POST 2")


async def test_draining_answers_what_is_under_way_and_closes(front: Any) -> None:
    receiver, reader, writer, served = front
    writer.write(head() + b"{}")
    await until(lambda: receiver.taken)
    draining = asyncio.create_task(served.drain())
    await asyncio.sleep(0)
    receiver.taken[0][1](200)
    await draining
    answer = await reader.read()
    assert b"Connection: close" in answer
    assert answer.endswith(b"taken")


async def test_a_client_that_leaves_before_its_answer_is_forgotten(front: Any) -> None:
    receiver, _, writer, served = front
    writer.write(head() + b"{}")
    await until(lambda: receiver.taken)
    writer.close()
    await until(lambda: any(each._half_closed for each in served.connections))  # or wants only to hear the answer
    receiver.taken[0][1](200)
    await until(lambda: not served.connections)


@pytest.fixture
async def unread(patience: Patience) -> Any:
    """As `front`, but each request is answered at once, and with more than the connection holds."""
    receiver = AnsweringAtOnce()
    front = FastPath(receiver, {200: web.Response(text="x" * LARGE)}, patience)
    server = await asyncio.get_running_loop().create_server(front.before(web.Server(echo)), "127.0.0.1", 0)  # type: ignore[arg-type]
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1024)
    yield receiver, reader, writer, front
    writer.close()
    server.close()


async def test_no_more_is_taken_than_answers_are_read_and_in_the_end_all_are_there(unread: Any) -> None:
    receiver, reader, writer, _ = unread
    writer.write((head() + b"{}") * 60)
    await until(lambda: receiver.taken)
    writer.write((head() + b"{}") * 60)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(receiver.taken) < 10
    for _ in range(120):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(LARGE) == b"x" * LARGE
    assert len(receiver.taken) == 120


@pytest.mark.parametrize("patience", [Patience(unread=0.2)])
async def test_who_never_reads_answers_is_given_up(unread: Any) -> None:
    receiver, _, writer, served = unread
    writer.write((head() + b"{}") * 120)
    await until(lambda: receiver.taken)
    await until(lambda: not served.connections)
