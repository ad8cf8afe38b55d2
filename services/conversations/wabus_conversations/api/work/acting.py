"""What people do with a conversation is in the log before it is answered, and folded where that does not take long.

What came of it only the fold knows: of two who take the same conversation, the first in the log has it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
from aiohttp import web
from wabus_events import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationMarkedUnread,
    ConversationRead,
    ConversationReopened,
    ConversationSnoozed,
    ConversationTagged,
    Event,
    NoteAdded,
    NoteRemoved,
    fact_id,
)
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import Caller, authorise, subject_of
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import idempotency_key, tagged_response
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.read_replica import Reads

from wabus_conversations.api import views
from wabus_conversations.api.conversations import about_last, find_current
from wabus_conversations.api.models import ConversationPath
from wabus_conversations.api.work.models import (
    AssignRequest,
    NotePath,
    NotePlace,
    NoteRequest,
    NotesQuery,
    SnoozeRequest,
    TagsRequest,
    UpToRequest,
)
from wabus_conversations.tables import reading
from wabus_conversations.tables.work import events, notes, settings
from wabus_conversations.work.state import MessagePlace, Outcome

FOLDED_WITHIN = 10.0  # seconds; then it is answered that it will be
LONGEST = timedelta(days=366)  # that something can be put off

E = TypeVar("E", bound=ConversationEvent)
Made = Callable[[dict[str, Any]], ConversationEvent]
"""Makes an event out of what all events of a conversation say."""


@dataclass(frozen=True)
class ActingApi:
    """What the handlers need; they are its methods."""

    reads: Callable[[], Reads]
    publisher: Publisher
    announcements: Announcements

    async def assign(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/assign"""
        caller, row = await self._asked(request)
        asked = await json_body(request, AssignRequest)
        if asked.agent and asked.bot:
            raise _invalid("Please give an agent or a bot, not both.", "agent", "bot")
        agent = subject_of(caller) if asked.agent == "me" else asked.agent
        if asked.team:
            told = await settings.read(self.reads().primary, caller.org_id)
            if asked.team not in {team["team_id"] for team in (told["teams"] if told else ())}:
                raise Problem(422, "unknown_team", "No such team", "There is no team of yours with this id.")
        holder = row["agent"] or row["bot"]
        instead_of = asked.instead_of or (holder if holder and holder == caller.subject else None)
        return await self._act(
            request,
            caller,
            row,
            ConversationAssigned,
            agent=agent,
            bot=asked.bot,
            team=asked.team,
            instead_of=instead_of,
            **_up_to(_heard(row)),
        )

    async def close(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/close"""
        caller, row = await self._asked(request)
        asked = await json_body(request, UpToRequest)
        up_to = await self._place(caller, row, asked.message_id, _heard(row))
        return await self._act(request, caller, row, ConversationClosed, **_up_to(up_to))

    async def snooze(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/snooze"""
        caller, row = await self._asked(request)
        asked, now = await json_body(request, SnoozeRequest), datetime.now(UTC)
        if not now < asked.until <= now + LONGEST:
            raise _invalid("Please give a moment within the next year.", "until")
        up_to = await self._place(caller, row, asked.message_id, _heard(row))
        return await self._act(request, caller, row, ConversationSnoozed, until=asked.until, **_up_to(up_to))

    async def reopen(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/reopen"""
        return await self._act(request, *await self._asked(request), ConversationReopened)

    async def read(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/read"""
        caller, row = await self._asked(request)
        asked = await json_body(request, UpToRequest)
        last = MessagePlace(row["last_at"], row["last_tie"]) if row["last_at"] else None
        up_to = await self._place(caller, row, asked.message_id, last)
        return await self._act(request, caller, row, ConversationRead, **_up_to(up_to))

    async def unread(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/unread"""
        return await self._act(request, *await self._asked(request), ConversationMarkedUnread)

    async def tag(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/tags"""
        caller, row = await self._asked(request)
        asked = await json_body(request, TagsRequest)
        if not asked.add and not asked.remove:
            raise _invalid("Please give tags to add or to remove.", "add", "remove")
        if set(asked.add) & set(asked.remove):
            raise _invalid("A tag can't be added and removed at once.", "add", "remove")
        added, removed = sorted(set(asked.add)), sorted(set(asked.remove))
        return await self._act(request, caller, row, ConversationTagged, added=added, removed=removed)

    async def add_note(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/notes"""
        caller, row = await self._asked(request)
        asked = await json_body(request, NoteRequest)
        event = self._event(request, caller, row, NoteAdded, note_id="", text=asked.text)
        event = event.model_copy(update={"note_id": event.id})
        outcome = await self._published(event)
        if outcome == "too_many":
            raise Problem(
                409, "too_many_notes", "Too many notes", "This conversation has as many notes as it can have."
            )
        note = {"note_id": event.note_id, "at": event.time, "author": event.by, "text": event.text}
        return json_response(note, 201 if outcome else 202)

    async def list_notes(self, request: web.Request) -> web.Response:
        """GET /conversations/{conversation_id}/notes"""
        caller = await authorise(request)
        asked_id = checked(ConversationPath, dict(request.match_info)).conversation_id
        asked = checked(NotesQuery, query_of(request))
        after = place_of(asked.after, NotePlace) if asked.after else None

        async def question(pool: asyncpg.Pool) -> list[asyncpg.Record]:
            current = await find_current(pool, caller, asked_id)
            return await notes.some(pool, caller.org_id, current, after, asked.limit)

        page, last = page_of(await self.reads().ask(question), asked.limit)
        content = {
            "notes": [dict(row) for row in page],
            "next": cursor_of((last["at"], last["note_id"])) if last else None,
        }
        return tagged_response(request, content)

    async def remove_note(self, request: web.Request) -> web.Response:
        """DELETE /conversations/{conversation_id}/notes/{note_id}: by who wrote it, or an administrator."""
        note_id = checked(NotePath, dict(request.match_info)).note_id
        caller, row = await self._asked(request)
        found = await notes.author_of(self.reads().primary, caller.org_id, row["conversation_id"], note_id)
        if found is None:
            raise Problem(404, "note_not_found", "No such note", "There is no such note in this conversation.")
        if caller.role != "admin" and (caller.subject is None or found["author"] != caller.subject):
            raise Problem(403, "not_yours", "Not allowed", "Only who wrote a note, or an administrator, may delete it.")
        return await self._act(request, caller, row, NoteRemoved, note_id=note_id)

    async def _asked(self, request: web.Request) -> tuple[Caller, asyncpg.Record]:
        """The caller, and the conversation as the primary has it: what was done just now has to be known."""
        caller = await authorise(request)
        asked_id = checked(ConversationPath, dict(request.match_info)).conversation_id
        primary = self.reads().primary
        return caller, await _conversation(primary, caller.org_id, await find_current(primary, caller, asked_id))

    async def _place(
        self, caller: Caller, row: asyncpg.Record, message_id: str | None, otherwise: MessagePlace | None
    ) -> MessagePlace | None:
        if message_id is None:
            return otherwise
        found = await reading.messages(self.reads().primary, {caller.org_id: [message_id]})
        if not found or found[0]["conversation_id"] != row["conversation_id"]:
            raise Problem(404, "message_not_found", "No such message", "There is no such message in this conversation.")
        return MessagePlace(found[0]["at"], found[0]["tie"])

    async def _act(
        self, request: web.Request, caller: Caller, row: asyncpg.Record, kind: type[ConversationEvent], **fields: Any
    ) -> web.Response:
        """Let it be so, and answer what came of it."""
        outcome = await self._published(self._event(request, caller, row, kind, **fields))
        if outcome is None:
            return json_response({"status": "pending"}, 202)
        primary = self.reads().primary
        # Whoever gives a conversation away may not see it any more, and is told all the same what came of that.
        current = await reading.current_id(primary, caller.org_id, row["conversation_id"])
        row = await _conversation(primary, caller.org_id, current)
        if outcome == "taken":
            work = views.work(row)
            raise Problem(
                409,
                "taken",
                "Somebody else has it",
                "Somebody was faster, or has decided otherwise meanwhile.",
                work={name: work[name] for name in ("state", "agent", "bot", "team")},
            )
        if outcome == "too_many":
            raise Problem(409, "too_many_tags", "Too many tags", "This conversation has as many tags as it can have.")
        return json_response(views.conversation(row, await about_last(primary, [row]), datetime.now(UTC)))

    def _event(self, request: web.Request, caller: Caller, row: asyncpg.Record, kind: type[E], **fields: Any) -> E:
        key, conversation_id = idempotency_key(request), row["conversation_id"]
        whose = (caller.org_id, caller.subject or "", conversation_id)
        return kind(
            id=fact_id(kind.type, *whose, key) if key else str(uuid4()),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            waba_id=row["waba_id"],
            phone_number_id=row["phone_number_id"],
            conversation_id=conversation_id,
            contacts=[each["value"] for each in row["identifiers"] or ()],
            by=caller.subject,
            **fields,
        )

    async def _published(self, event: ConversationEvent) -> Outcome | None:
        """What came of an event; None if that is not known in time."""
        return await published(event, self.publisher, self.announcements, self.reads())


async def published(event: Event, publisher: Publisher, announcements: Announcements, reads: Reads) -> Outcome | None:
    """Publish an event of an organisation, and say what came of it; None if that is not known in time."""
    await publisher.publish([event])
    org_id, found = event.org_id or "", dict[str, Any]()

    async def is_folded() -> bool:
        found.update(await events.outcomes(reads.primary, org_id, [event.id]))
        return bool(found)

    await announcements.until(is_folded, FOLDED_WITHIN, subject=org_id)
    return found.get(event.id)


async def _conversation(pool: asyncpg.Pool, org_id: str, conversation_id: str | None) -> asyncpg.Record:
    row = await reading.conversation(pool, org_id, conversation_id) if conversation_id else None
    if row is None:
        raise Problem(404, "conversation_not_found", "No such conversation", "There is no conversation of yours there.")
    return row


def _heard(row: asyncpg.Record) -> MessagePlace | None:
    return MessagePlace(row["heard_at"], row["heard_tie"]) if row["heard_at"] else None


def _up_to(place: MessagePlace | None) -> dict[str, Any]:
    return {"up_to_at": place.at, "up_to_tie": place.tie} if place else {}


def _invalid(detail: str, *fields: str) -> Problem:
    return Problem(422, "invalid_request", "The request is invalid", detail, fields=list(fields))
