"""Events of `conversations.v1` become rows: of two who take the same conversation, the first in the log has it.

A projection of its own, for what it locks it locks at its beginning: in a transaction with messages, which lock some
scopes and then perhaps others alone, two could wait for each other.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
from wabus_events import (
    CONVERSATIONS,
    ConversationAssigned,
    ConversationEvent,
    ConversationMarkedUnread,
    ConversationRead,
    NoteAdded,
    NoteRemoved,
    RoutingChanged,
    TeamsChanged,
)
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Apply, Recorded, Write
from wabus_runtime.projection.replay_over import LastingTables
from wabus_whatsapp.forgetting import Lines

from wabus_conversations.settings import ConversationsFoldSettings
from wabus_conversations.tables.locks import lock_everything, lock_everything_shared
from wabus_conversations.tables.work import events, notes, settings, state
from wabus_conversations.tables.work.events import Folded
from wabus_conversations.tables.work.notes import NOTES_MOST, Note
from wabus_conversations.tables.work.state import Place
from wabus_conversations.work.audiences import SIGHTS_ID
from wabus_conversations.work.state import NOTHING_DONE, MessagePlace, Work, fold
from wabus_conversations.worker.changed import Changed, Untold

NAME = "conversations-work"
REBUILDING = "conversations-work-rebuild"
"""The name under which the log is folded again, beside the workers."""
PACKAGE = "wabus_conversations"
SUBSCRIBED = (CONVERSATIONS,)


async def run(conversations: ConversationsFoldSettings, pool: asyncpg.Pool, ready: Callable[[], None]) -> None:
    """Fold for ever."""
    await project(conversations, pool, declared(NAME), ready)


def declared(name: str) -> Projection:
    """The projection: what is older than that somebody was forgotten, it is not given."""
    changes = Changed if name == NAME else Untold

    def folding() -> Apply:
        async def apply(records: Sequence[Recorded]) -> Write:
            async def write(connection: Connection) -> None:
                noted = changes()
                await _write(connection, records, noted, datetime.now(UTC))
                await noted.write(connection)

            return write

        return apply

    return Projection(name, SUBSCRIBED, folding, PACKAGE, erase=_erase)


@asynccontextmanager
async def _folding_again(_: ConversationsFoldSettings, __: asyncpg.Pool) -> AsyncGenerator[Projection]:
    yield declared(REBUILDING)


async def _mend(pool: asyncpg.Pool) -> None:
    """Nothing follows from other rows but what `wabus rebuild conversations` mends."""


TABLES = LastingTables(PACKAGE, ConversationsFoldSettings, _folding_again, REBUILDING, NAME, _mend)
"""`wabus rebuild conversations-work`: an event that was folded changes nothing again, one that is missing does."""


async def _erase(connection: Connection, lines: Lines) -> None:
    """Nothing: what is done with a conversation goes with it, and an organisation's is deleted as the rest of it."""


class _Told(NamedTuple):
    """An event and the conversation that it is about now."""

    event: ConversationEvent
    conversation_id: str


async def _write(connection: Connection, records: Sequence[Recorded], noted: Changed, now: datetime) -> None:
    """Fold some records, in the transaction of the connection."""
    told = [record.event for record in records if isinstance(record.event, ConversationEvent) and record.event.org_id]
    whole = [record.event for record in records if isinstance(record.event, TeamsChanged | RoutingChanged)]
    await _lock(connection, told)
    now_called = {
        (org_id, asked): current
        for org_id in sorted({event.org_id or "" for event in told})
        for asked, current in (
            await state.current(connection, org_id, {each.conversation_id for each in told if each.org_id == org_id})
        ).items()
    }
    about = [
        _Told(event, now_called.get((event.org_id or "", event.conversation_id), event.conversation_id))
        for event in told
    ]
    folded = {
        event.id: Folded(event.id, event.org_id or "", event.waba_id, conversation_id, event.time)
        for event, conversation_id in about
    } | {event.id: Folded(event.id, event.org_id, None, None, event.time) for event in whole if event.org_id}
    new = await events.new(connection, list(folded.values()))
    fresh = [each for each in _once(about) if each.event.id in new]
    outcomes = await _fold(connection, fresh, noted, now)
    await events.write_outcomes(connection, outcomes)
    for event in whole:
        if event.id not in new or not event.org_id:
            continue
        if isinstance(event, RoutingChanged):
            await settings.write_rules(connection, event)
        elif await settings.write_teams(connection, event):
            noted.row({SIGHTS_ID: event.org_id})


