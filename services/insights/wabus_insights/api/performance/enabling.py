"""Somebody wants Meta itself to count what an account's templates achieve: it can't be undone, so it is confirmed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
from aiohttp import web
from wabus_events import TemplateInsightsRequested
from wabus_runtime.http.answers import Problem, json_response
from wabus_runtime.http.auth import authorise, count_asked
from wabus_runtime.http.bodies import json_body
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher

from wabus_insights.api.performance.models import EnableRequest
from wabus_insights.tables.performance import insights


@dataclass(frozen=True)
class EnablingApi:
    """What the handler needs; it is its method."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms

    async def enable(self, request: web.Request) -> web.Response:
        """POST /performance/enable"""
        caller = await authorise(request)
        count_asked(request, caller)
        asked = await json_body(request, EnableRequest)
        state = await insights.state(self.pool(), caller.org_id, asked.waba_id)
        if state is None:
            raise Problem(404, "account_not_found", "Unknown account", "No such account of yours is connected.")
        if state == "unavailable":
            raise Problem(
                409,
                "insights_unavailable",
                "Meta counts nothing there",
                "For accounts of the European Union, the United Kingdom and Japan Meta counts nothing; we do.",
            )
        if state == "on":
            return json_response({"waba_id": asked.waba_id, "status": "on"})
        if not asked.confirm:
            raise Problem(
                409,
                "confirmation_needed",
                "This can't be undone",
                "Once Meta counts it can't be told to stop. Send `confirm: true` if you want that.",
            )
        wanted = TemplateInsightsRequested(
            id=str(uuid4()),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            waba_id=asked.waba_id,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([wanted])
        return json_response({"waba_id": asked.waba_id, "status": "asked"}, 202)
