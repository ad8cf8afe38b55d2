"""What client applications and people ask for: the templates, how the syncs stand, and a sync now.

Everything is limited to the organisation in the caller's token.
"""

import asyncio
import base64
import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, cast
from uuid import uuid4
from weakref import WeakValueDictionary

import asyncpg
import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from wabus_events import Template, TemplateSyncRequested, fact_id
from wabus_runtime.auth import Caller, authenticate, require_admin
from wabus_runtime.http import Problem, json_response
from wabus_runtime.publisher import Publisher

from wabus_template_sync import queries
from wabus_template_sync.announcements import Announcements
from wabus_template_sync.templates import APPROVED, dump_template

MAX_WAIT = 30  # seconds that `Prefer: wait` can hold a request
VISIBLE_WAIT = 2.0  # seconds for a sync just asked for to show in the answers
JOIN_WINDOW = timedelta(minutes=15)  # a sync asked for longer ago than this is no reason to refuse a new one
LISTED_IDS = 20  # sync ids that an address can carry

_PREFER_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:$|[,;])', re.IGNORECASE)

Overall = Literal["never", "syncing", "synced", "failed"]
Text = Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True)
class Api:
    """What the handlers need; they are its methods."""

    pool: asyncpg.Pool
    publisher: Publisher
    announcements: Announcements
    asking: WeakValueDictionary[str, asyncio.Lock]

    async def list_templates(self, request: web.Request) -> web.Response:
        """GET /templates"""
        caller = await authenticate(request)
        asked = ListQuery.model_validate(dict(request.query))
        wanted = queries.Wanted(
            org_id=caller.org_id,
            statuses=_statuses(asked.status),
            waba_id=asked.waba_id,
            language=asked.language,
            category=asked.category.upper() if asked.category else None,
            name=asked.name,
            after=_place(asked.after) if asked.after else None,
            limit=asked.limit,
        )
        total = await queries.count_templates(self.pool, wanted)
        rows = await queries.list_templates(self.pool, wanted)
        page = rows[: asked.limit]
        more = len(rows) > asked.limit
        content = {
            "templates": [_template(row) for row in page],
            "total": total,
            "next": _cursor(page[-1]) if more else None,
        }
        return _tagged(request, content)

    async def status(self, request: web.Request) -> web.Response:
        """GET /templates/status"""
        caller = await authenticate(request)
        sync_ids = TypeAdapter(list[Text]).validate_python(request.query.getall("sync_id", []))[:LISTED_IDS]
        if not sync_ids:
            return json_response(await self._status(caller))
        rows = await queries.syncs(self.pool, caller.org_id, sync_ids)
        if not rows:
            raise Problem(404, "sync_not_found", "No such sync", "There is no sync of yours with this id.")
        return json_response(_syncs(rows))

    async def sync(self, request: web.Request) -> web.Response:
        """POST /templates/sync"""
        caller = await require_admin(request)
        asked = await _sync_body(request)
        wait = preferred_wait(request.headers.getall("Prefer", []))
        async with self.asking.setdefault(caller.org_id, asyncio.Lock()):
            sync_ids = await self._ask(caller, asked.waba_id)
        headers = {"Preference-Applied": f"wait={wait}"} if wait is not None else {}
        if wait:
            await self.announcements.until(lambda: self._all_ended(sync_ids), wait)
        rows = await queries.syncs(self.pool, caller.org_id, sync_ids)
        content = _syncs(rows)
        if rows and wait and all(row["finished_at"] for row in rows):
            return json_response(content, headers=headers)
        address = "/templates/status"
        if len(sync_ids) <= LISTED_IDS:
            address += "?" + "&".join(f"sync_id={sync_id}" for sync_id in sync_ids)
        accepted = {**content, "status": "syncing", "sync_ids": sync_ids, "status_url": address}
        return json_response(accepted, 202, {**headers, "Location": address})

    async def _ask(self, caller: Caller, waba_id: str | None) -> list[str]:
        """Ask for a sync of each WABA that is not about to be synced anyway; the ids of these and of those."""
        accounts = await queries.connected_accounts(self.pool, caller.org_id, waba_id)
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
        pending = {
            row["waba_id"]: row["sync_id"]
            for row in accounts
            if row["status"] in ("requested", "syncing") and row["asked_at"] > now - JOIN_WINDOW
        }
        requests = [
            _request(caller, row["waba_id"], str(uuid4()), now) for row in accounts if row["waba_id"] not in pending
        ]
        asked = [request.sync_id for request in requests]
        if requests:
            await self.publisher.publish(requests)
            await self.announcements.until(lambda: self._all_known(caller, asked), VISIBLE_WAIT)
        return [*pending.values(), *asked]

    async def _all_known(self, caller: Caller, sync_ids: list[str]) -> bool:
        return len(await queries.syncs(self.pool, caller.org_id, sync_ids)) == len(sync_ids)

    async def _all_ended(self, sync_ids: list[str]) -> bool:
        return await queries.count_finished(self.pool, sync_ids) == len(sync_ids)

    async def _status(self, caller: Caller) -> dict[str, Any]:
        accounts = await queries.connected_accounts(self.pool, caller.org_id)
        numbers = await queries.status_counts(self.pool, [row["waba_id"] for row in accounts])
        answers = [_account(row, numbers[row["waba_id"]]) for row in accounts]
        errors = [answer["last_error"] for answer in answers if answer["last_error"]]
        in_all: Counter[str] = sum((Counter(by_status) for by_status in numbers.values()), Counter())
        return {
            "status": overall([answer["status"] for answer in answers]),
            "last_sync_at": max((row["last_sync_at"] for row in accounts if row["last_sync_at"]), default=None),
            **_counts(dict(sorted(in_all.items()))),
            "last_error": max(errors, key=lambda error: error["at"], default=None),
            "accounts": answers,
        }


