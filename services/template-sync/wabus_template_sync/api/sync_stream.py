"""GET /templates/sync/{sync_id}/stream: how one sync stands, as server-sent events, until it has ended."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from wabus_runtime.http.streams import NextEvent, event
from wabus_runtime.postgres.announcements import Announcements

STREAMS_PER_ORG = 20  # at a time, in one process

View = Mapping[str, Any]


def sync_events(announcements: Announcements, first: View, read: Callable[[], Awaitable[View]]) -> NextEvent:
    """Give `first`, then what `read` gives whenever that has changed; the last event of a sync has its outcome."""
    sent: View | None = None
    newest = first

    async def moved() -> bool:
        nonlocal newest
        newest = await read()
        return newest != sent

    async def next_event(timeout: float) -> bytes | None:
        nonlocal sent
        if sent is not None and sent["finished_at"] is not None:
            raise StopAsyncIteration
        if sent is not None and not await announcements.until(moved, timeout):
            return None
        sent = newest
        return event("sync", orjson.dumps(sent, option=orjson.OPT_UTC_Z))

    return next_event
