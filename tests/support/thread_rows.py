"""Folds events into tables as the worker does, and compares the rows with the reference's."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import naive_threads
from naive_threads import Naive, NaiveMessage
from threads import IDS, ORG, facts, person, rules
from wabus_conversations.threads.gathering import Batch, gather
from wabus_conversations.threads.ids import message_id
from wabus_conversations.worker import forgetting, writing
from wabus_conversations.worker.keeping import Keeping
from wabus_events import ContactForgotten, Event, contact_id, identity_of
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.erasing import draw

TABLES = (
    "identifiers", "identity_evidence", "persons", "conversations", "former_conversations", "message_places",
    "messages", "message_statuses", "contact_facts", "histories", "erasures", "retention", "scopes", "service_start",
    "media", "media_objects", "media_leftovers", "conversation_work", "work_events", "notes", "work_settings",
    "agent_turns", "presence",
)  # fmt: skip


KEY = b"a key of thirty-two bytes or more"

_OF_MESSAGE = ("at", "source", "outgoing", "kind", "type", "state", "unread", "opens")


async def clear(pool: asyncpg.Pool) -> None:
    await pool.execute(f"TRUNCATE {', '.join(TABLES)}")


async def fold(connection: Connection, events: Sequence[Event], keeping: Keeping | None = None) -> None:
    """One batch, in one transaction."""
    found, kept = facts(events), keeping or Keeping(KEY, 30)

    async def gathered(gone: frozenset[str]) -> Batch:
        return gather(found, rules(forgotten_at=kept.forgotten_at), gone)

    async with connection.transaction():
        await writing.write(connection, gathered, None, IDS, kept)


async def forget(pool: asyncpg.Pool, value: str, until: datetime) -> None:
    """Draw a line as the kernel does: somebody is forgotten by one of the ids that they are known by."""
    lines = [(identity_of(KEY, ContactForgotten, contact_id(value), ORG), until)]
    async with pool.acquire() as connection, connection.transaction():
        await draw(connection, lines)
        await forgetting.forget(connection, lines, IDS)


async def fold_all(pool: asyncpg.Pool, batches: Sequence[Sequence[Event]]) -> None:
    """Batches one after the other, as one worker."""
    keeping = Keeping(KEY, 30)
    async with pool.acquire() as connection:
        for batch in batches:
            await fold(connection, batch, keeping)


async def fold_beside(pool: asyncpg.Pool, *workers: Sequence[Sequence[Event]]) -> None:
    """Several workers at once, each with its batches."""
    await asyncio.gather(*(fold_all(pool, batches) for batches in workers))


async def held(pool: asyncpg.Pool) -> dict[str, Any]:
    """What is in the tables, but for the order of messages of one second and what nobody asks for."""
    conversations = await pool.fetch("SELECT * FROM conversations")
    messages = await pool.fetch("SELECT * FROM messages")
    statuses = await pool.fetch("SELECT * FROM message_statuses")
    people = await pool.fetch("SELECT * FROM identifiers")
    return {
        "conversations": {str(row["conversation_id"]): _conversation(row) for row in conversations},
        "messages": {
            str(row["message_id"]): {
                "conversation": str(row["conversation_id"]),
                **{name: row[name] for name in _OF_MESSAGE},
                "times": {
                    word: at
                    for word in ("sent", "delivered", "read", "played", "failed")
                    if (at := row[f"{word}_at"]) is not None
                },
            }
            for row in messages
        },
        "statuses": {
            (str(row["message_id"]), row["participant"], row["status"], row["at"]) for row in statuses
        },
        "people": {
            str(row["identifier_id"]): (str(row["person_id"]), str(row["holder_id"]), row["first_seen"])
            for row in people
        },
        "persons": {str(row[0]) for row in await pool.fetch("SELECT person_id FROM persons")},
        "books": {
            str(row["identifier_id"]): (row["book_at"], row["book_name"]) for row in people if row["book_at"]
        },
    }  # fmt: skip


def expected(found: Naive) -> dict[str, Any]:
    """The same, by the reference."""
    people = found.people
    ever = datetime.max.replace(tzinfo=naive_threads.make.START.tzinfo)
    return {
        "conversations": {_conversation_id(key): row for key, row in found.conversations.items()},
        "messages": {_message_id(message): _message(message) for message in found.messages.values()},
        "statuses": {
            (message_id(ORG, number, wamid), *rest) for number, wamid, *rest in found.statuses
        },
        "people": {
            identifier: (people.holder(identifier, seen.at), people.holder(identifier, ever), seen.at)
            for identifier, seen in people.seen.items()
        },
        "persons": {people.holder(identifier, seen.at) for identifier, seen in people.seen.items()},
        "books": {person(value): told for value, told in found.books.items()},
    }  # fmt: skip


def _conversation(row: Any) -> dict[str, Any]:
    names = (
        "first_at", "last_at", "history_at", "unread", "user_last_at", "maybe_at", "refused_at", "referred_at",
        "free_reported_until", "free_computed_until", "name",
    )  # fmt: skip
    return {name: row[name] for name in names}


def _message(message: NaiveMessage) -> dict[str, Any]:
    return {
        "conversation": _conversation_id(message.key),
        **{name: getattr(message, name) for name in _OF_MESSAGE},
        "times": message.times,
    }


def _conversation_id(key: tuple[str, str | None, str | None]) -> str:
    number, who, group = key
    if who is None:
        return IDS.group_conversation(ORG, number, group or "")
    return IDS.conversation(ORG, number, who)


def _message_id(message: NaiveMessage) -> str:
    call, _, ended = message.wamid.partition(" ")
    return message_id(ORG, message.number, f"{call}\x1fterminate\x1f" if ended else message.wamid)
