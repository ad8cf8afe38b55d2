"""Counting people, once, when their time is over; and what was counted so far."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from wabus_events.models.insights.experiments import Metric
from wabus_runtime.postgres.database import Connection

from wabus_insights.experiments.merging import Counted

SIGN_OF: Mapping[Metric, str] = {"replied": "wrote", "clicked": "tapped", "read": "read"}


async def count(
    connection: Connection,
    experiment_id: UUID,
    metric: Metric,
    outcome: timedelta,
    drawn_before: datetime,
    now: datetime,
    most: int,
) -> int:
    """Count those who were drawn before a moment and are not counted yet: what they did within the time is for good."""
    done = await connection.fetch(
        """
        WITH due AS (
            SELECT person, drawn_at FROM experiment_people
            WHERE experiment_id = $1 AND counted_at IS NULL AND drawn_at <= $4
            ORDER BY drawn_at LIMIT $6 FOR UPDATE
        ), did AS (
            SELECT due.person, signs.sign FROM due
            JOIN experiment_keys AS keys ON keys.experiment_id = $1 AND keys.person = due.person
            CROSS JOIN LATERAL (
                WITH RECURSIVE known AS (
                    SELECT keys.key UNION SELECT link.other FROM known JOIN experiment_links AS link USING (key)
                )
                SELECT key FROM known
            ) AS named
            JOIN experiment_signs AS signs ON signs.key = named.key
            WHERE signs.at >= due.drawn_at AND signs.at < due.drawn_at + $3::interval
            GROUP BY due.person, signs.sign
        )
        UPDATE experiment_people AS held SET counted_at = $5,
            success = EXISTS (SELECT FROM did WHERE did.person = held.person AND did.sign = $2),
            stopped = EXISTS (SELECT FROM did WHERE did.person = held.person AND did.sign = 'stopped'),
            capped = EXISTS (SELECT FROM did WHERE did.person = held.person AND did.sign = 'capped'),
            in_metas_test = EXISTS (SELECT FROM did WHERE did.person = held.person AND did.sign = 'in_metas_test')
        FROM due WHERE held.experiment_id = $1 AND held.person = due.person
        RETURNING 1
        """,
        experiment_id, SIGN_OF[metric], outcome, drawn_before, now, most,
    )  # fmt: skip
    return len(done)


async def count_harm(
    connection: Connection, experiment_id: UUID, window: timedelta, drawn_before: datetime, now: datetime, most: int
) -> int:
    """The same of what comes to nothing, after a shorter time."""
    done = await connection.fetch(
        """
        WITH due AS (
            SELECT person, drawn_at FROM experiment_people
            WHERE experiment_id = $1 AND harm_counted_at IS NULL AND drawn_at <= $3
            ORDER BY drawn_at LIMIT $5 FOR UPDATE
        )
        UPDATE experiment_people AS held SET harm_counted_at = $4, failed = EXISTS (
            SELECT FROM experiment_keys AS keys JOIN experiment_signs AS signs ON signs.key = keys.key
            WHERE keys.experiment_id = $1 AND keys.person = due.person AND signs.sign = 'failed'
                AND signs.at >= due.drawn_at AND signs.at < due.drawn_at + $2::interval
        )
        FROM due WHERE held.experiment_id = $1 AND held.person = due.person
        RETURNING 1
        """,
        experiment_id, window, drawn_before, now, most,
    )  # fmt: skip
    return len(done)


_KNOWN = """
    SELECT arm, draws, count(*) AS people, count(*) FILTER (WHERE {sign}) AS successes FROM experiment_people
    WHERE experiment_id = $1 AND {known} IS NOT NULL AND NOT excluded GROUP BY arm, draws
