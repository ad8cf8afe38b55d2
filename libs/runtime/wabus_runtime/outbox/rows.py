"""What waits to be delivered, in PostgreSQL. Whoever takes a row has it for a while; then it is anybody's again."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

import asyncpg
from wabus_events import Record
from wabus_whatsapp.forgetting import Lines
from wabus_whatsapp.forgotten_records import record_respecting

from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.offsets import Offsets

ERASED_AT_ONCE = 200  # entries in memory while it is looked whose they are


class Entry(NamedTuple):
    """An event to deliver to an endpoint, after the earlier ones of its lane."""

    endpoint: str
    lane: str
    """What stays in order: an organisation's id."""
    record: Record
    partition: int
    log_offset: int


class Waiting(NamedTuple):
    """An entry that somebody has taken."""

    id: int
    entry: Entry
    attempts: int
    """This one included."""


async def enqueue(connection: Connection, outbox: str, entries: Sequence[Entry]) -> None:
    """Let entries wait, in the caller's transaction; their order is that of their lanes."""
    await connection.executemany(
        """
        INSERT INTO outbox (outbox, endpoint, lane, topic, partition, log_offset, key, value, headers)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        [
            (
                outbox, entry.endpoint, entry.lane, entry.record.topic, entry.partition, entry.log_offset,
                entry.record.key, entry.record.value,
                [[name, value.decode()] for name, value in entry.record.headers],
            )
            for entry in entries
        ],
    )  # fmt: skip


async def take(
    pool: asyncpg.Pool, outbox: str, *, most: int, most_at_once: int, busy: Mapping[str, int], lease: timedelta
) -> list[Waiting]:
    """Take what is due for the time of a lease, and count it as an attempt: the first of each lane.

    No more than `most`, and to no endpoint more than `most_at_once`, together with the deliveries that are under way to
    those that are `busy`. It goes from lane to lane, and takes no longer where many wait in one.
    """
    rows = await pool.fetch(
        """
        WITH RECURSIVE heads AS (
            (
                SELECT id, endpoint, lane, due_at FROM outbox WHERE outbox = $1 ORDER BY endpoint, lane, id LIMIT 1
            )
            UNION ALL
            SELECT following.* FROM heads, LATERAL (
                SELECT id, endpoint, lane, due_at FROM outbox
                WHERE outbox = $1 AND (endpoint, lane) > (heads.endpoint, heads.lane)
                ORDER BY endpoint, lane, id LIMIT 1
            ) AS following
        ), due AS (
            SELECT id, row_number() OVER (PARTITION BY endpoint ORDER BY due_at, id) + coalesce(deliveries, 0) AS place
            FROM heads LEFT JOIN unnest($2::text[], $3::int[]) AS busy(endpoint, deliveries) USING (endpoint)
            WHERE due_at <= now()
        ), taken AS (
            SELECT waiting.id FROM outbox AS waiting JOIN due USING (id)
            WHERE place <= $4 AND waiting.due_at <= now()
            ORDER BY waiting.due_at LIMIT $5 FOR UPDATE OF waiting SKIP LOCKED
        )
        UPDATE outbox AS waiting SET attempts = attempts + 1, due_at = now() + $6
        FROM taken WHERE waiting.id = taken.id
        RETURNING waiting.*
        """,
        outbox,
        list(busy),
        list(busy.values()),
        most_at_once,
        most,
        lease,
    )
    return [_waiting(row) for row in rows]


async def done(pool: asyncpg.Pool, waiting: Waiting) -> None:
    """Forget an entry: the next one of its lane is due."""
    await pool.execute("DELETE FROM outbox WHERE id = $1", waiting.id)


async def put_off(pool: asyncpg.Pool, waiting: Waiting, delay: timedelta) -> None:
    """Let an entry, and its lane, wait until its next attempt."""
    await pool.execute("UPDATE outbox SET due_at = now() + $2 WHERE id = $1", waiting.id, delay)


async def delivered_until(pool: asyncpg.Pool, outbox: str) -> Offsets:
    """Up to which offsets of the log everything is delivered, or set aside."""
    rows = await pool.fetch(
        """
        SELECT topic, partition, coalesce(
            (SELECT min(log_offset) FROM outbox
                WHERE outbox = $1 AND topic = reached.topic AND partition = reached.partition),
            next_offset
        ) AS done
        FROM projection_offsets AS reached WHERE projection = $1
        """,
        outbox,
    )
    return {(row["topic"], row["partition"]): row["done"] for row in rows}


async def erase(connection: Connection, lines: Lines, *, outbox: str) -> None:
    """Let nothing wait that is of somebody who was forgotten. A delivery that is under way may still be made."""
    rows = connection.cursor("SELECT * FROM outbox WHERE outbox = $1 ORDER BY id", outbox, prefetch=ERASED_AT_ONCE)
    async for row in rows:
        waiting = _waiting(row)
        record = waiting.entry.record
        left = record_respecting(record, lines)
        if left is None:
            await connection.execute("DELETE FROM outbox WHERE id = $1", waiting.id)
        elif left is not record:
            await connection.execute("UPDATE outbox SET value = $2 WHERE id = $1", waiting.id, left.value)


def _waiting(row: asyncpg.Record) -> Waiting:
    headers = [(name, value.encode()) for name, value in row["headers"]]
    record = Record(row["topic"], row["key"], row["value"], headers)
    entry = Entry(row["endpoint"], row["lane"], record, row["partition"], row["log_offset"])
    return Waiting(row["id"], entry, row["attempts"])
