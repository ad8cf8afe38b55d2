"""Who wants no marketing, told by the platform, and the words by which people tell it themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from aiohttp import web
from wabus_events import OptedIn, OptedOut, fact_id
from wabus_runtime.http.answers import json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher

from wabus_sender.api.models import WhomRequest, WordsBody
from wabus_sender.api.wanted import invalid, known_person
from wabus_sender.sending.people.opting import DEFAULT, plain
from wabus_sender.tables.people import opt_outs


@dataclass(frozen=True)
class OptingApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms

    async def opt_out(self, request: web.Request) -> web.Response:
        """POST /messages/opt-out"""
        return await self._choose(request, OptedOut)

    async def opt_in(self, request: web.Request) -> web.Response:
        """POST /messages/opt-in"""
        return await self._choose(request, OptedIn)

    async def words(self, request: web.Request) -> web.Response:
        """GET /messages/keywords"""
        caller = await authorise(request)
        stop, start = await opt_outs.words(self.pool(), caller.org_id) or (sorted(DEFAULT.stop), sorted(DEFAULT.start))
        return json_response({"stop": stop, "start": start})

    async def set_words(self, request: web.Request) -> web.Response:
        """PUT /messages/keywords"""
        caller = await authorise(request)
        asked = await json_body(request, WordsBody)
        if wrong := [name for name in ("stop", "start") if not all(map(plain, getattr(asked, name)))]:
            raise invalid(*wrong)
        await opt_outs.set_words(self.pool(), caller.org_id, asked.stop, asked.start, datetime.now(UTC))
        return json_response(asked)

    async def _choose(self, request: web.Request, kind: type[OptedOut | OptedIn]) -> web.Response:
        caller = await authorise(request)
        asked, now = await json_body(request, WhomRequest), datetime.now(UTC)
        person = await known_person(self.pool(), caller.org_id, asked)
        chosen = kind(
            id=fact_id(kind.type, caller.org_id, person.phone_number_id, person.value, now.isoformat()),
            time=now,
            org_id=caller.org_id,
            waba_id=person.waba_id,
            phone_number_id=person.phone_number_id,
            wa_id=person.wa_id,
            user_id=person.user_id,
            by="api",
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([chosen])
        return json_response({"opted_out": kind is OptedOut}, 202)
