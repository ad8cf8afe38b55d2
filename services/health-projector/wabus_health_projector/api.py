"""GET /webhook/health, /detailed and /stream: is the caller's connection healthy, and if not, why?"""

from collections.abc import Callable
from datetime import UTC, datetime

import asyncpg
from aiohttp import web
from wabus_runtime.auth import authenticate
from wabus_runtime.http import json_response

from wabus_health_projector import answers, reading
from wabus_health_projector.lag import Lag
from wabus_health_projector.live import detailed_answer


class Api:
    """The handlers and what they share: the pool, which exists once the app has started, and the lag."""

    def __init__(self, pool: Callable[[], asyncpg.Pool], lag: Lag) -> None:
        self._pool = pool
        self._lag = lag

    def install(self, app: web.Application) -> None:
        app.router.add_get("/webhook/health", self.health)
        app.router.add_get("/webhook/health/detailed", self.detailed)

    async def health(self, request: web.Request) -> web.Response:
        """An organisation that never connected anything is `pending`, not an error."""
        caller = await authenticate(request)
        now = datetime.now(UTC)
        stored = await reading.organisation(self._pool(), caller.org_id, now)
        return json_response(answers.health(caller.org_id, stored, now))

    async def detailed(self, request: web.Request) -> web.Response:
        caller = await authenticate(request)
        now = datetime.now(UTC)
        answer, _ = await detailed_answer(self._pool(), self._lag, caller.org_id, now)
        return json_response(answer)
