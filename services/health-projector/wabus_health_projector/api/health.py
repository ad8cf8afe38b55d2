"""GET /webhook/health, /detailed and /stream: is the caller's connection healthy, and if not, why?"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aiohttp import web
from wabus_events import AccountCheckRequested, fact_id
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import authorise, count_asked
from wabus_runtime.http.headers import waited_for
from wabus_runtime.http.openapi import document
from wabus_runtime.http.paging import page_of
from wabus_runtime.http.streams import held
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.read_replica import Reads

from wabus_health_projector.api import models as answers
from wabus_health_projector.api.live import detailed_answer
from wabus_health_projector.api.routes import HealthQuery, HistoryQuery
from wabus_health_projector.tables import history, reading
from wabus_health_projector.worker.lag import Lag


class Api:
    """The handlers and what they share: the databases, which exist once the app has started, and the lag."""

    def __init__(
        self,
        reads: Callable[[], Reads],
        lag: Lag,
        announcements: Announcements,
        publisher: Publisher,
        pseudonyms: Pseudonyms,
        reconcile_every: timedelta,
    ) -> None:
        self._reads = reads
        self._reconcile_every = reconcile_every
        self._lag = lag
        self._announcements = announcements
        self._publisher = publisher
        self._pseudonyms = pseudonyms

    def install(self, app: web.Application) -> None:
        app.router.add_get("/webhook/health", self.health)
        app.router.add_get("/webhook/health/detailed", self.detailed)
        app.router.add_get("/webhook/health/history", self.history)
        app.router.add_post("/webhook/health/check", self.check)
        document(app)

    async def health(self, request: web.Request) -> web.Response:
        """An organisation that never connected anything is `pending`, not an error.

        With `sync_id` and `Prefer: wait` the answer waits until it has the outcome of those syncs.
        """
        caller = await authorise(request)
        sync_ids = checked(HealthQuery, {"sync_id": request.query.getall("sync_id", [])}).sync_id
        answer = await self._health(caller.org_id, sync_ids)
        if not sync_ids:
            return json_response(answer)

        async def complete() -> bool:
            nonlocal answer
            answer = await self._health(caller.org_id, sync_ids)
            return not answer.awaiting

        with held(request, caller.org_id) as wait:
            if wait and answer.awaiting:
                await self._announcements.until(complete, wait, subject=caller.org_id)
        return json_response(answer, headers=waited_for(wait))

    async def _health(self, org_id: str, sync_ids: Sequence[str]) -> answers.Health:
        now = datetime.now(UTC)
        found = await self._reads().ask(lambda pool: reading.organisation(pool, org_id, now))
        return answers.health(org_id, found, now, sync_ids, reconcile_every=self._reconcile_every)

    async def detailed(self, request: web.Request) -> web.Response:
        caller = await authorise(request)
        now = datetime.now(UTC)
        answer, _ = await self._reads().ask(
            lambda pool: detailed_answer(pool, self._lag, caller.org_id, now, self._reconcile_every)
        )
        return json_response(answer)

    async def history(self, request: web.Request) -> web.Response:
        """When it turned red, and why, and when green again: the newest change first, page by page."""
        caller = await authorise(request)
        asked = checked(HistoryQuery, query_of(request))
        found = await self._reads().ask(
            lambda pool: history.changes(pool, caller.org_id, asked.before, asked.limit + 1)
        )
        page, last = page_of(found, asked.limit)
        return json_response({"changes": [each.answer() for each in page], "next": last and last.log_offset})

    async def check(self, request: web.Request) -> web.Response:
        """Have all accounts of the organisation compared with Meta now; with `Prefer: wait` wait for that."""
        caller = await authorise(request)
        count_asked(request, caller)
        waba_ids = await reading.connected_wabas(self._reads().primary, caller.org_id)
        if not waba_ids:
            raise Problem(
                404, "no_account_connected", "Nothing to check", "No WhatsApp account is connected. Connect one first."
            )
        now = datetime.now(UTC)
        check_id = str(uuid4())
        requested_by = await self._pseudonyms.of(caller.org_id, caller.subject)
        requests = [
            AccountCheckRequested(
                id=fact_id(AccountCheckRequested.type, check_id, waba_id),
                time=now,
                org_id=caller.org_id,
                waba_id=waba_id,
                check_id=check_id,
                requested_by=requested_by,
            )
            for waba_id in waba_ids
        ]
        await self._publisher.publish(requests)

        async def checked() -> bool:
            return await reading.count_checked(self._reads().primary, waba_ids, now) == len(waba_ids)

        with held(request, caller.org_id) as wait:
            done = bool(wait) and await self._announcements.until(checked, wait or 0, subject=caller.org_id)
        headers = waited_for(wait)
        content = {"check_id": check_id, "waba_ids": waba_ids, "status": "checked" if done else "checking"}
        return json_response(content, 200 if done else 202, headers)
