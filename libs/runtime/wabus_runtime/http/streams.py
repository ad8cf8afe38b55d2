"""Server-sent events: how a stream is written, and those that a process has open, in all and of one organisation.

Requests that are held until something has happened (`Prefer: wait`) are bounded in the same way.

Source: WHATWG HTML, "Server-sent events". The client may be a browser's `fetch`: it authenticates with a header.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from itertools import chain

from aiohttp import HttpVersion11, web

from wabus_runtime.http.answers import Problem
from wabus_runtime.http.headers import preferred_wait

STREAMS_MAX = 2000  # in one process
HELD_MOST = 50  # requests of one organisation that are held at a time, in one process
LEAVING = 5  # times as many as may be open may not have ended yet
HEARTBEAT = 15.0  # seconds without an event until a comment shows that both ends are alive
WRITE_TIMEOUT = 30.0  # seconds that a client may not read anything

EVENT_STREAM = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "private, no-store",
    "X-Accel-Buffering": "no",
}
"""The headers of a stream; the last one is for nginx."""

NextEvent = Callable[[float], Awaitable[bytes | None]]
"""Gives the next event, or None where there is none yet after so many seconds, or sooner.

Raises StopAsyncIteration after the last one.
"""


async def send_events(
    request: web.Request, next_event: NextEvent, *, expires_at: float, closing: Callable[[], bool]
) -> web.StreamResponse:
    """Send every event, until the client leaves or the last one, or the token expires or the process ends.

    `expires_at` is in Unix seconds. The last two are told by `event: end`.
    """
    clock = asyncio.get_running_loop().time
    ends = clock() + expires_at - time.time()

    async def send(response: web.StreamResponse) -> None:
        beat = clock()
        with suppress(StopAsyncIteration):
            while not closing() and clock() < ends:
                sent = await next_event(max(0.0, min(beat + HEARTBEAT, ends) - clock()))
                if sent is not None or clock() - beat >= HEARTBEAT:
                    await _write(response, sent or b": alive\n\n")
                    beat = clock()
            reason = b"shutting_down" if closing() else b"token_expired"
            await _write(response, event("end", b'{"reason":"%s"}' % reason))

    # After a restart not every client shall come back in the same instant.
    return await stream(request, send, retry_ms=random.randint(1000, 3000))  # noqa: S311


async def stream(
    request: web.Request, send: Callable[[web.StreamResponse], Awaitable[None]], *, retry_ms: int
) -> web.StreamResponse:
    """Begin a stream and let `send` write to it; it ends where that does, or the client has gone or reads nothing.

    The client is told after how long it shall come back if it is cut off, and gets that together with the headers.
    """
    response = web.StreamResponse(headers=EVENT_STREAM)
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    with suppress(ConnectionError, TimeoutError):
        await response.prepare(request)
        await _write(response, f"retry: {retry_ms}\n\n".encode())
        await send(response)
    return response


def event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """An event as it is sent; `data` is JSON in one line. Pure."""
    identity = "" if event_id is None else f"id: {event_id}\n"
    return f"{identity}event: {name}\ndata: ".encode() + data + b"\n\n"


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    """Raises TimeoutError where the client has read nothing for `WRITE_TIMEOUT`."""
    async with asyncio.timeout(WRITE_TIMEOUT):
        await response.write(chunk)


class OpenStreams:
    """The streams of one kind, by organisation: `most` are for one of these, `most_of_all` for all together."""

    def __init__(self, most: int, most_of_all: int = STREAMS_MAX) -> None:
        self._most = most
        self._most_of_all = most_of_all
        self._open: dict[str, list[web.Request]] = {}
        self._number = 0

    @contextmanager
    def admitted(self, org_id: str, request: web.Request) -> Generator[None]:
        """Count a stream while it is open. Raises a problem when there are too many.

        One whose client has left no longer counts, though it ends with its next heartbeat only; but an organisation
        that comes and goes all the time shall not fill the process with those.
        """
        # Who is alive is looked at only where it matters: after a restart thousands come at once.
        ours = self._open.get(org_id, [])
        if self._number >= self._most_of_all and _alive(chain.from_iterable(self._open.values())) >= self._most_of_all:
            raise no_more_streams()
        if len(ours) >= self._most and (_alive(ours) >= self._most or len(ours) >= LEAVING * self._most):
            raise Problem(
                429,
                "too_many_streams",
                "Too many live streams",
                f"Your organisation has {self._most} live streams open. Close one, or ask now and then instead.",
                headers={"Retry-After": "30"},
            )
        mine = self._open.setdefault(org_id, [])
        mine.append(request)
        self._number += 1
        try:
            yield
        finally:
            self._number -= 1
            mine.remove(request)
            if not mine:
                self._open.pop(org_id, None)


_held: Counter[str] = Counter()
"""Requests that are held now, by organisation."""


@contextmanager
def held(request: web.Request, org_id: str) -> Generator[int | None]:
    """Seconds for which a request may be held, as its client prefers; None if it says nothing.

    None too where as many of its organisation are held as may be: a preference can be ignored (RFC 7240, section 2),
    and each that is held asks the database again whenever something happens.
    """
    wait = preferred_wait(request)
    if wait is None or _held[org_id] >= HELD_MOST:
        yield None
        return
    _held[org_id] += 1
    try:
        yield wait
    finally:
        _held[org_id] -= 1
        if not _held[org_id]:
            del _held[org_id]


def _alive(requests: Iterable[web.Request]) -> int:
    return sum(request.transport is not None and not request.transport.is_closing() for request in requests)


def no_more_streams() -> Problem:
    """This process can't open another one now."""
    return Problem(
        503,
        "too_many_streams",
        "Temporarily unavailable",
        "No more live streams can be opened here right now. Please try again in a moment.",
        headers={"Retry-After": "5"},
    )
