"""The counts of messages in PostgreSQL: each message and status once, by its event id, and no older than promised."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from wabus_runtime.database import Connection
from wabus_runtime.recorded import Recorded, Write

from wabus_health_projector.traffic import (
    Message,
    Tally,
    counted_on,
    counts_kept_from,
    identity,
    tally,
)

PRUNED_AT_ONCE = 5_000  # rows; more than a batch adds, so that pruning keeps up without ever taking long


class Counter:
    """Counts batches of messages. Remembers only up to which day it has pruned; all that matters is in the tables."""

    def __init__(self) -> None:
        self._pruned = self._newest = date.min

    def counting(self, records: Sequence[Recorded]) -> Write:
        """Adds to the counts what was never counted before.

        What the records add if all of them are new, as nearly always, is worked out before the transaction.
        """
        if not records:
            return _nothing
        messages: dict[str, tuple[Message, datetime]] = {}
        # By day, for an array in which PostgreSQL finds one value again and again would cost as much as the ids do.
        by_day: dict[date, list[str]] = {}
        for record in records:
            event = record.event
            if not isinstance(event, Message) or (day := counted_on(event.time, record.logged_at)) is None:
                continue
            event_id = identity(event)
            if event_id not in messages:
                messages[event_id] = event, record.logged_at
                by_day.setdefault(day, []).append(event_id)
        self._newest = newest = max(self._newest, *(record.logged_at.date() for record in records))
        kept_from = counts_kept_from(newest)
        if_all_new = rows_of(tally(messages.values(), kept_from))

        async def write(connection: Connection) -> None:
            new = [
                event_id for day, ids in sorted(by_day.items()) for event_id in await _remember(connection, ids, day)
            ]
            if len(new) == len(messages):
                await _add(connection, if_all_new)
            else:
                await _add(connection, rows_of(tally((messages[event_id] for event_id in new), kept_from)))
            await self._prune(connection, newest, kept_from)

        return write

    async def _prune(self, connection: Connection, newest: date, kept_from: datetime) -> None:
        if self._pruned >= newest:
            return
        # SKIP LOCKED: other projections prune the same rows, and nobody has to wait for that.
        pruned = [
            await connection.execute(query, kept_from, PRUNED_AT_ONCE) for query in (_PRUNE_COUNTS, _PRUNE_ERRORS)
        ]
        if all(int(done.removeprefix("DELETE ")) < PRUNED_AT_ONCE for done in pruned):
            self._pruned = newest


async def _nothing(_: Connection) -> None:
    pass


async def _remember(connection: Connection, ids: Sequence[str], day: date) -> Sequence[str]:
    """Those of the ids that were not counted yet; they are from now on.

    `counted_events` has what a release before this one has counted, for as long as it can come again.
    """
    some = await connection.fetchval(
        """
        WITH remembered AS (
            INSERT INTO counted_messages (event_id, day)
            SELECT event_id, $2 FROM unnest($1::uuid[]) AS new(event_id)
            WHERE NOT EXISTS (SELECT FROM counted_events AS earlier WHERE earlier.event_id = new.event_id)
            ORDER BY event_id
            ON CONFLICT (event_id, day) DO NOTHING
            RETURNING event_id
        )
        SELECT CASE WHEN count(*) < cardinality($1) THEN coalesce(array_agg(event_id::text), '{}') END FROM remembered
        """,
        ids,
        day,
    )
    return ids if some is None else some


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


Rows = tuple[list[list[Any]], list[list[Any]]]
"""The columns of message_counts and of message_failures, as far as a batch changes these."""


def rows_of(counted: Tally) -> Rows:
    """The rows to add, in the order in which they are locked."""
    messages, errors = sorted(counted.messages.items()), sorted(counted.errors.items())
    return (
        list(map(list, zip(*((*key, held.count, held.last_at) for key, held in messages), strict=True))),
        list(map(list, zip(*((*key, held.count, held.first_at, held.last_at) for key, held in errors), strict=True))),
    )


async def _add(connection: Connection, rows: Rows) -> None:
    messages, errors = rows
    if messages:
        await connection.execute(
            """
            INSERT INTO message_counts AS held (waba_id, hour, phone_number_id, kind, count, last_at)
            SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
                AS new(waba_id, hour, phone_number_id, kind, count, last_at)
            ORDER BY waba_id COLLATE "C", hour, phone_number_id COLLATE "C", kind COLLATE "C"
            ON CONFLICT (waba_id, hour, phone_number_id, kind) DO UPDATE
                SET count = held.count + excluded.count, last_at = greatest(held.last_at, excluded.last_at)
            """,
            *messages,
        )
    if errors:
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
            *errors,
        )
