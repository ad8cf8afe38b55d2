"""The counts of messages in PostgreSQL: each message and status once, by its event id, and no older than promised."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg
from wabus_runtime.database import Connection
from wabus_runtime.projection import Recorded

from wabus_health_projector.traffic import (
    SEEN_KEPT,
    Message,
    Tally,
    counts_kept_from,
    identity,
    tally,
)

PRUNED_AT_ONCE = 5_000  # rows; more than a batch adds, so that pruning keeps up without ever taking long


class Counter:
    """Counts batches of messages. Remembers only up to which day it has pruned; all that matters is in the tables."""

    def __init__(self) -> None:
        self._pruned: dict[int, date] = {}
        self._newest = date.min

    async def count(self, connection: Connection, records: Sequence[Recorded]) -> None:
        """Add to the counts what was never counted before. One event id always comes from the same partition."""
        messages = {identity(record.event): record for record in reversed(records) if isinstance(record.event, Message)}
        if not messages:
            return
        newest = {record.partition: record.logged_at.date() for record in records}
        self._newest = max(self._newest, *newest.values())
        # An array in which PostgreSQL finds one value again and again would cost as much as the ids do.
        by_place: dict[tuple[int, date], list[UUID]] = {}
        for event_id, record in messages.items():
            by_place.setdefault((record.partition, record.logged_at.date()), []).append(event_id)
        rows: list[asyncpg.Record] = []
        for (partition, day), ids in sorted(by_place.items()):
            rows += await connection.fetch(
                """
                INSERT INTO counted_events (event_id, partition, day)
                SELECT event_id, $2, $3 FROM unnest($1::uuid[]) AS new(event_id) ORDER BY event_id
                ON CONFLICT (event_id) DO NOTHING
                RETURNING event_id
                """,
                ids,
                partition,
                day,
            )
        kept_from = counts_kept_from(self._newest)
        fresh = [messages[row["event_id"]] for row in rows]
        await _add(
            connection,
            tally(
                ((record.event, record.logged_at) for record in fresh if isinstance(record.event, Message)), kept_from
            ),
        )
        await self._prune(connection, newest, kept_from)

    async def _prune(self, connection: Connection, newest: dict[int, date], kept_from: datetime) -> None:
        for partition, day in sorted(newest.items()):
            if self._pruned.get(partition) == day:
                continue
            forgotten = await connection.execute(
                """
                DELETE FROM counted_events WHERE event_id IN (
                    SELECT event_id FROM counted_events WHERE partition = $1 AND day < $2 LIMIT $3
                )
                """,
                partition,
                day - SEEN_KEPT,
                PRUNED_AT_ONCE,
            )
            # SKIP LOCKED: other projections prune the same rows, and nobody has to wait for that.
            dropped = [
                await connection.execute(query, kept_from, PRUNED_AT_ONCE) for query in (_PRUNE_COUNTS, _PRUNE_ERRORS)
            ]
            if all(int(done.removeprefix("DELETE ")) < PRUNED_AT_ONCE for done in (forgotten, *dropped)):
                self._pruned[partition] = day


_PRUNE_COUNTS = """
    DELETE FROM message_counts WHERE (waba_id, hour, phone_number_id, kind) IN (
        SELECT waba_id, hour, phone_number_id, kind FROM message_counts WHERE hour < $1 LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
"""
_PRUNE_ERRORS = """
    DELETE FROM message_failures WHERE (waba_id, hour, phone_number_id, code) IN (
        SELECT waba_id, hour, phone_number_id, code FROM message_failures WHERE hour < $1 LIMIT $2
        FOR UPDATE SKIP LOCKED
    )
"""


async def _add(connection: Connection, counted: Tally) -> None:
    if counted.messages:
        keys = sorted(counted.messages)
        await connection.execute(
            """
            INSERT INTO message_counts AS held (waba_id, hour, phone_number_id, kind, count, last_at)
            SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
                AS new(waba_id, hour, phone_number_id, kind, count, last_at)
            ORDER BY waba_id COLLATE "C", hour, phone_number_id COLLATE "C", kind COLLATE "C"
            ON CONFLICT (waba_id, hour, phone_number_id, kind) DO UPDATE
                SET count = held.count + excluded.count, last_at = greatest(held.last_at, excluded.last_at)
            """,
            *map(list, zip(*keys, strict=True)),
            [counted.messages[key].count for key in keys],
            [counted.messages[key].last_at for key in keys],
        )
    if counted.errors:
        keys = sorted(counted.errors)
        await connection.execute(
            """
            INSERT INTO message_failures AS held (waba_id, hour, phone_number_id, code, count, first_at, last_at)
            SELECT * FROM unnest(
                $1::text[], $2::timestamptz[], $3::text[], $4::int[], $5::bigint[], $6::timestamptz[], $7::timestamptz[]
            ) AS new(waba_id, hour, phone_number_id, code, count, first_at, last_at)
            ORDER BY waba_id COLLATE "C", hour, phone_number_id COLLATE "C", code
            ON CONFLICT (waba_id, hour, phone_number_id, code) DO UPDATE
                SET count = held.count + excluded.count, first_at = least(held.first_at, excluded.first_at),
                    last_at = greatest(held.last_at, excluded.last_at)
            """,
            *map(list, zip(*keys, strict=True)),
            [counted.errors[key].count for key in keys],
            [counted.errors[key].first_at for key in keys],
            [counted.errors[key].last_at for key in keys],
        )
