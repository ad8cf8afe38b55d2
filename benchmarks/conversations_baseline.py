"""The plain way to the rows of conversations: they are known already, and go by COPY and upsert into the tables."""

import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg
from projection_baseline import prepared_upsert, write
from wabus_conversations.threads.ids import message_id
from wabus_events import Event, MessageReceived, MessageStatusChanged
from wabus_runtime.postgres.database import migrate
from wabus_runtime.settings import DatabaseSettings, load

SCHEMA = "plain"
KEYS = {
    "identifiers": "identifier_id",
    "persons": "person_id",
    "message_places": "message_id",
    "messages": "month, message_id",
    "message_statuses": "month, message_id, participant, status",
    "conversations": "conversation_id",
}
"""In the order in which they are written."""

Rows = dict[Any, tuple[Any, ...]]


async def plain(url: str, batches: Iterable[list[Event]]) -> tuple[float, float, int]:
    """Write the rows that the worker has made of these events, each as often as a batch touches it.

    Returns the seconds that the database took, those of this process's CPU meanwhile, and how many rows were written.
    """
    reader = await asyncpg.connect(url, server_settings={"search_path": "conversations"})
    held = await _held(reader)
    await reader.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    await reader.close()
    await migrate(load(DatabaseSettings), "wabus_conversations", SCHEMA)
    writer = await asyncpg.connect(url, command_timeout=60)
    try:
        await _binary_json(writer)
        await writer.execute(f"SET search_path TO {SCHEMA}")
        await writer.execute(
            "INSERT INTO projection_offsets (projection, topic, partition, owner) "
            "VALUES ('plain', '', 0, gen_random_uuid())"
        )
        # What is worked out by the database itself can't be written.
        await writer.execute("ALTER TABLE conversations ALTER COLUMN sorted_at DROP EXPRESSION")
        upserts = {table: await prepared_upsert(writer, table, key) for table, key in KEYS.items()}
        took, cpu, written = 0.0, 0.0, 0
        seen: set[Any] = set()
        for batch in batches:
            rows = _touched(batch, held, seen)
            begun, burnt = time.perf_counter(), time.process_time()
            await write(writer, rows, upserts)
            took += time.perf_counter() - begun
            cpu += time.process_time() - burnt
            written += sum(map(len, rows.values()))
    finally:
        await writer.close()
    return took, cpu, written


async def _held(reader: asyncpg.Connection) -> dict[str, Rows]:
    """The rows of each table by their key."""
    await _binary_json(reader)
    found: dict[str, Rows] = {}
    for table, key in KEYS.items():
        columns = [column for column in key.split(", ") if column != "month"]
        rows = await reader.fetch(f"SELECT * FROM {table}", timeout=600)
        found[table] = {tuple(row[column] for column in columns): tuple(row) for row in rows}
    found["of_person"] = {
        (row[0],): (row[1],) for row in await reader.fetch("SELECT person_id, conversation_id FROM conversations")
    }
    values = "SELECT org_id, value, identifier_id, person_id FROM identifiers"
    found["by_value"] = {(row[0], row[1]): (row[2], row[3]) for row in await reader.fetch(values)}
    return found


def _touched(events: list[Event], held: dict[str, Rows], seen: set[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that these events change, each once; of people and places only those that are new."""
    keys: dict[str, set[Any]] = {table: set() for table in KEYS}
    for event in events:
        if not isinstance(event, MessageReceived | MessageStatusChanged):
            continue
        message = UUID(message_id(event.org_id or "", event.phone_number_id, event.wamid))
        keys["messages"].add((message,))
        keys["message_places"].add((message,))
        of_event = [held["by_value"][event.org_id, value] for value in (event.wa_id, event.user_id) if value]
        keys["identifiers"] |= {(identifier,) for identifier, _ in of_event}
        keys["persons"] |= {(person,) for _, person in of_event}
        if isinstance(event, MessageStatusChanged):
            keys["message_statuses"].add((message, "", event.status))
            if message in seen:
                continue
        keys["conversations"].add(held["of_person"][of_event[0][1],])
        seen.add(message)
    for table in ("identifiers", "persons", "message_places"):
        keys[table] -= seen
        seen |= keys[table]
    return {table: [held[table][key] for key in sorted(found)] for table, found in keys.items()}


async def _binary_json(connection: asyncpg.Connection) -> None:
    """JSON as it is on the wire: nothing is worked out here."""
    await connection.set_type_codec(
        "jsonb",
        encoder=_to_jsonb,
        decoder=_from_jsonb,
        schema="pg_catalog",
        format="binary",
    )


def _to_jsonb(value: bytes) -> bytes:
    return b"\x01" + value


def _from_jsonb(value: bytes) -> bytes:
    return value[1:]