class ListQuery(BaseModel):
    """The parameters of GET /templates."""

    model_config = ConfigDict(extra="forbid")

    status: Text = APPROVED
    """One or more, comma separated, or `all`."""
    waba_id: Text | None = None
    language: Text | None = None
    category: Text | None = None
    name: Text | None = None
    limit: int = Field(default=100, ge=1, le=500)
    after: Annotated[str, StringConstraints(max_length=4096)] | None = None
    """`next` of the page before."""


class SyncBody(BaseModel):
    """The body of POST /templates/sync; an empty one means every WABA of the organisation."""

    model_config = ConfigDict(extra="forbid")

    waba_id: Text | None = None


def overall(statuses: Sequence[str]) -> Overall:
    """How an organisation stands: still at it, else the worst of its WABAs."""
    for status in ("syncing", "failed", "synced"):
        if status in statuses:
            return status
    return "never"


def preferred_wait(headers: Sequence[str]) -> int | None:
    """Seconds that the client is ready to wait (RFC 7240, section 4.3), at most `MAX_WAIT`; None if it says nothing."""
    found = _PREFER_WAIT.search(",".join(headers))
    return min(int(found[1]), MAX_WAIT) if found else None


async def _sync_body(request: web.Request) -> SyncBody:
    body = await request.read()
    if not body.strip():
        return SyncBody()
    try:
        return SyncBody.model_validate_json(body)
    except ValidationError as invalid:
        if any(error["type"] == "json_invalid" for error in invalid.errors()):
            raise Problem(400, "malformed_json", "Malformed JSON", "The request's body is no JSON.") from None
        raise


def _request(caller: Caller, waba_id: str, sync_id: str, now: datetime) -> TemplateSyncRequested:
    return TemplateSyncRequested(
        id=fact_id(TemplateSyncRequested.type, sync_id),
        time=now,
        org_id=caller.org_id,
        waba_id=waba_id,
        sync_id=sync_id,
        reason="manual",
        requested_by=caller.subject,
    )


def _statuses(given: str) -> list[str] | None:
    statuses = [status.strip().upper() for status in given.split(",") if status.strip()]
    return None if "ALL" in statuses else statuses or [APPROVED]


def _template(row: asyncpg.Record) -> dict[str, Any]:
    """A template as clients get it: typed parts, and Meta's own components beside them."""
    listed = Template.model_validate(row["template"])
    parts = listed.model_dump(
        include={"header", "body", "footer", "buttons", "parameter_format"},
        exclude={"header": {"raw"}, "body": {"raw"}, "footer": {"raw"}, "buttons": {"__all__": {"raw"}}},
    )
    columns = ("template_id", "waba_id", "name", "language", "category", "status", "quality", "rejected_reason")
    return {
        **{column: row[column] for column in columns},
        **parts,
        "components": dump_template(listed)["components"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _account(row: asyncpg.Record, by_status: dict[str, int]) -> dict[str, Any]:
    return {
        "waba_id": row["waba_id"],
        "status": "syncing" if row["status"] == "requested" else row["status"],
        "sync_id": row["sync_id"],
        "last_sync_at": row["last_sync_at"],
        **_counts(by_status),
        "last_error": {**row["last_error"], "at": row["last_error_at"]} if row["last_error"] else None,
    }


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
        }
        for row in rows
    ]
    statuses = ["syncing" if row["status"] == "requested" else row["status"] for row in rows]
    alone = {"sync_id": rows[0]["sync_id"]} if len(rows) == 1 else {}
    return {"status": overall(statuses), **alone, "syncs": answers}


def _tagged(request: web.Request, content: dict[str, Any]) -> web.Response:
    """The answer with an ETag (RFC 9110), or 304 where the client has it already."""
    response = json_response(content)
    tag = hashlib.blake2b(cast(bytes, response.body), digest_size=16).hexdigest()
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    response.headers.update(headers)
    return response


def _cursor(row: asyncpg.Record) -> str:
    place = [row["name"], row["language"], row["waba_id"], row["template_id"]]
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _place(cursor: str) -> queries.Place:
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return TypeAdapter(tuple[Text, Text, Text, Text]).validate_python(decoded)
    except (ValueError, binascii.Error):
        raise Problem(422, "invalid_cursor", "Unknown place", "`after` is not a `next` of ours.") from None
