"""The plain way to the rows of a projection: they are known already, and go by COPY and upsert into the same tables."""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
from wabus_events import Event, MessageReceived, MessageStatusChanged, WabaEvent
from wabus_health_projector.worker.projector import PROJECTION
from wabus_runtime.postgres.database import migrate
from wabus_runtime.settings import DatabaseSettings, load

SCHEMA = "plain"
Rows = dict[tuple[Any, ...], tuple[Any, ...]]
"""The rows of a table by their key."""
Keys = dict[str, set[tuple[Any, ...]]]
"""Which rows of which tables."""


async def plain(database: asyncpg.Connection, events: Iterable[Event], size: int) -> tuple[float, int]:
    """Write the rows that the projector has made of these events, with an offset a transaction of `size` events.

    Returns the seconds that the database took, and how many rows were written, each as often as a batch touched it.
    """
    held = {table.name: await rows_of(database, table.name, table.key) for table in PROJECTION.tables}
    batches = [touched(batch) for batch in in_batches(events, size)]
    await database.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    await migrate(load(DatabaseSettings), "wabus_health_projector", SCHEMA)
    writer = await asyncpg.connect(load(DatabaseSettings).database_url.get_secret_value(), command_timeout=60)
    try:
        await writer.execute(f"SET search_path TO {SCHEMA}")
        await writer.execute(
            "INSERT INTO projection_offsets (projection, topic, partition, owner) "
            "VALUES ('plain', '', 0, gen_random_uuid())"
        )
        upserts = {table.name: await prepared_upsert(writer, table.name, table.key) for table in PROJECTION.tables}
        took, written = 0.0, 0
        for batch in batches:
            rows = {name: [held[name][key] for key in sorted(keys)] for name, keys in batch.items()}
            begun = time.perf_counter()
            await write(writer, rows, upserts)
            took += time.perf_counter() - begun
            written += sum(map(len, rows.values()))
    finally:
        await writer.close()
    return took, written


def in_batches(events: Iterable[Event], size: int) -> Iterator[list[Event]]:
    remaining = iter(events)
    while batch := list(islice(remaining, size)):
        yield batch


def touched(events: Sequence[Event]) -> Keys:
    """The rows that these events change; each once, for that is all that a batch needs to write."""
    keys: Keys = {}
    for event in events:
        match event:
            case MessageReceived() | MessageStatusChanged():
                hour = event.time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
                kind = event.status if isinstance(event, MessageStatusChanged) else "received"
                keys.setdefault("counted_messages", set()).add((UUID(event.id), event.time.date()))
                org_id = event.org_id or ""
                keys.setdefault("message_counts", set()).add((event.waba_id, hour, event.phone_number_id, kind))
                own = event.waba_id, hour, event.phone_number_id, kind, org_id
                keys.setdefault("organisation_counts", set()).add(own)
                for code in event.error_codes if isinstance(event, MessageStatusChanged) else ():
                    failed = event.waba_id, hour, event.phone_number_id, code, org_id
                    keys.setdefault("organisation_failures", set()).add(failed)
            case WabaEvent(org_id=str(org_id)):
                keys.setdefault("waba_health", set()).add((event.waba_id,))
                keys.setdefault("webhook_health", set()).add((org_id,))
            case _:
                pass
    return keys


async def rows_of(database: asyncpg.Connection, table: str, key: str) -> Rows:
    columns = key.split(", ")
    return {tuple(row[name] for name in columns): tuple(row) for row in await database.fetch(f"SELECT * FROM {table}")}


async def prepared_upsert(writer: asyncpg.Connection, table: str, key: str) -> Any:
    """The statement that moves the rows of a temporary table into the table itself."""
    await writer.execute(f"CREATE TEMP TABLE new_{table} (LIKE {table}) ON COMMIT DELETE ROWS")
    columns = [
        each["attname"]
        for each in await writer.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped", table
        )
    ]
    rest = [column for column in columns if column not in key.split(", ")]
    changes = ", ".join(f"{column} = excluded.{column}" for column in rest)
    instead = f"UPDATE SET {changes}" if changes else "NOTHING"
    return await writer.prepare(f"INSERT INTO {table} SELECT * FROM new_{table} ON CONFLICT ({key}) DO {instead}")


async def write(writer: asyncpg.Connection, rows: dict[str, list[tuple[Any, ...]]], upserts: dict[str, Any]) -> None:
    async with writer.transaction():
        await writer.execute("UPDATE projection_offsets SET next_offset = next_offset + 1")
        for table, new in rows.items():
            await writer.copy_records_to_table(f"new_{table}", records=new)
            await upserts[table].fetch()
