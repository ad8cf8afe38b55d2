"""One client that sends without end and reads nothing: what it sends, how much of it is taken, and what that costs."""

import asyncio
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from raw_http import BODY, request
from waiting import wait_until
from webhooks import signed

MEGABYTE = 1024 * 1024
SENT = 20 * MEGABYTE
QUIET = 0.4  # seconds in which nothing more is taken: then nothing more will be
PORTION = 64 * 1024  # bytes that are offered at once
SEND_BUFFER = 64 * 1024  # bytes, which Linux doubles: socket(7), SO_SNDBUF

_FORGED = b"sha256=" + b"0" * 64
_CHUNKED = b"Transfer-Encoding: chunked"
_IN_CHUNKS = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + _CHUNKED + b"\r\n\r\n"
_ENDLESS = b"Content-Length: 99999999\r\n\r\n"
_UNWANTED = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n"
_FORM = b"POST /whatsapp/deauthorize HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


def _lines(count: int, size: int = 1_000) -> bytes:
    return b"".join(b"X-%d: %s\r\n" % (number, b"a" * size) for number in range(count))


@dataclass(frozen=True)
class Flood:
    """What is sent: a beginning, then a piece again and again. Whole requests are counted when they are answered."""

    name: str
    piece: bytes
    begin: bytes = b""
    is_whole: bool = False
    """Whether each piece is a request, so that what was answered is no longer held."""


DESCRIPTION = Flood(
    "requests for the API's description", b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", is_whole=True
)
FLOODS = (
    # Requests.
    Flood("requests", _HEAD + b"\r\n", is_whole=True),
    Flood("requests for a long page", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", is_whole=True),
    DESCRIPTION,
    Flood("no requests", b"\r\n"),
    Flood("what is no request", b"a" * 1_000, begin=_HEAD + b"\r\n"),
    Flood("an upgrade", b"a" * 1_000, begin=_HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    Flood("a web socket", b"a" * 1_000, begin=_HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    # Headers.
    Flood("a path without end", b"a", begin=b"GET /"),
    Flood("a line without end", b"a", begin=_HEAD + b"X-A: "),
    Flood("a head without end", b"X-A: b\r\n", begin=_HEAD),
    Flood("heads of 30 kB", _HEAD + _lines(29) + b"\r\n", is_whole=True),
    Flood("heads of 700 kB", _HEAD + _lines(100, 7_000) + b"\r\n"),
    # Bodies.
    Flood("a body that nobody wants", b"a", begin=_UNWANTED + _ENDLESS),
    Flood("a body behind a question", b"a", begin=_HEAD + _ENDLESS),
    Flood("bodies that nobody wants", _UNWANTED + b"Content-Length: 60000\r\n\r\n" + b"a" * 60_000, is_whole=True),
    # Chunks.
    Flood("chunks of a byte", b"1\r\na\r\n", begin=_IN_CHUNKS),
    Flood("chunks with long extensions", b"1;" + b"a" * 500 + b"\r\na\r\n", begin=_IN_CHUNKS),
    Flood("an extension without end", b"a", begin=_IN_CHUNKS + b"1;"),
    Flood("trailers without end", b"X-A: b\r\n", begin=_IN_CHUNKS + b"0\r\n"),
)  # fmt: skip
"""On any port, behind whatever is asked first."""

TO_THE_GATEWAY = (
    Flood("webhooks", request(), is_whole=True),
    Flood("forged webhooks", request(signature=_FORGED), is_whole=True),
    Flood("large and forged webhooks", request(BODY + b" " * 20_000, signature=_FORGED), is_whole=True),
    Flood("webhooks that wait to be told to go on", request(BODY, b"Expect: 100-continue"), is_whole=True),
    Flood("a webhook of 20 MB", b"a", begin=request(b"", length=b"Content-Length: 20971520")),
    Flood("a webhook in chunks of a byte", b"1\r\na\r\n", begin=request(b"", _CHUNKED, length=b"")),
    Flood("forms", _FORM + b"Content-Length: 60000\r\n\r\n" + b"a=%41&" * 10_000, is_whole=True),
    Flood("a form without end", b"a=b&", begin=_FORM + b"Transfer-Encoding: chunked\r\n\r\n4\r\n"),
)  # fmt: skip
"""What only the gateway understands."""


@dataclass
class Outcome:
    """How much of a flood was taken, and what others and the process had of it."""

    taken: int
    """Bytes, with those that the kernel holds."""
    seconds: float
    ended: bool
    """Whether the server has closed the connection."""
    slowest: float = 0.0
    """Seconds until another client was answered, the longest."""
    asked: int = 0
    """Requests of that other client."""
    memory: int = 0
    """Bytes that the process had more than before, the most."""


async def flood(port: int, pid: int, opening: bytes, what: Flood, *, with_webhooks: bool) -> Outcome:
    """Send it on one connection that never reads, while another client asks /healthz, or delivers webhooks too."""
    before = memory_of(pid)
    url = f"http://127.0.0.1:{port}/webhooks/whatsapp"
    slowest, most, asked = 0.0, before, 0
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as others:

        async def taken() -> bool:
            async with others.post(url, data=BODY, headers=signed(BODY)) as answer:
                return answer.status == 200

        if with_webhooks:
            await wait_until(taken)  # on a busy machine the first ones may be refused, for a moment
        sending = asyncio.create_task(_send(port, opening + what.begin, what.piece))
        while not sending.done():
            began = time.monotonic()
            async with others.get(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
            if with_webhooks:
                assert await taken()
            slowest, most = max(slowest, time.monotonic() - began), max(most, memory_of(pid))
            asked += 2 if with_webhooks else 1
            await asyncio.wait([sending], timeout=0.03)
    outcome = await sending
    outcome.slowest, outcome.asked, outcome.memory = slowest, asked, most - before
    return outcome


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(resident) * 4096


async def _send(port: int, beginning: bytes, piece: bytes) -> Outcome:
    with socket.socket() as client:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            client.setsockopt(socket.SOL_SOCKET, option, SEND_BUFFER)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, beginning)
        many = memoryview(piece * (MEGABYTE // len(piece) + 1))
        taken, began = 0, time.monotonic()
        last = began
        try:
            while taken < SENT and time.monotonic() - last < QUIET:
                at = taken % len(many)
                try:
                    taken += client.send(many[at : at + PORTION])
                    last = time.monotonic()
                    await asyncio.sleep(0)
                except BlockingIOError:
                    await asyncio.sleep(0.01)
        except OSError:
            return Outcome(taken, time.monotonic() - began, ended=True)
        return Outcome(taken, time.monotonic() - began, ended=False)
