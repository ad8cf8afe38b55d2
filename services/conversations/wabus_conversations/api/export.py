"""Everything that is kept of one person, some records at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
from wabus_runtime.postgres.read_replica import Reads

from wabus_conversations.api.media import media_of, view
from wabus_conversations.api.views import SOURCES, STATES
from wabus_conversations.tables import reading_contacts as reading

AT_ONCE = 500  # messages

Json = dict[str, Any]
_Page = tuple[list[asyncpg.Record], dict[str, list[Json]], dict[str, asyncpg.Record]]
"""Messages, and of each its statuses and its medium."""


async def everything(reads: Reads, org_id: str, contact: Json) -> AsyncIterator[Sequence[Json]]:
    """The person, all messages of their threads with their statuses, what they wrote in groups, and what became there
    of others' messages with them; then the end.

    Messages are as they are kept, also what was edited, or taken back: what `worker/holdings.py` has of a contact,
    but for what is of others who had the same number before or after them.
    """
    yield [{"record": "contact", **contact}]
    person = contact["contact_id"]
    own = [each["conversation_id"] for each in contact["conversations"]]
    groups = await reads.ask(lambda pool: reading.groups(pool, org_id))
    identifiers = await reads.ask(lambda pool: reading.identifiers_of(pool, person))
    count = 0
    for conversation_ids, by in ((own, None), (groups, identifiers)):
        place = reading.EXPORT_BEGIN
        while conversation_ids:
            rows, statuses, media = await reads.ask(_page(org_id, conversation_ids, by, place))
            if not rows:
                break
            yield [_record(row, statuses, media.get(row["message_id"])) for row in rows]
            count += len(rows)
            place = rows[-1]["conversation_id"], rows[-1]["at"], rows[-1]["message_id"]
    after = reading.STATUSES_BEGIN
    while groups:
        rows = await reads.ask(_memberships(groups, identifiers, after))
        if not rows:
            break
        yield [{"record": "status", **{name: row[name] for name in _OF_STATUS}} for row in rows]
        after = rows[-1]["conversation_id"], rows[-1]["message_id"], rows[-1]["participant"], rows[-1]["status"]
    yield [{"record": "end", "messages": count}]


_OF_STATUS = ("message_id", "conversation_id", "status", "at", "content")


def _memberships(
    groups: Sequence[str], identifiers: Sequence[str], after: reading.StatusPlace
) -> Callable[[asyncpg.Pool], Awaitable[list[asyncpg.Record]]]:
    async def question(pool: asyncpg.Pool) -> list[asyncpg.Record]:
        return await reading.export_memberships(pool, groups, identifiers, after, AT_ONCE)

    return question


def _page(
    org_id: str, conversation_ids: Sequence[str], by: Sequence[str] | None, after: reading.ExportPlace
) -> Callable[[asyncpg.Pool], Awaitable[_Page]]:
    async def question(pool: asyncpg.Pool) -> _Page:
        rows = await reading.export(pool, conversation_ids, by, after, AT_ONCE)
        statuses: dict[str, list[Json]] = {}
        if by is None:
            for row in await reading.export_statuses(pool, [(row["month"], row["message_id"]) for row in rows]):
                told = {"status": row["status"], "at": row["at"], "content": row["content"]}
                statuses.setdefault(row["message_id"], []).append(told)
        media = await media_of(pool, {org_id: [row["message_id"] for row in rows]})
        return rows, statuses, media

    return question


def _record(row: asyncpg.Record, statuses: dict[str, list[Json]], medium: asyncpg.Record | None) -> Json:
    names = (
        "message_id", "conversation_id", "wamid", "at", "kind", "type", "name", "username", "content", "about_id",
        "context_id",
    )  # fmt: skip
    return {
        "record": "message",
        "direction": "out" if row["outgoing"] else "in",
        "source": SOURCES[row["source"]],
        "state": STATES.get(row["state"]),
        **{name: row[name] for name in names},
        "statuses": statuses.get(row["message_id"], []),
        "medium": view(medium) if medium else None,
    }
