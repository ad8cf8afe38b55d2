"""Counting people, once, when their time is over; and what was counted so far."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events.models.insights.experiments import Metric
from wabus_runtime.postgres.database import Connection

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
    """Count those who were drawn before a moment and are not counted yet: what they did within the time is for good.

    Meta tells moments in whole seconds, so that what follows a draw at once seems to be before it. What messages have
    cost is what the tables of costs know now: what Meta told, or else the rate of the messages that count as they do.
    """
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
            WHERE signs.at >= date_trunc('second', due.drawn_at) AND signs.at < due.drawn_at + $3::interval
            GROUP BY due.person, signs.sign
        ), signed AS (
            SELECT person, array_agg(sign) AS signs FROM did GROUP BY person
        ), charged AS (
            SELECT due.person, charges.counted_amount, price.*
            FROM due JOIN experiment_keys AS keys ON keys.experiment_id = $1 AND keys.person = due.person
            JOIN charges ON charges.charge_id = keys.key
            CROSS JOIN LATERAL (
                SELECT max(days.basis) AS basis, max(days.currency) AS currency,
                    sum(days.rate * days.volume) / nullif(sum(days.volume) FILTER (WHERE days.rate IS NOT NULL), 0)
                        AS rate
                FROM cost_days AS days WHERE days.cell_id = charges.cell_id
            ) AS price
            WHERE charges.counted_at >= date_trunc('second', due.drawn_at)
                AND charges.counted_at < due.drawn_at + $3::interval
        ), paid AS (
            SELECT person, least(count(*), 32000) AS delivered, least(count(amount), 32000) AS priced,
                sum(amount) AS cost, CASE WHEN min(currency) = max(currency) THEN min(currency) END AS currency
            FROM (
                SELECT person, nullif(currency, '') AS currency, CASE basis
                    WHEN 'free' THEN 0 WHEN 'reported' THEN counted_amount ELSE round(rate, 6) END AS amount
                FROM charged
            ) AS each GROUP BY person
        )
        UPDATE experiment_people AS held SET counted_at = $5,
            success = $2 = ANY(coalesce(signed.signs, '{}')),
            stopped = 'stopped' = ANY(coalesce(signed.signs, '{}')),
            capped = 'capped' = ANY(coalesce(signed.signs, '{}')),
            in_metas_test = 'in_metas_test' = ANY(coalesce(signed.signs, '{}')),
            lost = 'failed' = ANY(coalesce(signed.signs, '{}')),
            held = held.held OR 'held' = ANY(coalesce(signed.signs, '{}')),
            delivered = coalesce(paid.delivered, 0), priced = coalesce(paid.priced, 0),
            cost = coalesce(paid.cost, 0), currency = paid.currency
        FROM due LEFT JOIN signed USING (person) LEFT JOIN paid USING (person)
        WHERE held.experiment_id = $1 AND held.person = due.person
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
        ), did AS (
            SELECT due.person, bool_or(signs.sign = 'failed') AS failed, bool_or(signs.sign = 'held') AS held
            FROM due JOIN experiment_keys AS keys ON keys.experiment_id = $1 AND keys.person = due.person
            JOIN experiment_signs AS signs ON signs.key = keys.key
            WHERE signs.sign IN ('failed', 'held') AND signs.at >= date_trunc('second', due.drawn_at)
                AND signs.at < due.drawn_at + $2::interval
            GROUP BY due.person
        )
        UPDATE experiment_people AS held SET harm_counted_at = $4, failed = coalesce(did.failed, false),
            held = held.held OR coalesce(did.held, false)
        FROM due LEFT JOIN did USING (person) WHERE held.experiment_id = $1 AND held.person = due.person
        RETURNING 1
        """,
        experiment_id, window, drawn_before, now, most,
    )  # fmt: skip
    return len(done)


