"""Server-sent events: how a stream is written, and those that a process has open, in all and of one organisation.

Source: WHATWG HTML, "Server-sent events". The client may be a browser's `fetch`: it authenticates with a header.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from itertools import chain

from aiohttp import web

from wabus_runtime.http.answers import Problem

STREAMS_MAX = 2000  # in one process
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
    response = web.StreamResponse(headers=EVENT_STREAM)
    clock = asyncio.get_running_loop().time
    ends = clock() + expires_at - time.time()
    # The client may have gone, or read nothing any more.
    with suppress(ConnectionError, TimeoutError, StopAsyncIteration):
        await response.prepare(request)
        # After a restart not every client shall come back in the same instant.
        await _write(response, f"retry: {random.randint(1000, 3000)}\n\n".encode())  # noqa: S311
        beat = clock()
        while not closing() and clock() < ends:
            sent = await next_event(max(0.0, min(beat + HEARTBEAT, ends) - clock()))
            if sent is not None or clock() - beat >= HEARTBEAT:
                await _write(response, sent or b": alive\n\n")
                beat = clock()
        await _write(response, event("end", b'{"reason":"%s"}' % (b"shutting_down" if closing() else b"token_expired")))
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
    """The streams of one kind, by organisation; `most` are for one of these."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, list[web.Request]] = {}

    @contextmanager
    def admitted(self, org_id: str, request: web.Request) -> Generator[None]:
        """Count a stream while it is open. Raises a problem when there are too many.

        One whose client has left no longer counts, though it ends with its next heartbeat only; but an organisation
        that comes and goes all the time shall not fill the process with those.
        """
        of_all, ours = list(chain.from_iterable(self._open.values())), self._open.get(org_id, [])
        if sum(map(_is_alive, of_all)) >= STREAMS_MAX:
            raise no_more_streams()
        if sum(map(_is_alive, ours)) >= self._most or len(ours) >= LEAVING * self._most:
            raise Problem(
                429,
                "too_many_streams",
                "Too many live streams",
                f"Your organisation has {self._most} live streams open. Close one, or ask now and then instead.",
                headers={"Retry-After": "30"},
            )
        mine = self._open.setdefault(org_id, [])
        mine.append(request)
        try:
            yield
        finally:
            mine.remove(request)
            if not mine:
                self._open.pop(org_id, None)


def _is_alive(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def no_more_streams() -> Problem:
    """This process can't open another one now."""
    return Problem(
        503,
        "too_many_streams",
        "Temporarily unavailable",
        "No more live streams can be opened here right now. Please try again in a moment.",
        headers={"Retry-After": "5"},
    )
