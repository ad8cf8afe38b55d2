"""What an inbox asks for: conversations, a thread, what became of a message, and words in all of them.

Everything is limited to the organisation in the caller's token.
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
from aiohttp import web
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import Caller, authorise, subject_of
from wabus_runtime.http.headers import tagged_response
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.postgres.read_replica import Reads

from wabus_conversations.api import views
from wabus_conversations.api.media import media_of, view
from wabus_conversations.api.models import (
    ConversationPath,
    ListPlace,
    ListQuery,
    MessagePath,
    SearchQuery,
    ThreadPlace,
    ThreadQuery,
)
from wabus_conversations.api.seeing import sight_of
from wabus_conversations.tables import reading
from wabus_conversations.tables.reading import SaidAt, WantedConversations, WantedTexts
from wabus_conversations.threads.content import composed

Rows = Sequence[asyncpg.Record]


class _Page(NamedTuple):
    """Rows of a thread, the newest first, and whether there are older ones."""

    rows: Rows
    more: bool


@dataclass(frozen=True)
class ConversationsApi:
    """What the handlers need; they are its methods."""

    reads: Callable[[], Reads]
    searchable: bool

    async def list_conversations(self, request: web.Request) -> web.Response:
        """GET /conversations"""
        caller = await authorise(request)
        asked = checked(ListQuery, query_of(request))
        now = datetime.now(UTC)
        wanted = WantedConversations(
            org_id=caller.org_id,
            now=now,
            waba_id=asked.waba_id,
            phone_number_id=asked.phone_number_id,
            window=asked.window,
            unread=None if asked.unread is None else asked.unread == "true",
            untaken=asked.assignee == "none",
            agent=_agent(caller, asked.assignee),
            team=asked.team,
            state=asked.state,
            tag=asked.tag,
            named=composed(asked.named) if asked.named else None,
            after=place_of(asked.after, ListPlace) if asked.after else None,
            limit=asked.limit,
        )

        async def question(pool: asyncpg.Pool) -> tuple[Rows, Rows]:
            rows = await reading.conversations(pool, replace(wanted, sight=await sight_of(pool, caller)))
            return rows, await about_last(pool, rows)

        rows, about = await self.reads().ask(question)
        page, last = page_of(rows, asked.limit)
        by_id = _by_message(about)
        content = {
            "conversations": [views.conversation(row, by_id.get(row["last_id"], ()), now) for row in page],
            "next": cursor_of((last["sorted_at"], last["conversation_id"])) if last else None,
        }
        return tagged_response(request, content)

    async def one_conversation(self, request: web.Request) -> web.Response:
        """GET /conversations/{conversation_id}: also by an id that it had before Meta said whose it is."""
        caller = await authorise(request)
        asked_id = checked(ConversationPath, dict(request.match_info)).conversation_id

        async def question(pool: asyncpg.Pool) -> tuple[asyncpg.Record, Rows]:
            current = await find_current(pool, caller, asked_id)
            row = await reading.conversation(pool, caller.org_id, current)
            if row is None:
                raise _no_conversation()
            return row, await about_last(pool, [row])

        row, about = await self.reads().ask(question)
        current = row["conversation_id"]
        merged_into = current if current != asked_id else None
        return tagged_response(request, views.conversation(row, about, datetime.now(UTC), merged_into))

    async def thread(self, request: web.Request) -> web.Response:
        """GET /conversations/{conversation_id}/messages"""
        caller = await authorise(request)
        asked_id = checked(ConversationPath, dict(request.match_info)).conversation_id
        asked = checked(ThreadQuery, query_of(request))
        if len([each for each in (asked.after, asked.before, asked.around) if each]) > 1:
            detail = "Please give one of `after`, `before` and `around`."
            raise Problem(422, "one_place_only", "The request is invalid", detail, fields=["after", "before", "around"])
        after, before = (place_of(each, ThreadPlace) if each else None for each in (asked.after, asked.before))
        unknown, limit = asked.include == "unknown", asked.limit

        async def question(pool: asyncpg.Pool) -> tuple[str, _Page, list[dict[str, Any]]]:
            current = asked_id
            if asked.around or before or await sight_of(pool, caller) is not None:
                current = await find_current(pool, caller, asked_id)
            if asked.around:
                page = await _around(pool, caller.org_id, current, asked.around, limit, unknown=unknown)
            elif before:
                rows = await reading.newer(pool, caller.org_id, current, before, limit, unknown=unknown)
                # Of the newer ones those that follow directly: what they are asked from is the older one.
                page = _Page(rows[:limit][::-1], bool(rows))
            else:
                rows = await reading.older(pool, caller.org_id, current, after, limit, unknown=unknown)
                if not rows:
                    # It is empty, or there is none of this id, or no longer.
                    current = await find_current(pool, caller, asked_id)
                    rows = await reading.older(pool, caller.org_id, current, after, limit, unknown=unknown)
                page = _Page(rows[:limit], len(rows) > limit)
            return current, page, await described(pool, page.rows)

        current, page, messages = await self.reads().ask(question)
        content = {
            "conversation_id": current,
            "messages": messages,
            "next": _cursor(page.rows[-1]) if page.more else None,
            "previous": _cursor(page.rows[0]) if page.rows else None,
        }
        return tagged_response(request, content)

    async def statuses(self, request: web.Request) -> web.Response:
        """GET /conversations/{conversation_id}/messages/{message_id}/statuses"""
        caller = await authorise(request)
        asked = checked(MessagePath, dict(request.match_info))

        async def question(pool: asyncpg.Pool) -> tuple[asyncpg.Record, Rows, dict[str, str]]:
            current = await find_current(pool, caller, asked.conversation_id)
            message = await _message(pool, caller.org_id, current, asked.message_id)
            rows = await reading.statuses(pool, message["month"], asked.message_id)
            in_group = message["group_id"] is not None
            known = (row["identifier_id"] for row in rows if in_group and row["identifier_id"])
            return message, rows, await reading.holders(pool, known)

        message, rows, holders = await self.reads().ask(question)
        in_group = message["group_id"] is not None
        content = {
            "message_id": asked.message_id,
            "statuses": [views.status(row, holders, in_group=in_group) for row in rows],
        }
        return tagged_response(request, content)

    async def search(self, request: web.Request) -> web.Response:
        """GET /conversations/search: only what a message says now is found, not what was edited or taken back."""
        caller = await authorise(request)
        asked = checked(SearchQuery, query_of(request))
        if not self.searchable:
            detail = "The texts of messages are not kept for searching here (CONVERSATIONS_SEARCH is off)."
            raise Problem(409, "search_is_off", "Nothing can be searched", detail)
        wanted = WantedTexts(
            org_id=caller.org_id,
            words=composed(asked.q),
            waba_id=asked.waba_id,
            phone_number_id=asked.phone_number_id,
            conversation_id=asked.conversation_id,
            after=place_of(asked.after, ListPlace) if asked.after else None,
            limit=asked.limit,
        )

        async def question(pool: asyncpg.Pool) -> tuple[Rows, asyncpg.Record | None, list[dict[str, Any]]]:
            limited = replace(wanted, sight=await sight_of(pool, caller))
            page, last = page_of(await reading.search(pool, limited), asked.limit)
            return page, last, await _found(pool, caller.org_id, page)

        _, last, messages = await self.reads().ask(question)
        content = {
            "messages": messages,
            "next": cursor_of((last["at"], last["message_id"])) if last else None,
        }
        return json_response(content)


async def described(pool: asyncpg.Pool, rows: Rows) -> list[dict[str, Any]]:
    """Messages with what was said about them later, what they reply to, and why they failed."""
    messages, _ = await described_and_remarks(pool, rows)
    return messages


async def described_and_remarks(
    pool: asyncpg.Pool, rows: Rows, also: Iterable[SaidAt] = ()
) -> tuple[list[dict[str, Any]], dict[str, list[asyncpg.Record]]]:
    """The same, and what was said about them and `also` about other messages; in one go."""
    here = {row["message_id"]: row for row in rows}
    wanted = ids_of(rows, "context_id", without=here)
    here |= {row["message_id"]: row for row in await reading.messages(pool, wanted)}
    asked = [*also, *(SaidAt(row["org_id"], row["message_id"], row["at"]) for row in here.values())]
    about_all, failures, media = await asyncio.gather(
        reading.remarks(pool, asked),
        reading.failures(pool, ((row["month"], row["message_id"]) for row in rows if row["failed_at"])),
        media_of(pool, ids_of(rows, "message_id")),
    )
    about, failed = _by_message(about_all), _by_message(failures, "message_id")
    holders = await reading.holders(pool, views.senders([*rows, *about_all]))

    def medium(row: asyncpg.Record, said: dict[str, Any]) -> dict[str, Any]:
        found = media.get(row["message_id"])
        return {**said, "medium": view(found, revoked=said["revoked_at"] is not None) if found else None}

    def quoted(row: asyncpg.Record) -> dict[str, Any] | None:
        context = row["context_id"]
        return views.quoted(context, here.get(context), about.get(context, ())) if context else None

    messages = [
        medium(
            row,
            views.message(
                row, about.get(row["message_id"], ()), quoted(row), failed.get(row["message_id"], ()), holders
            ),
        )
        for row in rows
    ]
    return messages, about


async def _found(pool: asyncpg.Pool, org_id: str, found: Rows) -> list[dict[str, Any]]:
    """What was found as the messages that it is of, each once."""
    edited = {row["about_id"] for row in found if row["kind"] == "edit" and row["about_id"]}
    targets = {row["message_id"]: row for row in await reading.messages(pool, {org_id: edited})}
    pairs = [(row, row if row["kind"] != "edit" else targets.get(row["about_id"])) for row in found]
    about = _by_message(
        await reading.remarks(pool, (SaidAt(org_id, row["message_id"], row["at"]) for _, row in pairs if row))
    )
    standing = {
        row["message_id"]: row
        for found_row, row in pairs
        if row and views.is_found(found_row, about.get(row["message_id"], ()))
    }
    rows = list(standing.values())
    messages = await described(pool, rows)
    return [{**message, "conversation_id": row["conversation_id"]} for row, message in zip(rows, messages, strict=True)]


async def _around(
    pool: asyncpg.Pool, org_id: str, conversation_id: str, message_id: str, limit: int, *, unknown: bool
) -> _Page:
    """A page with a message in its middle, and as many as there are around it."""
    middle = await _message(pool, org_id, conversation_id, message_id)
    if middle["kind"] not in reading.SHOWN_KINDS:
        raise _no_message()
    place = middle["at"], middle["tie"], message_id
    newer = (await reading.newer(pool, org_id, conversation_id, place, limit // 2, unknown=unknown))[: limit // 2]
    rest = limit - 1 - len(newer)
    older = await reading.older(pool, org_id, conversation_id, place, rest, unknown=unknown)
    return _Page([*newer[::-1], middle, *older[:rest]], len(older) > rest)


async def find_current(pool: asyncpg.Pool, caller: Caller, asked: str) -> str:
    """The id that a conversation has now. Raises a 404 problem where there is none that the caller sees."""
    current = await reading.current_id(pool, caller.org_id, asked, await sight_of(pool, caller))
    if current is None:
        raise _no_conversation()
    return current


async def _message(pool: asyncpg.Pool, org_id: str, conversation_id: str, message_id: str) -> asyncpg.Record:
    found = await reading.messages(pool, {org_id: [message_id]})
    if not found or found[0]["conversation_id"] != conversation_id:
        raise _no_message()
    return found[0]


async def about_last(pool: asyncpg.Pool, rows: Rows) -> Rows:
    """What was said about the last messages of conversations."""
    return await reading.remarks(pool, last_of(rows))


def last_of(rows: Rows) -> list[SaidAt]:
    """The last messages of conversations."""
    return [SaidAt(row["org_id"], row["last_id"], row["last_said_at"]) for row in rows if row["last_id"]]


def ids_of(rows: Iterable[asyncpg.Record], name: str, without: Container[str] = ()) -> dict[str, set[str]]:
    """What a column of messages names, by their organisations, `without` some."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if (named := row[name]) and named not in without:
            found.setdefault(row["org_id"], set()).add(named)
    return found


def _by_message(rows: Rows, name: str = "about_id") -> dict[str, list[asyncpg.Record]]:
    found: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


def _cursor(row: asyncpg.Record) -> str:
    return cursor_of((row["at"], row["tie"], row["message_id"]))


def _agent(caller: Caller, assignee: str | None) -> str | None:
    """Whose conversations are asked for. Raises a 403 problem where nobody knows who asks."""
    if assignee in (None, "none"):
        return None
    return subject_of(caller) if assignee == "me" else assignee


def _no_message() -> Problem:
    return Problem(404, "message_not_found", "No such message", "There is no such message in this conversation.")


def _no_conversation() -> Problem:
    return Problem(
        404, "conversation_not_found", "No such conversation", "There is no conversation of yours with this id."
    )
