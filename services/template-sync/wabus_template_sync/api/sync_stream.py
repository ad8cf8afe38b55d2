"""GET /templates/sync/{sync_id}/stream: how one sync stands, as server-sent events, until it has ended.

Source: WHATWG HTML, "Server-sent events". The client may be a browser's `fetch`: it authenticates with a header.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web
from wabus_runtime.http.streams import EVENT_STREAM, HEARTBEAT, write
from wabus_runtime.postgres.announcements import Announcements

LIFETIME = 900.0  # seconds; whoever wants to know more comes back
STREAMS_PER_ORG = 20  # at a time, in one process

View = Mapping[str, Any]


async def stream(
    request: web.Request,
    announcements: Announcements,
    first: View,
    read: Callable[[], Awaitable[View]],
    expires_at: float,
) -> web.StreamResponse:
    """Send `first`, then what `read` gives whenever it is another; the last event of a sync has its outcome.

    It ends with the caller's token, at `expires_at` in Unix seconds.
    """
    response = web.StreamResponse(headers=EVENT_STREAM)
    clock = asyncio.get_running_loop().time
    newest, ends = first, clock() + min(LIFETIME, expires_at - time.time())

    async def moved() -> bool:
        nonlocal newest
        before, newest = newest, await read()
        return announcements.closing or newest != before

    # The client may have gone, or read nothing any more.
    with suppress(ConnectionError, TimeoutError):
        await response.prepare(request)
        await write(response, _event(newest))
        while newest["finished_at"] is None and clock() < ends and not announcements.closing:
            news = await announcements.until(moved, max(0.0, min(HEARTBEAT, ends - clock())))
            await write(response, _event(newest) if news else b": alive\n\n")
    return response


def _event(view: View) -> bytes:
    return b"event: sync\ndata: " + orjson.dumps(view, option=orjson.OPT_UTC_Z) + b"\n\n"
