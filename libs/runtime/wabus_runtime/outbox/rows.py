"""What waits to be delivered, in PostgreSQL. Whoever takes a row has it for a while; then it is anybody's again."""

from collections import Counter as Multiset
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


Whose = tuple[str, str]
"""An endpoint and a lane: to whom something is delivered, and of whom it is."""


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
    pool: asyncpg.Pool,
    outbox: str,
    *,
    most: int,
    most_to_one: int,
    most_of_one: int,
    busy: Mapping[Whose, int],
    lease: timedelta,
) -> list[Waiting]:
    """Take what is due for the time of a lease, and count it as an attempt: the first of each lane of an endpoint.

    No more than `most`, to no endpoint more than `most_to_one`, and of no lane more than `most_of_one` to all of its
    endpoints, together with the deliveries that are under way, of which there are so many to whom that is `busy`. It
    goes from lane to lane, and takes no longer where many wait in one.
    """
    to, of = Multiset[str](), Multiset[str]()
    for (endpoint, lane), number in busy.items():
        to[endpoint] += number
        of[lane] += number
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
            SELECT id, lane, due_at,
                row_number() OVER (PARTITION BY endpoint ORDER BY due_at, id) + coalesce(deliveries, 0) AS place
            FROM heads LEFT JOIN unnest($2::text[], $3::int[]) AS busy(endpoint, deliveries) USING (endpoint)
            WHERE due_at <= now()
        ), shared AS (
            SELECT id, row_number() OVER (PARTITION BY lane ORDER BY due_at, id) + coalesce(deliveries, 0) AS place
            FROM due LEFT JOIN unnest($4::text[], $5::int[]) AS busy(lane, deliveries) USING (lane)
            WHERE place <= $6
        ), taken AS (
            SELECT waiting.id FROM outbox AS waiting JOIN shared USING (id)
            WHERE place <= $7 AND waiting.due_at <= now()
            ORDER BY waiting.due_at LIMIT $8 FOR UPDATE OF waiting SKIP LOCKED
        )
        UPDATE outbox AS waiting SET attempts = attempts + 1, due_at = now() + $9
        FROM taken WHERE waiting.id = taken.id
        RETURNING waiting.*
        """,
        outbox,
        list(to),
        list(to.values()),
        list(of),
        list(of.values()),
        most_to_one,
        most_of_one,
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
        await _erase_one(connection, _waiting(row), lines)


async def last_id(connection: asyncpg.Pool | Connection, outbox: str) -> int:
    """The id of the last entry that waits; 0 where none does."""
    return int(await connection.fetchval("SELECT coalesce(max(id), 0) FROM outbox WHERE outbox = $1", outbox) or 0)


async def erase_some(connection: Connection, lines: Lines, *, outbox: str, after: int, until: int) -> int:
    """Do as `erase` does with the next few entries behind an id, up to another; returns the last that was looked at.

    For an outbox in which so much may wait that one transaction would take too long.
    """
    rows = await connection.fetch(
        "SELECT * FROM outbox WHERE outbox = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4",
        outbox,
        after,
        until,
        ERASED_AT_ONCE,
    )
    for row in rows:
        await _erase_one(connection, _waiting(row), lines)
    return rows[-1]["id"] if len(rows) == ERASED_AT_ONCE else until


async def _erase_one(connection: Connection, waiting: Waiting, lines: Lines) -> None:
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
