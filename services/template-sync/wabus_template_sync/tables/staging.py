"""A sync's changes count from its end on: here they are put into that order, and kept until then where it is far.

So readers never see half a listing, however large it is: Kafka has the changes and the end in one transaction, and
what is read in several batches is written to the tables in the last of them.
"""

from collections.abc import AsyncGenerator, Sequence

import orjson
from wabus_events import (
    Event,
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateConfirmed,
    TemplateQualityChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
)
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded

CHUNK = 500  # events at once


async def in_order(connection: Connection, records: Sequence[Recorded]) -> AsyncGenerator[list[Event]]:
    """The events about templates in chunks, each sync's changes moved to its end. Stages those without one."""
    ends = [record.event.sync_id for record in records if isinstance(record.event, TemplatesSynced)]
    staged = set(await _staged_syncs(connection, ends)) if ends else set[str]()
    held: dict[str, list[Recorded]] = {}
    chunk: list[Event] = []
    for record in records:
        match record.event:
            case TemplateChanged(sync_id=str(sync_id)) | TemplateRemoved(sync_id=str(sync_id)):
                held.setdefault(sync_id, []).append(record)
            case TemplatesSynced(sync_id=sync_id) as synced:
                if sync_id in staged:
                    staged.remove(sync_id)
                    async for events in _unstaged(connection, sync_id):
                        yield chunk + events
                        chunk = []
                chunk += [earlier.event for earlier in held.pop(sync_id, ())]
                chunk.append(synced)
            case (
                TemplateChanged()
                | TemplateRemoved()
                | TemplateConfirmed()
                | TemplateStatusChanged()
                | TemplateQualityChanged()
                | TemplateCategoryChanged()
            ) as event:
                chunk.append(event)
            case _:
                continue
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
    await _stage(connection, held)


async def _stage(connection: Connection, held: dict[str, list[Recorded]]) -> None:
    for sync_id, records in held.items():
        for first in range(0, len(records), CHUNK):
            await connection.executemany(
                "INSERT INTO template_staged (sync_id, position, event) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                [(sync_id, record.offset, _staged(record.event)) for record in records[first : first + CHUNK]],
            )


def _staged(event: Event) -> orjson.Fragment:
    """The event's fields and envelope as one JSON object, without the dicts in between."""
    about = {"type": event.type, "id": event.id, "time": event.time.isoformat(), "org_id": event.org_id}
    return orjson.Fragment(orjson.dumps(about)[:-1] + b"," + event.model_dump_json().encode()[1:])


async def _staged_syncs(connection: Connection, sync_ids: Sequence[str]) -> list[str]:
    rows = await connection.fetch(
        """
        SELECT sync_id FROM unnest($1::text[]) AS ended(sync_id)
        WHERE EXISTS (SELECT FROM template_staged AS s WHERE s.sync_id = ended.sync_id)
        """,
        sync_ids,
    )
    return [row["sync_id"] for row in rows]


async def _unstaged(connection: Connection, sync_id: str) -> AsyncGenerator[list[Event]]:
    """What a sync has staged, in chunks, taken out."""
    last = -1
    while True:
        rows = await connection.fetch(
            """
            SELECT position, event FROM template_staged
            WHERE sync_id = $1 AND position > $2 ORDER BY position LIMIT $3
            """,
            sync_id,
            last,
            CHUNK,
        )
        if not rows:
            break
        last = rows[-1]["position"]
        yield [
            (TemplateChanged if row["event"]["type"] == TemplateChanged.type else TemplateRemoved).model_validate(
                row["event"]
            )
            for row in rows
        ]
    await connection.execute("DELETE FROM template_staged WHERE sync_id = $1", sync_id)
