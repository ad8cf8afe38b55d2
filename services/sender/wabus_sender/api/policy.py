"""What an organisation wants done with what can't be sent for a while."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiohttp import web
from wabus_runtime.http.answers import json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body

from wabus_sender.api.models import PolicyBody
from wabus_sender.tables import policies
from wabus_sender.tables.policies import Policy


@dataclass(frozen=True)
class PolicyApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]

    async def show(self, request: web.Request) -> web.Response:
        """GET /messages/policy"""
        caller = await authorise(request)
        return json_response((await policies.policy(self.pool(), caller.org_id))._asdict())

    async def choose(self, request: web.Request) -> web.Response:
        """PUT /messages/policy"""
        caller = await authorise(request)
        asked = await json_body(request, PolicyBody)
        chosen = Policy(asked.paused_template, asked.stopped_number, asked.country_rules)
        await policies.choose(self.pool(), caller.org_id, chosen, datetime.now(UTC))
        return json_response(asked)
