"""Live streams that are left: whoever opens and leaves them again and again takes no room of others."""

import asyncio
import time

from aiohttp import ClientSession, web
from wabus_runtime.http.streams import HEARTBEAT, OpenStreams, send_events
from wabus_runtime.service.process import build_app, serving
from waiting import Eventually


async def test_an_organisation_that_comes_and_goes_leaves_room_for_the_others(eventually: Eventually) -> None:
    open_streams = OpenStreams(2, most_of_all=6)

    async def nothing(timeout: float) -> bytes | None:
        await asyncio.sleep(timeout)
        return None

    async def stream(request: web.Request) -> web.StreamResponse:
        with open_streams.admitted(request.query["org"], request):
            return await send_events(request, nothing, expires_at=time.time() + 60, closing=lambda: False)

    app = build_app([])
    app.router.add_get("/stream", stream)
    # Served as processes are: there nobody ends a handler whose client has left.
    async with serving(app, "127.0.0.1", 0) as (port,), ClientSession(f"http://127.0.0.1:{port}") as client:

        async def come_and_go(org: str) -> int:
            async with client.get("/stream", params={"org": org}) as answer:
                answer.close()
                return answer.status

        async def refused() -> bool:
            return [await come_and_go("greedy") for _ in range(3)] == [429] * 3

        async def admitted() -> bool:
            return await come_and_go("another") == 200

        async with asyncio.timeout(HEARTBEAT - 3):  # until the first of them ends by itself
            await eventually(refused)
            await eventually(admitted)
