"""What an organisation is advised to do, and what it does not want to hear of."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
from aiohttp import web
from wabus_events import AdviceDismissed
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise, count_asked
from wabus_runtime.http.bodies import json_body
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher

from wabus_insights.api.planning.budgets import plain
from wabus_insights.api.planning.folded import folded
from wabus_insights.api.planning.models import AdvicePath, AdviceQuery, Dismissal
from wabus_insights.tables.planning import advice


@dataclass(frozen=True)
class AdviceApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms
    projection: str
    """The name of the fold that makes rows of what was dismissed."""

    async def show(self, request: web.Request) -> web.Response:
        """GET /advice"""
        caller = await authorise(request)
        asked = checked(AdviceQuery, query_of(request))
        pool = self.pool()
        rows = await advice.given(pool, caller.org_id, dismissed=asked.dismissed)
        return json_response(
            {
                "advice": [{**dict(row), "saving": plain(row["saving"])} for row in rows],
                **(await advice.standing(pool, caller.org_id))._asdict(),
            }
        )

    async def dismiss(self, request: web.Request) -> web.Response:
        """POST /advice/{advice_id}/dismiss"""
        caller = await authorise(request)
        count_asked(request, caller)
        advice_id = checked(AdvicePath, dict(request.match_info)).advice_id
        asked = await json_body(request, Dismissal)
        found = await advice.one(self.pool(), caller.org_id, advice_id)
        if found is None:
            raise Problem(404, "advice_not_found", "No such advice", "You were never given advice with this id.")
        event = AdviceDismissed(
            id=str(uuid4()),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            advice_id=advice_id,
            kind=found["kind"],
            dismissed=asked.dismissed,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        positions = await self.publisher.publish([event])
        done = await folded(self.pool(), self.projection, positions)
        return json_response({"advice_id": advice_id, "dismissed": asked.dismissed}, 200 if done else 202)
