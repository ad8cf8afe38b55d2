"""What sees a connection first: answers Meta's plain small webhooks itself and hands everything else to aiohttp.

A web framework's request, routing and response objects cost more than all the rest of a webhook. So the one request
that comes thousands of times a second is read here, in the one form in which Meta and proxies send it. Anything that
is unusual in the least (another path or method, a head in pieces, a large or chunked body, a bad signature, a word
about the connection) goes to aiohttp with all its bytes, and so does the rest of that connection.
See docs/decisions/0008.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from aiohttp import web
from wabus_runtime.http import connections
from wabus_runtime.http.answers import REQUEST_SECONDS, REQUESTS, SAFE_HEADERS
from wabus_runtime.service.process import DRAIN_TIMEOUT, ProtocolFactory

PATH = "/webhooks/whatsapp"
OWN_PATH = "/webhooks/whatsapp/{waba_id}"

MOST = 16 * 1024  # bytes of a body; what is larger may hold much work
LONGEST_HEAD = 8_000  # bytes
KEEP_ALIVE = 75.0  # seconds without a request until a connection is closed

_HEAD = re.compile(
    rb"POST /webhooks/whatsapp(/\w++)? HTTP/1\.1(\r\n(?:[!#$%&'*+.^`|~\w-]++:[\t\x20-\x7e]*+\r\n)++)\r\n",
    re.ASCII,
)
_LENGTH = re.compile(rb"\n(?i:content-length):[ \t]*([0-9]{1,5})[ \t]*\r")
_SIGNATURE = re.compile(rb"\n(?i:x-hub-signature-256):[ \t]*(sha256=[0-9a-fA-F]{64})[ \t]*\r")
_KEEP_ALIVE = re.compile(rb"\nconnection:[ \t]*keep-alive[ \t]*\r")
_ONCE = (b"\ncontent-length:", b"\nx-hub-signature-256:", b"\nhost:")
_OTHERS_BUSINESS = (b"\ntransfer-encoding", b"\ncontent-encoding", b"\nexpect", b"\nupgrade", b"\ntrailer", b"\nte:")

Answered = Callable[[int], None]


class Head(NamedTuple):
    """The head of a plain webhook."""

    route: str
    size: int  # bytes of it
    length: int  # bytes of the body
    signature: str


class Receiver(Protocol):
    """What a connection asks of the gateway."""

    def is_genuine(self, body: bytes, signature: str) -> bool:
        """Whether a body is signed, and a webhook."""
        ...

    def take(self, body: bytes, route: str, answered: Answered) -> None:
        """Handle a signed body and call `answered` with 200, 500 or 503, at once or later."""
        ...

    def note_slow(self) -> None:
        """A webhook's body did not come in its time."""
        ...


def plain_head(data: bytes) -> Head | None:
    """The head with which a connection's next bytes begin, or None where it is not for this module to understand."""
    match = _HEAD.match(data)
    if match is None or match.end() > LONGEST_HEAD:
        return None
    fields = match[2]
    lower = fields.lower()
    for name in _ONCE:
        if lower.count(name) != 1:
            return None
    for name in _OTHERS_BUSINESS:
        if name in lower:
            return None
    if b"\nconnection" in lower and not (lower.count(b"\nconnection") == 1 and _KEEP_ALIVE.search(lower)):
        return None
    length, signature = _LENGTH.search(fields), _SIGNATURE.search(fields)
    if length is None or signature is None or int(length[1]) > MOST:
        return None
    return Head(OWN_PATH if match[1] else PATH, match.end(), int(length[1]), signature[1].decode())


@dataclass(frozen=True, slots=True)
class Patience(connections.Patience):
    """How long a client is waited for, in seconds."""

    whole: float = 10.0
    """For a request to be whole."""
    look_every: float = 1.0
    """Between looks at who has taken longer."""


PATIENCE = Patience()


class FastPath:
    """Makes each connection's protocol; `answers` has the response for each status."""

    def __init__(self, receiver: Receiver, answers: dict[int, web.Response], patience: Patience = PATIENCE) -> None:
        self.receiver = receiver
        self.patience = patience
        self.connections: set[_Connection] = set()
        self.draining = False
        self._empty = asyncio.Event()
        self._answers = {status: _parts(response) for status, response in answers.items()}
        self._second = 0
        self._ready: dict[int, bytes] = {}
        self._looking: asyncio.TimerHandle | None = None

    def before(self, server: ProtocolFactory) -> ProtocolFactory:
        """The protocols for a port; what they don't serve goes to the server's own."""
        self.server = server
        return self._protocol

    def _protocol(self) -> asyncio.BaseProtocol:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(self.patience.look_every, self._expire_overdue)
        return _Connection(self)

    def forget(self, connection: "_Connection") -> None:
        """It is closed, or aiohttp's."""
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self._empty.set()

    def answer(self, status: int) -> bytes:
        """The bytes of an answer. The date is what RFC 9110, section 6.6.1, demands."""
        second = int(time.time())
        if second != self._second:
            date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second)).encode()
            end = b"Connection: close\r\n" if self.draining else b""
            self._ready = {
                each: head + b"Date: " + date + b"\r\n" + end + b"\r\n" + body
                for each, (head, body) in self._answers.items()
            }
            self._second = second
        return self._ready[status]

    async def drain(self) -> None:
        """Close what is idle, and the rest as it is answered."""
        self.draining, self._second = True, 0
        if self._looking:
            self._looking.cancel()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            await asyncio.wait([asyncio.create_task(self._empty.wait())], timeout=DRAIN_TIMEOUT)

    def _expire_overdue(self) -> None:
        now = time.monotonic()
        for connection in list(self.connections):
            connection.expire(now)
        self._looking = asyncio.get_running_loop().call_later(self.patience.look_every, self._expire_overdue)