async def _lock(connection: Connection, told: Sequence[ConversationEvent]) -> None:
    """Let nobody move or delete conversations meanwhile, nor begin one that is not there, if one is not."""
    ids = {event.conversation_id for event in told}
    if not ids:
        return
    if await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM unnest($1::uuid[]) AS asked(id) WHERE NOT EXISTS (
            SELECT FROM conversations WHERE conversation_id = asked.id
        ))
        """,
        sorted(ids),
    ):
        await lock_everything(connection)
    else:
        await lock_everything_shared(connection)


async def _fold(connection: Connection, told: Sequence[_Told], noted: Changed, now: datetime) -> dict[str, str]:
    """Fold events that nobody has folded, in their order; what came of each."""
    held = await state.locked(connection, {each.conversation_id for each in told})
    after: dict[str, tuple[Place, Work]] = {}
    outcomes: dict[str, str] = {}
    given: dict[tuple[str, str], datetime] = {}
    for event, conversation_id in told:
        before = after[conversation_id][1] if conversation_id in after else held.get(conversation_id, NOTHING_DONE)
        work, outcomes[event.id] = fold(before, event)
        after[conversation_id] = Place(event.org_id or "", event.waba_id), work
        if isinstance(event, ConversationAssigned) and event.agent and outcomes[event.id] == "done":
            given[event.org_id or "", event.agent] = event.time
    outcomes |= await _write_notes(connection, told)
    unread = await _mark(connection, told, after)
    changed = {each: done for each, done in after.items() if done[1] != held.get(each, NOTHING_DONE)}
    await state.write(connection, changed, now)
    await state.count_unread(connection, unread)
    await settings.take_turns(connection, given)
    noted.row({conversation_id: place.org_id for conversation_id, (place, _) in after.items()})
    noted.moved(
        {
            conversation_id: place.org_id
            for conversation_id, (place, work) in changed.items()
            if (before := held.get(conversation_id, NOTHING_DONE)).audience != work.audience
            or before.agent != work.agent
        }
    )
    return outcomes


async def _mark(connection: Connection, told: Sequence[_Told], after: dict[str, tuple[Place, Work]]) -> set[str]:
    """Mark messages as read, and as unread, in the order of the events; the conversations of which some were."""
    marks: dict[str, bool] = {}
    seen: dict[str, MessagePlace] = {}
    for event, conversation_id in told:
        if isinstance(event, ConversationRead) and (read := after[conversation_id][1].read):
            seen[conversation_id] = read
            marks[conversation_id] = False
        elif isinstance(event, ConversationMarkedUnread):
            marks[conversation_id] = True
    touched = await state.mark_read(connection, seen) if seen else set[str]()
    again = {conversation_id for conversation_id, unread in marks.items() if unread}
    return touched | (await state.mark_unread(connection, again) if again else set[str]())


async def _write_notes(connection: Connection, told: Iterable[_Told]) -> dict[str, str]:
    """Add and remove notes; what came of those that there is no room for."""
    told = [each for each in told if isinstance(each.event, NoteAdded | NoteRemoved)]
    if not told:
        return {}
    counts = await notes.counts(connection, {each.conversation_id for each in told})
    added: dict[str, Note] = {}
    removed: dict[str, set[str]] = {}
    outcomes: dict[str, str] = {}
    for event, conversation_id in told:
        org_id = event.org_id or ""
        if isinstance(event, NoteRemoved):
            removed.setdefault(org_id, set()).add(event.note_id)
            added.pop(event.note_id, None)
        elif isinstance(event, NoteAdded):
            if counts.get(conversation_id, 0) >= NOTES_MOST:
                outcomes[event.id] = "too_many"
                continue
            counts[conversation_id] = counts.get(conversation_id, 0) + 1
            added[event.note_id] = Note(
                event.note_id, org_id, event.waba_id, conversation_id, event.time, event.by, event.text
            )
    for org_id, note_ids in removed.items():
        await notes.remove(connection, org_id, note_ids)
    await notes.add(connection, list(added.values()))
    return outcomes


def _once(told: Iterable[_Told]) -> list[_Told]:
    """The first of each event, in their order."""
    return list({each.event.id: each for each in reversed(list(told))}.values())[::-1]
