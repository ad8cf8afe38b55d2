"""GET /webhook/health/stream: the detailed answer as server-sent events, whenever it changes."""

from aiohttp import web
from prometheus_client import Gauge
from wabus_runtime.http.answers import database_unavailable
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.streams import OpenStreams, event, no_more_streams, send_events

from wabus_health_projector.api.live import Live, digest_of

FIRST_WAIT = 5.0  # seconds for the first answer

STREAMS = Gauge("wabus_health_streams", "Live streams of health that are open.")


class Streams:
    """The handler, and the streams that this process has open; `most` are for one organisation."""

    def __init__(self, live: Live, most: int) -> None:
        self.live = live
        self._open = OpenStreams(most)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Until the client leaves, its token expires or the process ends; the last two are told by `event: end`."""
        caller = await authorise(request)
        if self.live.closing:
            raise no_more_streams()
        with self._open.admitted(caller.org_id, request), STREAMS.track_inprogress():
            async with self.live.follow(caller.org_id) as feed:
                if await feed.fresh(FIRST_WAIT) is None:
                    raise database_unavailable()
                known = digest_of(request.headers.get("Last-Event-ID", ""))

                async def next_event(timeout: float) -> bytes | None:
                    nonlocal known
                    newest = await feed.newer(known, timeout)
                    if newest is None:
                        return None
                    known = newest.digest
                    return event("health", newest.body, newest.id)

                return await send_events(
                    request, next_event, expires_at=caller.expires_at, closing=lambda: self.live.closing
                )
