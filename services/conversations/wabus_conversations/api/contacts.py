"""Persons: found, shown, exported, forgotten. Everything is limited to the organisation in the caller's token."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from aiohttp import web
from wabus_events import ContactForgotten, contact_id
from wabus_events.models.erasures import line_at
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import Caller, authorise
from wabus_runtime.http.headers import preferred_wait, tagged_response, waited_for
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements
from wabus_runtime.postgres.read_replica import Reads

from wabus_conversations.api import export, views
from wabus_conversations.api.models import ContactPath, ContactsQuery, ListPlace
from wabus_conversations.api.seeing import sight_of
from wabus_conversations.tables import reading_contacts as reading
from wabus_conversations.threads.numbers import written_otherwise

SOURCE = "/wabus/conversations"


@dataclass(frozen=True)
class ContactsApi:
    """What the handlers need; they are its methods."""

    reads: Callable[[], Reads]
    publisher: Publisher
    announcements: Announcements

    async def list_contacts(self, request: web.Request) -> web.Response:
        """GET /contacts: all, or who has an identifier now."""
        caller = await authorise(request)
        asked = checked(ContactsQuery, query_of(request))
        if asked.identifier is not None:
            value = contact_id(asked.identifier)
            contacts = await self.reads().ask(lambda pool: _named(pool, caller, value))
            return tagged_response(request, {"contacts": contacts, "next": None})
        after = place_of(asked.after, ListPlace) if asked.after else None

        async def question(pool: asyncpg.Pool) -> list[asyncpg.Record]:
            return await reading.contacts(pool, caller.org_id, after, asked.limit, await sight_of(pool, caller))

        rows = await self.reads().ask(question)
        page, last = page_of(rows, asked.limit)
        content = {
            "contacts": [{**views.contact(row), "match": None} for row in page],
            "next": cursor_of((last["first_seen"], last["person_id"])) if last else None,
        }
        return tagged_response(request, content)

    async def one_contact(self, request: web.Request) -> web.Response:
        """GET /contacts/{contact_id}: also by an id that they had before Meta said who they are."""
        caller = await authorise(request)
        asked = checked(ContactPath, dict(request.match_info)).contact_id
        row = await self.reads().ask(lambda pool: _contact(pool, caller, asked))
        current = row["person_id"]
        return tagged_response(request, views.contact(row, current if current != asked else None))

    async def forget(self, request: web.Request) -> web.Response:
        """DELETE /contacts/{contact_id}: a line in time, durable in Kafka before this is answered."""
        caller = await authorise(request)
        asked = checked(ContactPath, dict(request.match_info)).contact_id
        reads = self.reads()
        # Of the primary: of somebody who was seen just now, nothing may be left.
        row = await _contact(reads.primary, caller, asked)
        identities = await reading.forgotten_as(reads.primary, caller.org_id, row["person_id"])
        now = datetime.now(UTC)
        await self.publisher.publish([line_at(ContactForgotten, identity, now) for identity in identities])

        async def forgotten() -> bool:
            return await reading.are_forgotten(reads.primary, identities, now)

        wait = preferred_wait(request)
        done = bool(wait) and await self.announcements.until(forgotten, wait or 0)
        content = {"contact_id": row["person_id"], "status": "forgotten" if done else "forgetting"}
        return json_response(content, 200 if done else 202, waited_for(wait))

    async def export(self, request: web.Request) -> web.StreamResponse:
        """GET /contacts/{contact_id}/export: all that is kept of a person, a line of JSON each."""
        caller = await authorise(request)
        asked = checked(ContactPath, dict(request.match_info)).contact_id
        row = await self.reads().ask(lambda pool: _contact(pool, caller, asked))
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/x-ndjson",
                "Cache-Control": "private, no-store",
                "Content-Disposition": f'attachment; filename="contact-{row["person_id"]}.jsonl"',
            }
        )
        await response.prepare(request)
        async for lines in _lines(export.everything(self.reads(), caller.org_id, views.contact(row))):
            await response.write(lines)
        await response.write_eof()
        return response


async def _lines(records: AsyncIterator[Sequence[dict[str, Any]]]) -> AsyncIterator[bytes]:
    option = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    async for some in records:
        yield b"".join(orjson.dumps(each, option=option) for each in some)


async def _named(pool: asyncpg.Pool, caller: Caller, value: str) -> list[dict[str, Any]]:
    """Who has an identifier now, and who has one that may be the same number."""
    org_id, sight = caller.org_id, await sight_of(pool, caller)
    found = await reading.named_by(pool, org_id, [value, *written_otherwise(value)])
    same = found.get(value, [])
    similar = [person for other, persons in found.items() if other != value for person in persons]
    rows = {row["person_id"]: row for row in await reading.contacts_of(pool, org_id, [*same, *similar], sight)}
    return [
        {**views.contact(rows[person]), "match": "same" if person in same else "similar"}
        for person in dict.fromkeys((*same, *similar))
        if person in rows
    ]


async def _contact(pool: asyncpg.Pool, caller: Caller, asked: str) -> asyncpg.Record:
    current = await reading.current_id(pool, caller.org_id, asked)
    sight = await sight_of(pool, caller)
    found = await reading.contacts_of(pool, caller.org_id, [current] if current else [], sight)
    if not found:
        raise Problem(404, "contact_not_found", "No such contact", "There is no contact of yours with this id.")
    return found[0]
