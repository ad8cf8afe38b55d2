"""Which events of `conversations.v1` are folded, and what came of each: none counts twice, and the API asks here."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection


class Folded(NamedTuple):
    """An event that is being folded."""

    event_id: str
    org_id: str
    waba_id: str | None
    conversation_id: str | None
    at: datetime


async def new(connection: Connection, events: Sequence[Folded]) -> set[str]:
    """Those that nobody has folded; whoever folds them at the same time is waited for."""
    if not events:
        return set()
    rows = await connection.fetch(
        """
        INSERT INTO work_events (event_id, org_id, waba_id, conversation_id, at, outcome)
        SELECT id, org_id, waba_id, conversation_id, at, 'done'
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[])
            AS new(id, org_id, waba_id, conversation_id, at) ORDER BY id
        ON CONFLICT (event_id) DO NOTHING RETURNING event_id::text
        """,
        *map(list, zip(*events, strict=True)),
    )
    return {row[0] for row in rows}


async def write_outcomes(connection: Connection, outcomes: Mapping[str, str]) -> None:
    """Write what came of events, where that is something else than that they counted."""
    others = {event_id: outcome for event_id, outcome in outcomes.items() if outcome != "done"}
    if others:
        await connection.execute(
            """
            UPDATE work_events SET outcome = new.outcome FROM unnest($1::uuid[], $2::text[]) AS new(id, outcome)
            WHERE event_id = new.id
            """,
            list(others.keys()),
            list(others.values()),
        )


async def outcomes(connection: asyncpg.Pool | Connection, org_id: str, event_ids: Iterable[str]) -> dict[str, str]:
    """What came of events, as far as they are folded."""
    rows = await connection.fetch(
        "SELECT event_id::text, outcome FROM work_events WHERE org_id = $1 AND event_id = ANY($2)",
        org_id,
        list(event_ids),
    )
    return {row[0]: row[1] for row in rows}


async def delete_old(connection: asyncpg.Pool | Connection, before: datetime, limit: int) -> int:
    """Delete that some events were folded, of which none can come again; how many."""
    done = await connection.execute(
        "DELETE FROM work_events WHERE event_id = ANY(ARRAY(SELECT event_id FROM work_events WHERE at < $1 LIMIT $2))",
        before,
        limit,
    )
    return int(done.rpartition(" ")[2])


async def delete_orphans(connection: asyncpg.Pool | Connection, before: datetime, limit: int) -> int:
    """Delete what is done with conversations that were never there since, and were not there before; how many."""
    rows = await connection.fetch(
        """
        WITH gone AS (
            SELECT conversation_id FROM conversation_work AS w WHERE written_at < $1 AND NOT EXISTS (
                SELECT FROM conversations AS c WHERE c.conversation_id = w.conversation_id
            ) LIMIT $2 FOR UPDATE SKIP LOCKED
        ), unsaid AS (
            DELETE FROM notes USING gone WHERE notes.conversation_id = gone.conversation_id
        )
        DELETE FROM conversation_work AS w USING gone WHERE w.conversation_id = gone.conversation_id
        RETURNING w.conversation_id
        """,
        before,
        limit,
    )
    return len(rows)
