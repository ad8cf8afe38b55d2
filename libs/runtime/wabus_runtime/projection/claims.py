"""Who may write the rows of a partition: whoever wrote its id beside the partition's offset last.

The offset moves in the transaction of the rows, and only under that id and from where it was: a process that lost the
partition can write nothing, and no record counts twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import asyncpg

from wabus_runtime.postgres.database import Connection

Place = tuple[str, int]
"""A topic, without prefix, and a partition."""

NOWHERE: Mapping[Place, int] = {}


class LostPartition(Exception):
    """Somebody else owns the partition now: nothing was written."""


async def claim(
    pool: asyncpg.Pool, name: str, owner: UUID, places: Iterable[Place], begin: Mapping[Place, int] = NOWHERE
) -> dict[Place, int]:
    """Write `owner` beside the offsets of a projection's partitions, and return these.

    Where nothing was ever folded it begins at the offset in `begin`, or else at 0.
    """
    ordered = sorted(places)
    rows = await pool.fetch(
        """
        INSERT INTO projection_offsets (projection, topic, partition, owner, next_offset)
        SELECT $1, topic, partition, $2, begin
        FROM unnest($3::text[], $4::int[], $5::bigint[]) AS claimed(topic, partition, begin)
        ORDER BY topic, partition
        ON CONFLICT (projection, topic, partition) DO UPDATE SET owner = excluded.owner
        RETURNING topic, partition, next_offset
        """,
        name,
        owner,
        [topic for topic, _ in ordered],
        [partition for _, partition in ordered],
        [begin.get(place, 0) for place in ordered],
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def move(
    connection: Connection,
    name: str,
    owner: UUID,
    before: Mapping[Place, int],
    after: Mapping[Place, int],
    announce: str | None = None,
) -> None:
    """Move the offsets of these partitions, in the caller's transaction. Raises `LostPartition`.

    Who listens on the channel `announce` is told when that is committed: no question of its own asks for it.
    """
    moves: Sequence[tuple[str, int, int, int]] = [(*place, before[place], after[place]) for place in sorted(after)]
    updated = await connection.fetchval(
        """
        WITH moved AS (
            UPDATE projection_offsets AS stored SET next_offset = moved.next_offset
            FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[])
                AS moved(topic, partition, expected, next_offset)
            WHERE stored.projection = $1 AND stored.owner = $2 AND stored.topic = moved.topic
                AND stored.partition = moved.partition AND stored.next_offset = moved.expected
            RETURNING 1
        ), announced AS (SELECT pg_notify($7, '') WHERE $7::text IS NOT NULL)
        SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM announced)
        """,
        name,
        owner,
        *map(list, zip(*moves, strict=True)),
        announce,
    )
    if updated != len(moves):
        raise LostPartition(name)
