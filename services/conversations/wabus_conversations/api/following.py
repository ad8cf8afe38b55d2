"""Live conversations: what changes, as it changes, by server-sent events or a WebSocket."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from aiohttp import web
from wabus_runtime.feed.doors import Wanted, send_events, talk
from wabus_runtime.feed.feed import Feed
from wabus_runtime.feed.frames import Frame
from wabus_runtime.feed.origins import refuse_other_origins
from wabus_runtime.feed.pending import Parts
from wabus_runtime.http.answers import Problem, checked, json_response, query_of, too_many_requests
from wabus_runtime.http.auth import Caller, authenticate, authorise, caller_by, permitted
from wabus_runtime.http.formats.compression import uncompressed
from wabus_runtime.http.rates import Rates
from wabus_runtime.http.streams import OpenStreams
from wabus_runtime.postgres.read_replica import Reads
from wabus_runtime.postgres.tickets import Holder, ending, issue, redeem

from wabus_conversations.api import views
from wabus_conversations.api.conversations import described_and_remarks, find_current, ids_of, last_of
from wabus_conversations.api.models import StreamQuery
from wabus_conversations.api.seeing import sight_of, whose_is, whose_of
from wabus_conversations.api.work.presence import Presence
from wabus_conversations.tables import reading
from wabus_conversations.tables.work.audiences import sights_of
from wabus_conversations.threads.facts import Source
from wabus_conversations.threads.following import Followed, Whose, follows, has_to_go, sees
from wabus_conversations.work.audiences import SIGHTS_ID, Sight, Sights

PURPOSE = "stream"
GOOD_FOR = timedelta(seconds=30)  # a ticket, and once
TICKETS_A_MINUTE = 3_000  # of an organisation, at one process: after a restart all of its people come at once


class FollowingApi:
    """The handlers, and the streams that this process has open."""

    def __init__(self, feed: Feed, reads: Callable[[], Reads], presence: Presence, most: int, most_of_all: int) -> None:
        self._feed = feed
        self._presence = presence
        self._reads = reads
        self._open = OpenStreams(most, most_of_all)
        self._tickets = Rates(TICKETS_A_MINUTE)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET /conversations/stream"""
        wanted = await self._wanted(request)
        with self._open.admitted(wanted.caller.org_id, request):
            async with self._presence.here(wanted.caller):
                return await send_events(request, self._feed, wanted)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """GET /conversations/ws"""
        refuse_other_origins(request)
        wanted = await self._wanted(request)

        async def renew(token: str) -> Caller:
            caller, before = permitted(request, await caller_by(request, token)), wanted.caller
            if (caller.org_id, caller.subject) != (before.org_id, before.subject):
                raise Problem(403, "another_caller", "Not allowed", "This token is somebody else's.")
            if caller.role != before.role:  # who may see something else begins anew
                raise Problem(403, "another_role", "Not allowed", "This token has another role.")
            return caller

        with self._open.admitted(wanted.caller.org_id, request):
            async with self._presence.here(wanted.caller):
                return await talk(request, self._feed, wanted, renew)

    async def ticket(self, request: web.Request) -> web.Response:
        """POST /stream-tickets"""
        caller = await authorise(request)
        wait = self._tickets.note(caller.org_id, time.monotonic())
        if wait is not None:
            detail = f"Your organisation may get {TICKETS_A_MINUTE} tickets a minute. Please try again in a moment."
            raise too_many_requests(detail, wait)
        now, whose = datetime.now(UTC), Holder(caller.org_id, caller.role, caller.subject, caller.expires_at)
        [ticket] = await issue(self._reads().primary, whose, [PURPOSE], GOOD_FOR, now)
        return uncompressed(json_response({"ticket": ticket, "expires_at": ending(whose, GOOD_FOR, now)}))

    async def _caller(self, request: web.Request) -> Caller:
        """Who opens a stream, by the header or by `?ticket=`, if they may. Raises a 401 or 403 problem."""
        ticket = request.query.get("ticket")
        if ticket is None or "Authorization" in request.headers:
            return permitted(request, await authenticate(request))
        found = await redeem(self._reads().primary, ticket, PURPOSE, datetime.now(UTC))
        if found is None:
            raise Problem(
                401,
                "ticket_not_good",
                "Not signed in",
                "This ticket was used already, or its time is over. Please get another one.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return permitted(request, Caller(*found))

    async def _wanted(self, request: web.Request) -> Wanted:
        asked = checked(StreamQuery, query_of(request))
        caller = await self._caller(request)
        conversation_id = asked.conversation_id

        async def question(pool: asyncpg.Pool) -> tuple[str | None, Sight | None]:
            current = await find_current(pool, caller, conversation_id) if conversation_id is not None else None
            return current, await sight_of(pool, caller)

        current, sight = await self._reads().ask(question)
        # Who comes back by itself, as browsers do, asks at the same address, and has got further meanwhile.
        since = request.headers.get("Last-Event-ID") or asked.cursor
        watch = _Watch(caller, Followed(current, asked.phone_number_id), sight, came_back=since is not None)
        return Wanted(caller, since, watch.shows, _LIMITED if sight else "")


_LIMITED = "teams"
"""The scope of cursors of who does not see everything."""


class _Watch:
    """What one connection is shown: what it follows, as far as who has it may see that."""

    def __init__(self, caller: Caller, followed: Followed, sight: Sight | None, *, came_back: bool) -> None:
        self._caller = caller
        self._followed = followed
        self._sight = sight
        """As it was when they came, or was told them last."""
        self._came_back = came_back

    def shows(self, frame: Frame) -> Frame | None:
        """What is sent of a frame that is about a conversation, or about what agents see."""
        about = frame.about
        if not follows(self._followed, about):
            return None
        sights: Sights | None = about.get("sights")
        sight = self._sight if sights is None else sights.of(self._caller.role, self._caller.subject)
        match frame.kind:
            case "reset":
                return self._anew(frame, sight)
            case "removed":
                return frame if sight is None or about["merged"] is None else self._merged(frame, sight)
            case _:
                pass
        conversation_id, whose = about["conversation_id"], about.get("whose")
        if whose is None:  # said by a process of the release before
            return frame if sight is None else None
        if sees(sight, whose):
            return frame
        return _removed(conversation_id, reason="out_of_sight") if has_to_go(sight, whose) else None

    def _anew(self, frame: Frame, sight: Sight | None) -> Frame | None:
        """Who sees something else than before loads all of it anew; of who was away nobody knows what they saw."""
        is_other, self._sight = self._came_back or sight != self._sight, sight
        self._came_back = False
        return frame if is_other and self._caller.role == "agent" else None

    def _merged(self, frame: Frame, sight: Sight) -> Frame:
        return frame if sees(sight, frame.about["merged"]) else _removed(frame.about["conversation_id"])


async def frames(pool: asyncpg.Pool, changed: Mapping[str, Mapping[str, Parts]]) -> dict[str, dict[str, Frame]]:
    """What is sent of conversations that have changed, of each organisation by their ids, as they are now."""
    parts_of = {org_id: {part for parts in of.values() for part in parts or ()} for org_id, of in changed.items()}
    # Each question waits for the database's answer: those that need no other's are asked together.
    rows, shown, sights = await asyncio.gather(
        reading.some_conversations(pool, changed), _shown(pool, parts_of), sights_of(pool, changed)
    )
    messages, about = await described_and_remarks(pool, shown, last_of(rows))
    by_conversation: dict[str, list[dict[str, Any]]] = {}
    for row, message in zip(shown, messages, strict=True):
        by_conversation.setdefault(row["conversation_id"], []).append(message)
    now = datetime.now(UTC)
    made: dict[str, dict[str, Frame]] = {org_id: {} for org_id in changed}
    for row in rows:
        org_id, conversation_id = row["org_id"], row["conversation_id"]
        content = {
            "conversation": views.conversation(row, about.get(row["last_id"], ()), now),
            "messages": by_conversation.get(conversation_id, []),
            "reload": changed[org_id][conversation_id] is None,
        }
        parts = changed[org_id][conversation_id]
        whose = {
            "conversation_id": conversation_id,
            "phone_number_id": row["phone_number_id"],
            "whose": whose_of(row, was_moved=parts is None or SIGHTS_ID in parts),
            "sights": sights[org_id],
        }
        made[org_id][conversation_id] = Frame("change", content, whose)
    for org_id, wanted in changed.items():
        for conversation_id in wanted.keys() - made[org_id].keys():
            if conversation_id == SIGHTS_ID:
                made[org_id][SIGHTS_ID] = Frame("reset", {"reason": "teams"}, {"sights": sights[org_id]})
                continue
            merged_into = await reading.current_id(pool, org_id, conversation_id)
            merged = await whose_is(pool, org_id, merged_into) if merged_into else None
            made[org_id][conversation_id] = _removed(conversation_id, merged_into, merged, sights[org_id])
    return made


def _removed(
    conversation_id: str,
    merged_into: str | None = None,
    merged: Whose | None = None,
    sights: Sights | None = None,
    reason: str | None = None,
) -> Frame:
    content = {"conversation_id": conversation_id, "merged_into": merged_into, "reason": reason}
    return Frame("removed", content, {"conversation_id": conversation_id, "merged": merged, "sights": sights})


async def _shown(pool: asyncpg.Pool, wanted: reading.Ids) -> list[asyncpg.Record]:
    """The lines of threads to show, the oldest first; for a reaction, edit or revoke the message that it is about."""
    found = {row["message_id"]: row for row in await reading.messages(pool, wanted)}
    remarks = [row for row in found.values() if row["kind"] not in reading.SHOWN_KINDS]
    about = ids_of(remarks, "about_id", without=found)
    found |= {row["message_id"]: row for row in await reading.messages(pool, about)}
    shown = [row for row in found.values() if row["kind"] in reading.SHOWN_KINDS and row["source"] > Source.STATUS]
    return sorted(shown, key=lambda row: (row["at"], row["tie"], row["message_id"]))
