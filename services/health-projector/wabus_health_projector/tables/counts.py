"""The counts of messages in PostgreSQL: each message and status once, by its event id, and no older than promised."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import orjson
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded, Write

from wabus_health_projector.health.traffic import (
    Message,
    Tally,
    counted_on,
    counts_kept_from,
    hour_of,
    identity,
    tally,
)

NONE = "[]"
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
        pruned = [await connection.execute(query, kept_from, PRUNED_AT_ONCE) for query in _PRUNING]
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


_PRUNING = tuple(
    f"""
    DELETE FROM {table} WHERE ({key}) IN (
        SELECT {key} FROM {table} WHERE hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    """  # noqa: S608
    for table, key in (
        ("message_counts", "waba_id, hour, phone_number_id, kind"),
        ("message_failures", "waba_id, hour, phone_number_id, code"),
        ("messaging_errors", "waba_id, hour, phone_number_id, code"),
        ("organisation_counts", "waba_id, hour, phone_number_id, kind, org_id"),
        ("organisation_failures", "waba_id, hour, phone_number_id, code, org_id"),
    )
)


Rows = tuple[str, str]
"""The rows to add of messages and of their errors, as JSON: arrays of columns would take PostgreSQL's client
and its server longer."""


def rows_of(counted: Tally) -> Rows:
    """In the order in which they are locked."""
    return (
        _json(
            (waba_id, hour_of(hour), phone, kind, org_id, held.count, held.last_at)
            for (waba_id, hour, phone, kind, org_id), held in sorted(counted.messages.items())
        ),
        _json(
            (waba_id, hour_of(hour), phone, code, org_id, held.count, held.first_at, held.last_at)
            for (waba_id, hour, phone, code, org_id), held in sorted(counted.errors.items())
        ),
    )


def _json(rows: Iterable[tuple[Any, ...]]) -> str:
    return orjson.dumps(list(rows)).decode()


async def _add(connection: Connection, rows: Rows) -> None:
    messages, errors = rows
    for query in _ADD_MESSAGES if messages != NONE else ():
        await connection.execute(query, messages)
    for query in _ADD_ERRORS if errors != NONE else ():
        await connection.execute(query, errors)


_NEW = """
    SELECT part->>0 AS waba_id, (part->>1)::timestamptz AS hour, part->>2 AS phone_number_id, part->>4 AS org_id,
        (part->>5)::bigint AS count, {columns}
    FROM jsonb_array_elements($1::text::jsonb) AS new(part)
"""
_NEW_MESSAGES = _NEW.format(columns="part->>3 AS kind, (part->>6)::timestamptz AS last_at")
_NEW_ERRORS = _NEW.format(
    columns="(part->>3)::int AS code, (part->>6)::timestamptz AS first_at, (part->>7)::timestamptz AS last_at"
)
_ADD_MESSAGES = (
    f"""
    INSERT INTO message_counts AS held (waba_id, hour, phone_number_id, kind, count, last_at)
    SELECT waba_id, hour, phone_number_id, kind, sum(count), max(last_at) FROM ({_NEW_MESSAGES}) AS new
    GROUP BY 1, 2, 3, 4 ORDER BY waba_id COLLATE "C", hour, phone_number_id COLLATE "C", kind COLLATE "C"
    ON CONFLICT (waba_id, hour, phone_number_id, kind) DO UPDATE
        SET count = held.count + excluded.count, last_at = greatest(held.last_at, excluded.last_at)
    """,  # noqa: S608
    f"""
    INSERT INTO organisation_counts AS held (waba_id, hour, phone_number_id, kind, org_id, count, last_at)
    SELECT waba_id, hour, phone_number_id, kind, org_id, count, last_at FROM ({_NEW_MESSAGES}) AS new
    ORDER BY waba_id COLLATE "C", hour, phone_number_id COLLATE "C", kind COLLATE "C", org_id COLLATE "C"
    ON CONFLICT (waba_id, hour, phone_number_id, kind, org_id) DO UPDATE
        SET count = held.count + excluded.count, last_at = greatest(held.last_at, excluded.last_at)
    """,  # noqa: S608
)
_ADD_ERRORS = (
    f"""
    INSERT INTO organisation_failures AS held
        (waba_id, hour, phone_number_id, code, org_id, count, first_at, last_at)
    SELECT waba_id, hour, phone_number_id, code, org_id, count, first_at, last_at FROM ({_NEW_ERRORS}) AS new
    ORDER BY waba_id COLLATE "C", hour, phone_number_id COLLATE "C", code, org_id COLLATE "C"
    ON CONFLICT (waba_id, hour, phone_number_id, code, org_id) DO UPDATE
        SET count = held.count + excluded.count, first_at = least(held.first_at, excluded.first_at),
            last_at = greatest(held.last_at, excluded.last_at)
    """,  # noqa: S608
)