class Tally(NamedTuple):
    """People of an arm who were drawn alike: how many, and of those who are counted what became of them."""

    arm: str
    draws: tuple[int, ...]
    excluded: bool
    drawn: int
    counted: int
    successes: int
    stopped: int
    """Of those who are counted."""
    harm_counted: int
    """Of whom it is known whether what was sent to them came to nothing at once."""
    failed_at_once: int
    failed: int
    """At once, or until their outcome window had closed."""
    held: int
    capped: int
    in_metas_test: int
    delivered: int
    """Messages to those who are counted."""
    priced: int
    """Of these the ones whose price is known."""
    cost: Decimal
    priced_squared: float
    cost_squared: float
    cost_by_priced: float
    currency: str | None
    """None where nothing is priced, and where there are several."""


async def tallies(connection: asyncpg.Pool | Connection, experiment_id: UUID) -> list[Tally]:
    """Everybody of an experiment, by arm and by the draws that put them there: all that is said follows from it."""
    rows = await connection.fetch(
        """
        SELECT arm, draws, excluded, count(*) AS drawn, count(counted_at) AS counted,
            count(*) FILTER (WHERE success) AS successes,
            count(*) FILTER (WHERE stopped) AS stopped,
            count(harm_counted_at) AS harm_counted,
            count(*) FILTER (WHERE failed) AS failed_at_once,
            count(*) FILTER (WHERE failed OR lost) AS failed,
            count(*) FILTER (WHERE held) AS held,
            count(*) FILTER (WHERE capped) AS capped,
            count(*) FILTER (WHERE in_metas_test) AS in_metas_test,
            sum(delivered) AS delivered, sum(priced) AS priced,
            coalesce(sum(cost) FILTER (WHERE priced > 0), 0) AS cost,
            coalesce(sum(priced::float8 * priced) FILTER (WHERE priced > 0), 0) AS priced_squared,
            coalesce(sum(cost::float8 * cost::float8) FILTER (WHERE priced > 0), 0) AS cost_squared,
            coalesce(sum(cost::float8 * priced) FILTER (WHERE priced > 0), 0) AS cost_by_priced,
            CASE WHEN min(currency) = max(currency) THEN min(currency) END AS currency
        FROM experiment_people WHERE experiment_id = $1 GROUP BY arm, draws, excluded
        """,
        experiment_id,
    )
    return [Tally(row["arm"], tuple(row["draws"]), *tuple(row)[2:]) for row in rows]


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


async def delete_keys(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Delete who the people of experiments are that were decided earlier; how many identifiers. The counts stay."""
    done = await pool.fetchval(
        """
        WITH gone AS (
            DELETE FROM experiment_keys WHERE ctid = ANY (ARRAY(
                SELECT held.ctid FROM experiments AS of CROSS JOIN LATERAL (
                    SELECT ctid FROM experiment_keys WHERE experiment_id = of.experiment_id LIMIT $2
                ) AS held WHERE of.decided_at < $1 LIMIT $2
            )) RETURNING experiment_id, person
        ), nameless AS (
            UPDATE experiment_people AS held SET person = gen_random_uuid()
            FROM (SELECT DISTINCT experiment_id, person FROM gone) AS of
            WHERE held.experiment_id = of.experiment_id AND held.person = of.person
        )
        SELECT count(*) FROM gone
        """,
        before, most,
    )  # fmt: skip
    return int(done or 0)


async def delete_signs(pool: asyncpg.Pool, before: datetime, most: int) -> int:
    """Delete what nobody is counted by any more; how many. What somebody is still to be counted by stays."""
    done = await pool.fetch(
        """
        WITH waiting AS (
            SELECT min(first.drawn_at) AS since FROM experiments AS of CROSS JOIN LATERAL (
                SELECT drawn_at FROM experiment_people
                WHERE experiment_id = of.experiment_id AND counted_at IS NULL ORDER BY drawn_at LIMIT 1
            ) AS first WHERE of.decided_at IS NULL
        )
        DELETE FROM experiment_signs WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM experiment_signs, waiting
            WHERE at < least($1, date_trunc('second', since)) LIMIT $2
        )) RETURNING 1
        """,
        before, most,
    )  # fmt: skip
    return len(done)
