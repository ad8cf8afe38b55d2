"""Media as they are served: a part or all of one, to its organisation, as something that no browser runs.

Everything is limited to the organisation in the caller's token, or in the ticket that stands for one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import structlog
from aiohttp import hdrs, web
from prometheus_client import Counter
from wabus_runtime.http.answers import Problem, checked, json_response, query_of, too_many_requests
from wabus_runtime.http.auth import Caller, authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import is_known
from wabus_runtime.http.rates import Rates
from wabus_runtime.http.streams import OpenStreams
from wabus_runtime.postgres.read_replica import Reads
from wabus_runtime.postgres.tickets import Holder, ending, holder, issue, redeem

from wabus_conversations.api.models import MediumPath, MediumQuery, TicketsWanted
from wabus_conversations.api.seeing import sight_of
from wabus_conversations.api.views import Row
from wabus_conversations.media.content_types import BYTES, found_again
from wabus_conversations.media.fetching import State
from wabus_conversations.media.names import disposition, safe_name
from wabus_conversations.media.ranges import NotThere, Part, part_of
from wabus_conversations.store.objects import MediaStore, ObjectMissing, StoreUnavailable
from wabus_conversations.tables import reading as threads
from wabus_conversations.tables.media import reading

TICKET_LIFETIME = timedelta(minutes=5)
"""A ticket of a medium is good for so long, and not once unless that is wanted: a browser asks for a film in parts."""
TICKETS_A_MINUTE = 600  # times that an organisation asks for some; each person who opens a thread does
SERVED_AT_ONCE = 64  # media to one organisation by one process
WRITE_TIMEOUT = 60.0  # seconds in which a client reads nothing, then it is gone

SERVED = Counter("wabus_media_served_bytes_total", "Bytes of media served.")

_NEVER_RUN = {
    # Whatever it is, a browser saves it; and if one were to open it, it could do nothing there.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
    "Accept-Ranges": "bytes",
}

log = structlog.get_logger()

Json = dict[str, Any]


@dataclass(frozen=True)
class MediaApi:
    """What the handlers need; they are its methods."""

    reads: Callable[[], Reads]
    store: MediaStore
    asked: Rates = field(default_factory=lambda: Rates(TICKETS_A_MINUTE))
    open: OpenStreams = field(default_factory=lambda: OpenStreams(SERVED_AT_ONCE))

    async def medium(self, request: web.Request) -> web.StreamResponse:
        """GET and HEAD /media/{media_id}: with a token, or with the ticket of this medium."""
        caller, media_id, by_ticket = await self._asked(request)
        rows = await self.reads().ask(lambda pool: _seen(pool, caller, [media_id]))
        if not rows:
            raise _no_medium()
        row = rows[0]
        if row["state"] != State.STORED:
            raise _not_stored(row["state"], row["reason"])
        tag = row["sha256"].hex()
        headers = {**_NEVER_RUN, **_described(row), "ETag": f'"{tag}"'}
        # A page of the platform's shows it, from another address; without a ticket nobody's page can.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin" if by_ticket else "same-origin"
        if is_known(request, tag):
            return web.Response(status=304, headers=headers)
        if request.method == hdrs.METH_HEAD:
            # Of no part: RFC 9110, section 14.2, knows ranges of GET only.
            return web.Response(headers={**headers, "Content-Length": str(row["bytes"])})
        with self.open.admitted(caller.org_id, request):
            return await self._send(request, row, headers, _part(request, tag, row["bytes"]))

    async def tickets(self, request: web.Request) -> web.Response:
        """POST /media/tickets: an address for each medium that is stored, for where no token can be sent."""
        caller = await authorise(request)
        if (wait := self.asked.note(caller.org_id, time.monotonic())) is not None:
            detail = (
                f"Your organisation may ask for tickets {TICKETS_A_MINUTE} times a minute, for up to 100 media each."
            )
            raise too_many_requests(detail, wait)
        wanted = await json_body(request, TicketsWanted)
        now = datetime.now(UTC)
        primary = self.reads().primary
        rows = await _seen(primary, caller, set(wanted.media_ids))
        stored = [row["media_id"] for row in rows if row["state"] == State.STORED]
        whose = Holder(caller.org_id, caller.role, caller.subject, caller.expires_at)
        purposes = [_purpose(media_id, once=wanted.once) for media_id in stored]
        tickets = await issue(primary, whose, purposes, TICKET_LIFETIME, now)
        ends_at = ending(whose, TICKET_LIFETIME, now)
        content = [
            {"media_id": media_id, "link": f"{link_of(media_id)}?ticket={ticket}", "ends_at": ends_at}
            for media_id, ticket in zip(stored, tickets, strict=True)
        ]
        return json_response({"tickets": content}, 201)

    async def _asked(self, request: web.Request) -> tuple[Caller, str, bool]:
        """Who asks for a medium, for which, and whether by a ticket. Raises a problem."""
        by_ticket = "ticket" in request.query and "Authorization" not in request.headers
        caller = None if by_ticket else await authorise(request)
        media_id = checked(MediumPath, dict(request.match_info)).media_id
        ticket = checked(MediumQuery, query_of(request)).ticket
        if caller is not None:
            return caller, media_id, False
        # Of the primary: a replica has not heard of a ticket that was just given.
        primary, now = self.reads().primary, datetime.now(UTC)
        found = await holder(primary, ticket or "", _purpose(media_id), now)
        found = found or await redeem(primary, ticket or "", _purpose(media_id, once=True), now)
        if found is None:
            raise Problem(
                401,
                "ticket_not_good",
                "Not signed in",
                "This ticket is none of this medium, is used up, or its time is over. Please get another one.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return Caller(*found), media_id, True

    async def _send(
        self, request: web.Request, row: Row, headers: Mapping[str, str], part: Part | None
    ) -> web.StreamResponse:
        size = row["bytes"]
        start, end = part or Part(0, size)
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = end - start
        if part:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        if start == end:
            await response.prepare(request)
            return response
        async with aclosing(self.store.read(row["key"], start, end)) as chunks:
            # The first before anything is answered: if there is none, that can still be said.
            first = await _first(chunks, row)
            await response.prepare(request)
            try:
                await _write(response, first)
                async for chunk in chunks:
                    await _write(response, chunk)
                await response.write_eof()
            except (ObjectMissing, StoreUnavailable, TimeoutError) as error:
                log.warning(
                    "a medium was cut", action="media_cut", media_id=row["media_id"], error=type(error).__name__
                )
                _abort(request)
            except ConnectionError:
                pass  # its client has left
        return response


def view(row: Row, *, revoked: bool = False) -> Json:
    """A medium as a message has it. Pure."""
    state = State.GONE if revoked else State(row["state"])
    content: Json = {"bytes": None, "type": None, "type_as_told": None, "shown": False, "sha256": None, "link": None}
    if state is State.STORED:
        found = found_again(row["type"], row["type_told"])
        content = {
            "bytes": row["bytes"],
            "type": found.served_as,
            "type_as_told": found.as_told,
            "shown": found.is_shown,
            "sha256": row["sha256"].hex(),
            "link": link_of(row["media_id"]),
        }
    return {
        "media_id": row["media_id"],
        "kind": row["kind"],
        "state": state,
        "reason": None if state is State.GONE else row["reason"],
        "type_told": row["type_told"],
        "name": safe_name(row["name"], row["kind"], content["type"] or BYTES) if state is not State.GONE else None,
        **content,
    }


def link_of(media_id: str) -> str:
    """Where it is served, at this address. Pure."""
    return f"/media/{media_id}"


def _described(row: Row) -> dict[str, str]:
    served_as = found_again(row["type"], row["type_told"]).served_as
    return {
        "Content-Type": served_as,
        "Content-Disposition": disposition(safe_name(row["name"], row["kind"], served_as)),
    }


def _part(request: web.Request, tag: str, size: int) -> Part | None:
    """The part that is asked for, unless it is one of other content (RFC 9110, section 13.1.5)."""
    condition = request.headers.get("If-Range")
    if condition is not None and condition.strip() != f'"{tag}"':
        return None
    try:
        return part_of(request.headers.get("Range"), size)
    except NotThere:
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem(416, "range_not_there", "No such part", f"It has {size} bytes.", headers=headers) from None


async def _first(chunks: AsyncGenerator[bytes], row: Row) -> bytes:
    try:
        return await anext(chunks)
    except (ObjectMissing, StopAsyncIteration):
        # Whoever deletes it deletes the row first; without that it is the store that has lost it.
        log.error("a medium is not in the store", action="media_missing", media_id=row["media_id"])
        raise _no_medium() from None
    except StoreUnavailable:
        raise Problem(
            503,
            "media_store_unavailable",
            "Temporarily unavailable",
            "Media can't be read right now. Please try again in a moment.",
            headers={"Retry-After": "5"},
        ) from None


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT):
        await response.write(chunk)
    SERVED.inc(len(chunk))


def _abort(request: web.Request) -> None:
    """End the connection, so that nobody takes what was sent for all of it."""
    with suppress(AttributeError):
        if request.transport is not None:
            request.transport.abort()


def _purpose(media_id: str, *, once: bool = False) -> str:
    return f"medium {media_id}{' once' if once else ''}"


def _no_medium() -> Problem:
    return Problem(404, "medium_not_found", "No such medium", "There is no medium of yours with this id.")


def _not_stored(state: str, reason: str | None) -> Problem:
    if state == State.WANTED:
        detail = "This medium is still being fetched from WhatsApp. Please try again in a moment."
        headers = {"Retry-After": "5"}
        return Problem(409, "medium_not_stored", "Not there yet", detail, headers=headers, state=state, reason=reason)
    detail = {
        State.LOST: "WhatsApp could not give us this medium in time, and has it no more.",
        State.REFUSED: "This medium is not kept here: it is too large, or not what WhatsApp says it is.",
    }.get(State(state), "The message that had this medium was taken back.")
    return Problem(410, f"medium_{state}", "Not there any more", detail, state=state, reason=reason)


async def _seen(pool: asyncpg.Pool, caller: Caller, media_ids: Collection[str]) -> list[asyncpg.Record]:
    """Those of some media that there are and that the caller sees."""
    rows = await reading.media(pool, caller.org_id, media_ids)
    sight = await sight_of(pool, caller)
    if sight is None:
        return rows
    of_messages = {row["message_id"] for row in rows}
    seen = await threads.seen_of_messages(pool, caller.org_id, of_messages, sight)
    return [row for row in rows if row["message_id"] in seen]


async def media_of(pool: asyncpg.Pool, wanted: Mapping[str, Collection[str]]) -> dict[str, asyncpg.Record]:
    """The media of messages, of each organisation some, by the message's id."""
    rows = await reading.of_messages(pool, wanted) if any(wanted.values()) else []
    return {row["message_id"]: row for row in rows}
