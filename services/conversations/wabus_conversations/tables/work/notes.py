"""Notes that colleagues write for each other about a conversation."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

NOTES_MOST = 1_000
"""Notes of one conversation."""

Place = tuple[datetime, str]
"""Of a note among those of its conversation: when it was written, and its id."""


class Note(NamedTuple):
    """A row of `notes`."""

    note_id: str
    org_id: str
    waba_id: str
    conversation_id: str
    at: datetime
    author: str | None
    text: str


async def counts(connection: asyncpg.Pool | Connection, conversation_ids: Iterable[str]) -> dict[str, int]:
    """How many notes conversations have; without those that have none."""
    rows = await connection.fetch(
        """
        SELECT conversation_id::text, count(*) FROM notes WHERE conversation_id = ANY($1) GROUP BY conversation_id
        """,
        sorted(set(conversation_ids)),
    )
    return {row[0]: row[1] for row in rows}


async def add(connection: Connection, notes: Sequence[Note]) -> None:
    """Add notes; one that is there stays as it is."""
    if notes:
        await connection.executemany(
            """
            INSERT INTO notes (note_id, org_id, waba_id, conversation_id, at, author, text)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (note_id) DO NOTHING
            """,
            notes,
        )


async def remove(connection: Connection, org_id: str, note_ids: Iterable[str]) -> None:
    """Delete notes of an organisation."""
    await connection.execute("DELETE FROM notes WHERE org_id = $1 AND note_id = ANY($2)", org_id, list(note_ids))


async def some(
    connection: asyncpg.Pool | Connection, org_id: str, conversation_id: str, after: Place | None, limit: int
) -> list[asyncpg.Record]:
    """Notes of a conversation, the newest first, and one more if there is another page."""
    return await connection.fetch(
        """
        SELECT note_id::text, at, author, text FROM notes
        WHERE org_id = $1 AND conversation_id = $2 AND ($3::timestamptz IS NULL OR (at, note_id) < ($3, $4::uuid))
        ORDER BY at DESC, note_id DESC LIMIT $5
        """,
        org_id,
        conversation_id,
        *(after or (None, None)),
        limit + 1,
    )


async def author_of(
    connection: asyncpg.Pool | Connection, org_id: str, conversation_id: str, note_id: str
) -> asyncpg.Record | None:
    """Who wrote a note; None if it is not there."""
    return await connection.fetchrow(
        "SELECT author FROM notes WHERE org_id = $1 AND conversation_id = $2 AND note_id = $3",
        org_id,
        conversation_id,
        note_id,
    )