class _Connection(asyncio.Protocol):
    __slots__ = (
        "_busy",
        "_fast_path",
        "_half_closed",
        "_last",
        "_reading_due",
        "_rest",
        "_route",
        "_serving",
        "_started",
        "_transport",
    )

    def __init__(self, fast_path: FastPath) -> None:
        self._fast_path = fast_path
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._busy = self._serving = self._half_closed = False
        self._route = PATH
        self._last = time.monotonic()
        self._started = 0.0
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._fast_path.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._is_read()
        self._fast_path.forget(self)

    def pause_writing(self) -> None:
        """Nobody reads the answers: make no more of them until somebody does, for as long as is patient."""
        if self._reading_due is None:
            self._reading_due = asyncio.get_running_loop().call_later(self._fast_path.patience.unread, self._not_read)

    def resume_writing(self) -> None:
        self._is_read()
        self._last = time.monotonic()
        if not self._serving:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        if self._held:
            self._rest += data
        else:
            self._serve(self._rest + data if self._rest else data, begins=not self._rest)
        if self._held and len(self._rest) > MOST and self._transport:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Whether the connection stays open: who sends nothing more may still wait for the answer that is due."""
        self._half_closed = self._held
        return self._half_closed

    @property
    def _held(self) -> bool:
        """Whether the next request has to wait: for the answer before it, or until answers are read."""
        return self._busy or self._reading_due is not None

    def _go_on(self) -> None:
        """Serve what came meanwhile, and read on unless there is enough of that already."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._rest and not self._held:
            self._serve(self._rest, begins=True)
        if self._transport and self._half_closed:
            self._close_after_last()
        elif self._transport and not (self._held and len(self._rest) > MOST):
            self._transport.resume_reading()

    def _serve(self, data: bytes, *, begins: bool) -> None:
        """Take request after request from what has come; `begins` is whether none of it had come before."""
        self._serving = True
        self._rest = data
        while self._rest and not self._held and self._transport:
            head = plain_head(self._rest)
            if head is None:
                self._hand_over()
                break
            end = head.size + head.length
            if len(self._rest) < end:
                if begins:
                    self._last = time.monotonic()
                break
            body = self._rest[head.size : end]
            if not self._fast_path.receiver.is_genuine(body, head.signature):
                self._hand_over()
                break
            self._rest = self._rest[end:]
            begins = True
            self._busy, self._route, self._started = True, head.route, time.perf_counter()
            self._fast_path.receiver.take(body, head.route, self._answered)
        self._serving = False

    def _answered(self, status: int) -> None:
        self._busy = False
        _count(self._route, status, time.perf_counter() - self._started)
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._last = time.monotonic()
        transport.write(self._fast_path.answer(status))
        if self._fast_path.draining:
            transport.close()
        elif (self._rest or self._half_closed) and not self._serving:
            self._go_on()

    def _close_after_last(self) -> None:
        """Close what its client has closed for its part, unless an answer is due; what is left will never be whole."""
        if self._transport and not self._held:
            self._transport.close()

    def _hand_over(self) -> None:
        """From here on the connection is aiohttp's."""
        transport, data = self._transport, self._rest
        self._transport, self._rest = None, b""
        self._fast_path.forget(self)
        if transport is None or transport.is_closing():
            return
        handler = cast(asyncio.Protocol, self._fast_path.server())
        transport.set_protocol(handler)
        handler.connection_made(transport)
        transport.resume_reading()
        handler.data_received(data)  # last, for it pauses reading where requests come faster than they are answered
        if self._half_closed and not handler.eof_received():
            transport.close()

    @property
    def has_part(self) -> bool:
        """Whether a part of a request has come and its rest has not."""
        return bool(self._rest)

    def drain(self) -> None:
        """Close now, or after the answer that is due; aiohttp waits for what has only come in part."""
        if self._rest and not self._held:
            self._hand_over()
        elif self._transport and not self._busy:
            self._transport.close()

    def expire(self, now: float) -> None:
        if self._held:
            return
        if self._rest and now - self._last > self._fast_path.patience.whole:
            self._answer_too_slow()
        elif now - self._last > KEEP_ALIVE and self._transport:
            self._transport.close()

    def _answer_too_slow(self) -> None:
        """The rest of a webhook has not come in its time."""
        if self._transport:
            head = plain_head(self._rest)
            _count(head.route if head else PATH, 408, self._fast_path.patience.whole)
            self._fast_path.receiver.note_slow()
            self._transport.write(self._fast_path.answer(408))
            self._transport.close()

    def _is_read(self) -> None:
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

    def _not_read(self) -> None:
        self._reading_due = None
        if self._transport:
            self._transport.abort()


STATUSES = (200, 408, 500, 503)
"""Those of the answers that are given here."""
_ROUTES = (PATH, OWN_PATH)
_COUNTERS = {(route, status): REQUESTS.labels("POST", route, status) for route in _ROUTES for status in STATUSES}
_SECONDS = {route: REQUEST_SECONDS.labels("POST", route) for route in _ROUTES}


def _count(route: str, status: int, seconds: float) -> None:
    _COUNTERS[route, status].inc()
    _SECONDS[route].observe(seconds)


def _parts(response: web.Response) -> tuple[bytes, bytes]:
    """A response's head without its date, and its body."""
    body = cast(bytes, response.body)
    response.headers.update(SAFE_HEADERS)  # as aiohttp's answers get them when they are prepared, which this is not
    lines = [
        f"HTTP/1.1 {response.status} {response.reason}",
        *(f"{name}: {each}" for name, each in response.headers.items()),
    ]
    if "Content-Length" not in response.headers:
        lines.append(f"Content-Length: {len(body)}")
    return "".join(f"{line}\r\n" for line in lines).encode(), body
