"""How the syncs stand, and a sync now: for client applications and for people, of their own organisation only."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

import asyncpg
from aiohttp import web
from wabus_events import TemplateSyncRequested, fact_id
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import Caller, authorise, count_asked
from wabus_runtime.http.headers import idempotency_key, waited_for
from wabus_runtime.http.streams import OpenStreams, held, send_events
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.read_replica import Reads
from wabus_whatsapp.templates.parse import APPROVED

from wabus_template_sync.api.models import LISTED_IDS, Overall, StatusQuery, SyncBody, SyncPath
from wabus_template_sync.api.sync_stream import sync_events
from wabus_template_sync.tables import reads as queries
from wabus_template_sync.templates.schedule import Schedule, due

VISIBLE_WAIT = 2.0  # seconds for a sync just asked for to show in the answers
JOIN_WINDOW = timedelta(minutes=15)  # a sync asked for longer ago than this is no reason to refuse a new one


@dataclass(frozen=True)
class SyncApi:
    """What the handlers need; they are its methods."""

    reads: Reads
    publisher: Publisher
    pseudonyms: Pseudonyms
    announcements: Announcements
    asking: WeakValueDictionary[str, asyncio.Lock]
    streams: OpenStreams
    interval: timedelta
    """Between two comparisons of an account's templates with Meta's; 0 where there are none."""

    async def status(self, request: web.Request) -> web.Response:
        """GET /templates/status"""
        caller = await authorise(request)
        given = {**query_of(request), "sync_id": request.query.getall("sync_id", [])}
        sync_ids = checked(StatusQuery, given).sync_id
        if not sync_ids:
            return json_response(await self._status(caller))
        rows = await self._rows(caller, sync_ids)
        if not rows:
            raise _unknown_sync()
        return json_response(_syncs(rows))

    async def one_sync(self, request: web.Request) -> web.Response:
        """GET /templates/sync/{sync_id}"""
        caller = await authorise(request)
        return json_response(await self._one_sync(caller, _sync_id(request)))

    async def sync_stream(self, request: web.Request) -> web.StreamResponse:
        """GET /templates/sync/{sync_id}/stream"""
        caller = await authorise(request)
        sync_id = _sync_id(request)
        with self.streams.admitted(caller.org_id, request):
            first = await self._one_sync(caller, sync_id)
            following = sync_events(self.announcements, first, lambda: self._one_sync(caller, sync_id))
            return await send_events(
                request, following, expires_at=caller.expires_at, closing=lambda: self.announcements.closing
            )

    async def _one_sync(self, caller: Caller, sync_id: str) -> dict[str, Any]:
        rows = await self._rows(caller, [sync_id])
        if not rows:
            raise _unknown_sync()
        return _syncs(rows)["syncs"][0]

    async def sync(self, request: web.Request) -> web.Response:
        """POST /templates/sync"""
        caller = await authorise(request)
        count_asked(request, caller)
        asked = await bodies.json_body(request, SyncBody)
        key = idempotency_key(request)
        async with self.asking.setdefault(caller.org_id, asyncio.Lock()):
            sync_ids = await self._ask(caller, asked.waba_id, key)
        with held(request, caller.org_id) as wait:
            if wait:
                await self.announcements.until(lambda: self._all_ended(sync_ids), wait)
        headers = waited_for(wait)
        rows = await self._rows(caller, sync_ids)
        content = _syncs(rows)
        if rows and wait and all(row["finished_at"] for row in rows):
            return json_response(content, headers=headers)
        address = "/templates/status"
        if len(sync_ids) <= LISTED_IDS:
            address += "?" + "&".join(f"sync_id={sync_id}" for sync_id in sync_ids)
        accepted = {**content, "status": "syncing", "sync_ids": sync_ids, "status_url": address}
        return json_response(accepted, 202, {**headers, "Location": address})

    async def _ask(self, caller: Caller, waba_id: str | None, key: str | None) -> list[str]:
        """Ask for a sync of each WABA that is not about to be synced anyway; the ids of these and of those.

        With a key, what was asked for with it before is what it was, whatever became of it since.
        """
        # What to publish is decided by what the primary has.
        accounts = await queries.connected_accounts(self.reads.primary, caller.org_id, waba_id)
        if not accounts:
            raise Problem(
                404,
                "no_account_connected",
                "Nothing to sync",
                "No WhatsApp account is connected to your organisation. Connect one first, then sync its templates."
                if waba_id is None
                else "This WhatsApp account is not connected to your organisation.",
            )
        now = datetime.now(UTC)
        requests = {row["waba_id"]: _request_id(caller, row["waba_id"], key) for row in accounts}
        known = await queries.syncs_asked_for(self.reads.primary, list(requests.values())) if key else {}
        requested_by = await self.pseudonyms.of(caller.org_id, caller.subject)
        found: list[str] = []
        events: list[TemplateSyncRequested] = []
        for row in accounts:
            request_id = requests[row["waba_id"]]
            pending = row["status"] in ("requested", "syncing") and row["asked_at"] > now - JOIN_WINDOW
            sync_id = known.get(request_id) or (row["sync_id"] if pending else fact_id("sync", request_id))
            found.append(sync_id)
            if request_id not in known and (key or not pending):
                about: dict[str, Any] = {"org_id": caller.org_id, "waba_id": row["waba_id"], "time": now}
                events.append(
                    TemplateSyncRequested(
                        id=request_id, sync_id=sync_id, reason="manual", requested_by=requested_by, **about
                    )
                )
        if events:
            await self.publisher.publish(events)
            await self.announcements.until(lambda: self._all_known(caller, events, key), VISIBLE_WAIT)
        return found

    async def _all_known(self, caller: Caller, events: Sequence[TemplateSyncRequested], key: str | None) -> bool:
        if key:
            ids = [event.id for event in events]
            return len(await self.reads.ask(lambda pool: queries.syncs_asked_for(pool, ids))) == len(ids)
        sync_ids = [event.sync_id for event in events]
        return len(await self._rows(caller, sync_ids)) == len(sync_ids)

    async def _all_ended(self, sync_ids: list[str]) -> bool:
        return await self.reads.ask(lambda pool: queries.count_finished(pool, sync_ids)) == len(sync_ids)

    async def _rows(self, caller: Caller, sync_ids: list[str]) -> list[asyncpg.Record]:
        return await self.reads.ask(lambda pool: queries.syncs(pool, caller.org_id, sync_ids))

    async def _status(self, caller: Caller) -> dict[str, Any]:
        async def question(pool: asyncpg.Pool) -> tuple[list[asyncpg.Record], dict[str, dict[str, int]]]:
            accounts = await queries.connected_accounts(pool, caller.org_id)
            return accounts, await queries.status_counts(pool, caller.org_id, [row["waba_id"] for row in accounts])

        accounts, numbers = await self.reads.ask(question)
        answers = [_account(row, numbers[row["waba_id"]], self.interval) for row in accounts]
        errors = [answer["last_error"] for answer in answers if answer["last_error"]]
        in_all: Counter[str] = sum((Counter(by_status) for by_status in numbers.values()), Counter())
        return {
            "status": overall([answer["status"] for answer in answers]),
            "last_sync_at": max((row["last_sync_at"] for row in accounts if row["last_sync_at"]), default=None),
            **_counts(dict(sorted(in_all.items()))),
            "last_error": max(errors, key=lambda error: error["at"], default=None),
            "accounts": answers,
        }


def overall(statuses: Sequence[str]) -> Overall:
    """How an organisation stands: still at it, else the worst of its WABAs."""
    for status in ("syncing", "failed", "synced"):
        if status in statuses:
            return status
    return "never"


def _request_id(caller: Caller, waba_id: str, key: str | None) -> str:
    return fact_id(TemplateSyncRequested.type, caller.org_id, waba_id, "asked", key or str(uuid4()))


def _sync_id(request: web.Request) -> str:
    return checked(SyncPath, dict(request.match_info)).sync_id


def _unknown_sync() -> Problem:
    return Problem(404, "sync_not_found", "No such sync", "There is no sync of yours with this id.")


def _account(row: asyncpg.Record, by_status: dict[str, int], interval: timedelta) -> dict[str, Any]:
    return {
        "waba_id": row["waba_id"],
        "status": "syncing" if row["status"] == "requested" else row["status"],
        "sync_id": row["sync_id"],
        "last_sync_at": row["last_sync_at"],
        **_counts(by_status),
        "last_error": {**row["last_error"], "at": row["last_error_at"]} if row["last_error"] else None,
        "next_try_at": _next_try(row, interval),
        "progress": _progress(row),
    }


def _next_try(row: asyncpg.Record, interval: timedelta) -> datetime | None:
    """When a sync that failed, and may succeed another time, is asked for again by itself."""
    if row["status"] != "failed" or not row["retryable"] or not interval:
        return None
    schedule = Schedule(
        waba_id=row["waba_id"],
        asked_at=row["schedule_asked_at"],
        asked_sync_id=row["asked_sync_id"],
        ended_at=row["ended_at"],
        ended_sync_id=row["ended_sync_id"],
        failures=row["failures"],
        retryable=row["retryable"],
        retry_at=row["retry_at"],
    )
    return due(schedule, row["connected_at"], interval).at


def _progress(row: asyncpg.Record) -> dict[str, Any] | None:
    if row["status"] != "syncing" or not row["progress"]:
        return None
    return {name: row["progress"][name] for name in ("fetched", "expected")}


def _counts(by_status: dict[str, int]) -> dict[str, Any]:
    return {"total": sum(by_status.values()), "approved": by_status.get(APPROVED, 0), "by_status": by_status}


def _syncs(rows: Sequence[asyncpg.Record]) -> dict[str, Any]:
    """Some syncs, and how they stand together."""
    answers = [
        {
            **{column: row[column] for column in ("sync_id", "waba_id", "reason", "status")},
            **{column: row[column] for column in ("asked_at", "started_at", "finished_at")},
            **row["figures"],
            "error": row["error"] or None,
            "progress": _progress(row),
        }
        for row in rows
    ]
    statuses = ["syncing" if row["status"] == "requested" else row["status"] for row in rows]
    alone = {"sync_id": rows[0]["sync_id"]} if len(rows) == 1 else {}
    return {"status": overall(statuses), **alone, "syncs": answers}