"""
"""What people did, of those of whom it is known."""


async def counted(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> list[Counted]:
    """Those who are counted, and how many of them did what decides."""
    return await _grouped(connection, _KNOWN.format(sign="success", known="counted_at"), experiment_id)


async def counted_for_harm(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> list[Counted]:
    """Those of whom it is known whether what was sent to them came to nothing."""
    return await _grouped(connection, _KNOWN.format(sign="failed", known="harm_counted_at"), experiment_id)


async def counted_for_stops(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> list[Counted]:
    """Those who are counted, and how many of them want no more marketing."""
    return await _grouped(connection, _KNOWN.format(sign="stopped", known="counted_at"), experiment_id)


async def drawn(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> list[Counted]:
    """Everybody who is in one arm, by the draws that put them there."""
    return await _grouped(
        connection,
        """
        SELECT arm, draws, count(*) AS people, 0 AS successes FROM experiment_people
        WHERE experiment_id = $1 AND NOT excluded GROUP BY arm, draws
        """,
        experiment_id,
    )


async def waiting(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> int:
    """How many are in an arm and not counted yet."""
    found = await connection.fetchval(
        "SELECT count(*) FROM experiment_people WHERE experiment_id = $1 AND counted_at IS NULL AND NOT excluded",
        experiment_id,
    )
    return int(found or 0)


async def totals(pool: asyncpg.Pool, experiment_id: UUID) -> dict[str, dict[str, Any]]:
    """What stands beside the result of each arm."""
    rows = await pool.fetch(
        """
        SELECT arm, count(*) FILTER (WHERE NOT excluded) AS drawn, count(*) FILTER (WHERE excluded) AS excluded,
            count(*) FILTER (WHERE failed AND NOT excluded) AS failed,
            count(*) FILTER (WHERE stopped AND NOT excluded) AS stopped,
            count(*) FILTER (WHERE capped AND NOT excluded) AS capped,
            count(*) FILTER (WHERE in_metas_test AND NOT excluded) AS in_metas_test
        FROM experiment_people WHERE experiment_id = $1 GROUP BY arm
        """,
        experiment_id,
    )
    return {row["arm"]: {name: value for name, value in row.items() if name != "arm"} for row in rows}


async def days(connection: Connection, experiment_id: UUID, since: datetime) -> Sequence[asyncpg.Record]:
    """What became of those who were drawn on each day, of days from a moment on."""
    return await connection.fetch(
        """
        SELECT (drawn_at AT TIME ZONE 'UTC')::date AS day, arm, epoch, count(*) AS drawn,
            count(*) FILTER (WHERE counted_at IS NOT NULL AND NOT excluded) AS counted,
            count(*) FILTER (WHERE success AND counted_at IS NOT NULL AND NOT excluded) AS successes,
            count(*) FILTER (WHERE failed AND NOT excluded) AS failed,
            count(*) FILTER (WHERE stopped AND NOT excluded) AS stopped, count(*) FILTER (WHERE excluded) AS excluded
        FROM experiment_people
        WHERE experiment_id = $1 AND drawn_at >= date_trunc('day', $2::timestamptz, 'UTC')
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        experiment_id, since,
    )  # fmt: skip


async def write_look(
    connection: Connection, experiment_id: UUID, at: datetime, rows: Sequence[tuple[str, int, float, float, float]]
) -> None:
    """Keep what was seen of each arm: people, log E, and the interval; with the highest log E so far."""
    await connection.executemany(
        """
        INSERT INTO experiment_looks (experiment_id, at, arm, people, log_evidence, low, high, highest)
        VALUES ($1, $2, $3, $4, $5, $6, $7, greatest($5, (
            SELECT max(highest) FROM experiment_looks WHERE experiment_id = $1 AND arm = $3
        )))
        ON CONFLICT DO NOTHING
        """,
        [(experiment_id, at, *row) for row in rows],
    )


async def last_looks(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> dict[str, asyncpg.Record]:
    """The newest look at each arm."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (arm) * FROM experiment_looks WHERE experiment_id = $1 ORDER BY arm, at DESC",
        experiment_id,
    )
    return {row["arm"]: row for row in rows}


async def looks(pool: asyncpg.Pool, experiment_id: UUID, most: int, before: datetime | None) -> list[asyncpg.Record]:
    """Looks, the newest first."""
    return await pool.fetch(
        """
        SELECT at, arm, people, log_evidence, highest, low, high FROM experiment_looks
        WHERE experiment_id = $1 AND ($3::timestamptz IS NULL OR at < $3) ORDER BY at DESC, arm LIMIT $2
        """,
        experiment_id, most, before,
    )  # fmt: skip


async def delete_links(pool: asyncpg.Pool) -> None:
    """Delete who is whom, once nothing of an organisation's is counted any more."""
    await pool.execute(
        """
        DELETE FROM experiment_links AS link WHERE NOT EXISTS (
            SELECT FROM experiments WHERE experiments.org_id = link.org_id AND decided_at IS NULL
        )
        """
    )


async def delete_signs(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Delete what nobody is counted by any more; how many."""
    done = await pool.fetch(
        """
        DELETE FROM experiment_signs WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM experiment_signs WHERE at < $1 LIMIT $2
        )) RETURNING 1
        """,
        before, most,
    )  # fmt: skip
    return len(done)


async def _grouped(
    connection: asyncpg.Pool | Connection, statement: str, experiment_id: UUID
) -> list[Counted]:  # fmt: skip
    rows = await connection.fetch(statement, experiment_id)
    return [Counted(row["arm"], tuple(row["draws"]), row["people"], row["successes"]) for row in rows]
