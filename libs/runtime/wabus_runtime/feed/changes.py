"""The rows of a feed: what has changed, named by the offsets with which it was written; and how far tables have come.

A service with a feed has the tables `changes`, partitioned by day, and `feed_key`, which its migrations make.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import asyncpg

from wabus_runtime.feed.cursor import Cursor, Reached, moved
from wabus_runtime.feed.pending import PARTS_MOST, SUBJECTS_MOST, Parts, few
from wabus_runtime.postgres.database import Connection
from wabus_runtime.postgres.day_partitions import drop_days, make_days
from wabus_runtime.postgres.offsets import beside, channel

BESIDE = "beside"
"""The topic of what changes beside the log, such as what is deleted because its time is over."""
EVERYBODY = "\n"
"""What is announced to all who follow, instead of an organisation: no name of one has it."""
DAYS_AHEAD = 2
NAMED_MOST = 3 * PARTS_MOST
"""Times that parts of one thing are named by changes, each as often as it has changed, of which it is still told
which they are; beyond, the thing is read anew."""
_COLUMNS = ("day", "org_id", "topic", "partition", "log_offset", "subject", "parts")


class Mark(NamedTuple):
    """A record of which a change follows. Whoever has been told what comes before it has still to be told of that."""

    topic: str
    partition: int
    log_offset: int


class Change(NamedTuple):
    """Something of an organisation has changed."""

    org_id: str
    subject: str
    """What: a UUID."""
    parts: Collection[str] | None
    """Which of its parts, by their UUIDs; None where it has to be read anew."""
    marks: Collection[Mark]


async def write(connection: Connection, projection: str, changes: Iterable[Change]) -> None:
    """Write changes down in the transaction that makes them, and tell those who follow when it is committed."""
    today = datetime.now(UTC).date()
    rows = [
        (today, change.org_id, *mark, change.subject, None if (parts := few(change.parts)) is None else sorted(parts))
        for change in changes
        for mark in change.marks
    ]
    if not rows:
        return
    await connection.copy_records_to_table("changes", records=rows, columns=_COLUMNS)
    await connection.execute(
        "SELECT pg_notify($1, org_id) FROM unnest($2::text[]) AS changed(org_id)",
        channel(projection),
        sorted({row[1] for row in rows}),
    )


async def mark_beside(connection: Connection, projection: str) -> Mark:
    """What names changes of this transaction that follow from no record: of several one waits for the other.

    Whoever calls this holds all other locks already that it needs.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO projection_offsets AS held (projection, topic, partition, owner, next_offset)
        VALUES ($1, $2, 0, gen_random_uuid(), 1)
        ON CONFLICT (projection, topic, partition) DO UPDATE SET next_offset = held.next_offset + 1
        RETURNING next_offset - 1 AS log_offset
        """,
        beside(projection),
        BESIDE,
    )
    if row is None:
        raise AssertionError("an insert that updates returns its row")
    return Mark(BESIDE, 0, row["log_offset"])


async def begin_epoch(connection: asyncpg.Pool | Connection, projection: str) -> None:
    """Let no cursor be good any more, for the tables were made anew or restored: who follows loads all of it again."""
    await connection.execute(
        """
        WITH renewed AS (UPDATE feed_key SET key = decode(
            replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'
        ))
        SELECT pg_notify($1, $2)
        """,
        channel(projection),
        EVERYBODY,
    )


async def position(
    connection: asyncpg.Pool | Connection, projection: str, topics: Collection[str]
) -> tuple[Cursor, bytes]:
    """How far the tables have come in these topics and beside them, and the key that cursors are sealed with."""
    rows = await connection.fetch(
        """
        SELECT date_trunc('second', now()) AS at, key, topic, partition, next_offset FROM feed_key
        LEFT JOIN projection_offsets ON projection = $1 AND topic = ANY($2) OR projection = $3
        """,
        projection,
        list(topics),
        beside(projection),
    )
    reached = {(row["topic"], row["partition"]): row["next_offset"] for row in rows if row["topic"] is not None}
    return Cursor(rows[0]["at"], reached), rows[0]["key"]


async def changed(
    connection: asyncpg.Pool | Connection, since: Mapping[str, Cursor], until: Reached
) -> dict[str, list[tuple[str, Parts]]]:
    """What of organisations has changed, of each since a cursor, each thing once, in the order in which it did last.

    Of an organisation no more than one over `SUBJECTS_MOST`.
    """
    places = [
        (org_id, (cursor.at - timedelta(days=1)).date(), topic, partition, first, end)
        for org_id, cursor in since.items()
        for (topic, partition), (first, end) in moved(cursor.reached, until).items()
    ]
    if not places:
        return {}
    # OFFSET 0 keeps PostgreSQL from joining in another way than place by place, each by the index: it takes that for
    # dearer than reading all the changes of a week. To sort parts, so as to count each once, is most of the work where
    # somebody missed a hundred thousand changes: they are told apart here, and not at all where they are many.
    rows = await connection.fetch(
        """
        SELECT org_id, subject::text, CASE WHEN NOT anew THEN parts END AS parts, anew FROM (
            SELECT place.org_id, subject, bool_or(parts IS NULL) OR sum(cardinality(parts)) > $7 AS anew,
                string_agg(array_to_string(parts, ','), ',') FILTER (WHERE parts <> '{}') AS parts,
                row_number() OVER (PARTITION BY place.org_id ORDER BY max(log_offset), subject) AS number
            FROM unnest($1::text[], $2::date[], $3::text[], $4::int[], $5::bigint[], $6::bigint[])
                AS place(org_id, day, topic, partition, since, until)
            CROSS JOIN LATERAL (
                SELECT subject, parts, log_offset FROM changes AS c
                WHERE c.org_id = place.org_id AND c.topic = place.topic AND c.partition = place.partition
                    AND c.log_offset >= place.since AND c.log_offset < place.until AND c.day >= place.day
                OFFSET 0
            ) AS found
            GROUP BY place.org_id, subject
        ) AS changed WHERE number <= $8 ORDER BY org_id, number
        """,
        *map(list, zip(*places, strict=True)),
        NAMED_MOST,
        SUBJECTS_MOST + 1,
    )
    found: dict[str, list[tuple[str, Parts]]] = {}
    for row in rows:
        parts = None if row["anew"] else few(frozenset(row["parts"].split(",") if row["parts"] else ()))
        found.setdefault(row["org_id"], []).append((row["subject"], parts))
    return found


async def delete_changes(connection: Connection, org_id: str, until: date | None = None) -> bool:
    """Delete what of an organisation has changed, on that day at the latest, and its tickets; whether anything had."""
    await connection.execute("DELETE FROM tickets WHERE org_id = $1", org_id)
    done = await connection.execute(
        "DELETE FROM changes WHERE org_id = $1 AND ($2::date IS NULL OR day <= $2)", org_id, until
    )
    return done != "DELETE 0"


async def keep(pool: asyncpg.Pool, today: date, days: int) -> None:
    """Make the partitions of the next days, and drop what nobody can come back to any more, after so many days."""
    await make_days(pool, "changes", today, today + timedelta(days=DAYS_AHEAD))
    # What was written in the first hours of a day is as old as its last when that day's partition goes.
    await drop_days(pool, "changes", today - timedelta(days=days + 1))
