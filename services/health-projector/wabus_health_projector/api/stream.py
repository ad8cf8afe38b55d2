"""GET /webhook/health/stream: the detailed answer as server-sent events, whenever it changes.

Source: WHATWG HTML, "Server-sent events". The client may be a browser's `fetch`: it authenticates with a header.
"""

import asyncio
import random
import time
from contextlib import suppress

from aiohttp import web
from prometheus_client import Gauge
from wabus_runtime.http.answers import Problem
from wabus_runtime.http.auth import authenticate
from wabus_runtime.http.streams import EVENT_STREAM, HEARTBEAT, OpenStreams, no_more_streams, write

from wabus_health_projector.api.live import Feed, Live, Snapshot, digest_of

FIRST_WAIT = 5.0  # seconds for the first answer

STREAMS = Gauge("wabus_health_streams", "Live streams of health that are open.")


class Streams:
    """The handler, and the streams that this process has open; `most` are for one organisation."""

    def __init__(self, live: Live, most: int) -> None:
        self.live = live
        self._open = OpenStreams(most)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Until the client leaves, its token expires or the process ends; the last two are told by `event: end`."""
        caller = await authenticate(request)
        if self.live.closing:
            raise no_more_streams()
        with self._open.admitted(caller.org_id, request), STREAMS.track_inprogress():
            async with self.live.follow(caller.org_id) as feed:
                if await feed.fresh(FIRST_WAIT) is None:
                    raise Problem(
                        503,
                        "database_unavailable",
                        "Temporarily unavailable",
                        "The data can't be read right now. Please try again in a moment.",
                        headers={"Retry-After": "2"},
                    )
                response = web.StreamResponse(headers=EVENT_STREAM)
                lifetime = caller.expires_at - time.time()
                # The client may have gone, or read nothing any more: it comes back with the id it has seen last.
                with suppress(ConnectionError, TimeoutError):
                    await response.prepare(request)
                    await self._send(response, feed, digest_of(request.headers.get("Last-Event-ID", "")), lifetime)
                return response

    async def _send(self, response: web.StreamResponse, feed: Feed, known: str, lifetime: float) -> None:
        """Send every answer newer than the `known` one for `lifetime` seconds."""
        clock = asyncio.get_running_loop().time
        ends, beat = clock() + lifetime, clock()
        # After a restart not every client shall come back in the same instant.
        await write(response, f"retry: {random.randint(1000, 3000)}\n\n".encode())  # noqa: S311
        while not self.live.closing and clock() < ends:
            newest = feed.newest
            if newest is not None and newest.digest != known:
                await write(response, _event(newest))
                known, beat = newest.digest, clock()
            elif clock() - beat >= HEARTBEAT:
                await write(response, b": alive\n\n")
                beat = clock()
            if feed.newest is newest and not self.live.closing:
                await feed.news(min(beat + HEARTBEAT, ends) - clock())
        reason = "shutting_down" if self.live.closing else "token_expired"
        await write(response, f'event: end\ndata: {{"reason":"{reason}"}}\n\n'.encode())


def _event(newest: Snapshot) -> bytes:
    return b"id: " + newest.id.encode() + b"\nevent: health\ndata: " + newest.body + b"\n\n"
