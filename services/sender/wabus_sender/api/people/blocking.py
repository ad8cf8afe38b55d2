"""Whom a number blocks: asked for here, done by a worker, for nothing here opens a token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiohttp import web
from wabus_events import BlockRequested, fact_id
from wabus_runtime.http.answers import Problem, json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import preferred_wait, waited_for
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements

from wabus_sender.api import views
from wabus_sender.api.models import WhomRequest
from wabus_sender.api.wanted import known_person
from wabus_sender.tables.people import blocks


@dataclass(frozen=True)
class BlockingApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms
    announcements: Announcements

    async def block(self, request: web.Request) -> web.Response:
        """POST /messages/block"""
        return await self._ask(request, blocked=True)

    async def unblock(self, request: web.Request) -> web.Response:
        """POST /messages/unblock"""
        return await self._ask(request, blocked=False)

    async def _ask(self, request: web.Request, *, blocked: bool) -> web.Response:
        caller = await authorise(request)
        asked, now = await json_body(request, WhomRequest), datetime.now(UTC)
        person = await known_person(self.pool(), caller.org_id, asked)
        wanted = BlockRequested(
            id=fact_id(
                BlockRequested.type, caller.org_id, person.phone_number_id, person.value, int(blocked), now.isoformat()
            ),
            time=now,
            org_id=caller.org_id,
            waba_id=person.waba_id,
            phone_number_id=person.phone_number_id,
            wa_id=person.wa_id,
            user_id=person.user_id,
            blocks=blocked,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([wanted])
        wait = preferred_wait(request)
        row = await self._outcome(caller.org_id, wanted.id, wait) if wait else None
        if row is None:
            return json_response({"blocked": blocked, "state": "asked"}, 202, waited_for(wait))
        if row["state"] == "refused":
            refusal = views.refused(row["code"], "graph", row["error_code"])
            raise Problem(
                422, refusal["code"], "WhatsApp has not done it", refusal["message"], remedy=refusal["remedy"],
                error_code=row["error_code"],
            )  # fmt: skip
        return json_response({"blocked": blocked, "state": "done"}, 200, waited_for(wait))

    async def _outcome(self, org_id: str, request_id: str, wait: float) -> asyncpg.Record | None:
        found: list[asyncpg.Record] = []

        async def ended() -> bool:
            row = await blocks.state_of(self.pool(), org_id, request_id)
            if row is None or row["state"] == "asked":
                return False
            found.append(row)
            return True

        await self.announcements.until(ended, wait)
        return found[0] if found else None
