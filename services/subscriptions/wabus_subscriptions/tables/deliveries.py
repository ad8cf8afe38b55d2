"""What became of what was told: of each event and receiver the last attempt, for some days."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
from wabus_runtime.outbox.outbox import Attempt
from wabus_runtime.postgres.database import Connection

from wabus_subscriptions.telling.types import name_of


async def note(connection: Connection, attempt: Attempt, now: datetime) -> None:
    """Write an attempt down, unless the subscription has ended: one that is ending just now is waited for."""
    state = "delivered" if attempt.delivered else "given_up" if attempt.next_in is None else "failing"
    await connection.execute(
        """
        INSERT INTO deliveries (
            subscription_id, event_id, org_id, type, topic, partition, log_offset, state, attempts, status, error,
            seconds, at, next_at
        )
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
        FROM subscriptions WHERE subscription_id = $1 FOR KEY SHARE
        ON CONFLICT (subscription_id, event_id) DO UPDATE SET topic = $5, partition = $6, log_offset = $7, state = $8,
            attempts = $9, status = $10, error = $11, seconds = $12, at = $13, next_at = $14
        """,
        attempt.entry.endpoint,
        attempt.event.id,
        attempt.entry.lane,
        name_of(attempt.event),
        attempt.entry.record.topic,
        attempt.entry.partition,
        attempt.entry.log_offset,
        state,
        attempt.number,
        attempt.status,
        attempt.error,
        attempt.seconds,
        now,
        now + attempt.next_in if attempt.next_in is not None else None,
    )


async def page(
    pool: asyncpg.Pool, subscription_id: str, state: str | None, after: tuple[datetime, str] | None, limit: int
) -> list[asyncpg.Record]:
    """Those of a subscription, the newest attempt first, and one more than `limit`."""
    at, event_id = after or (None, None)
    return await pool.fetch(
        """
        SELECT event_id, type, state, attempts, status, error, seconds, at, next_at,
            again_at IS NOT NULL AS again
        FROM deliveries
        WHERE subscription_id = $1 AND ($2::text IS NULL OR state = $2)
            AND at <= coalesce($3::timestamptz, 'infinity') AND (at IS DISTINCT FROM $3 OR event_id > $4)
        ORDER BY at DESC, event_id LIMIT $5
        """,
        subscription_id,
        state,
        at,
        event_id,
        limit + 1,
    )


async def ask_again(pool: asyncpg.Pool, subscription_id: str, event_id: str, now: datetime) -> bool:
    """Ask for one that is not waiting to be told once more. Whether there is such a one."""
    found = await pool.fetchval(
        """
        UPDATE deliveries SET again_at = coalesce(again_at, $3)
        WHERE subscription_id = $1 AND event_id = $2 AND state <> 'failing' RETURNING true
        """,
        subscription_id,
        event_id,
        now,
    )
    return bool(found)


async def asked_again(connection: Connection, most: int) -> Sequence[asyncpg.Record]:
    """Those that were asked for once more, locked for this transaction; others take others."""
    return await connection.fetch(
        """
        SELECT subscription_id::text, event_id, topic, partition, log_offset
        FROM deliveries JOIN subscriptions USING (subscription_id)
        WHERE again_at IS NOT NULL AND subscriptions.status <> 'paused'
        ORDER BY again_at LIMIT $1 FOR UPDATE OF deliveries SKIP LOCKED
        """,
        most,
    )


async def answered_again(connection: Connection, asked: Sequence[tuple[str, str]]) -> None:
    """Note that they wait, or are in the log no more."""
    await connection.executemany(
        "UPDATE deliveries SET again_at = NULL WHERE subscription_id = $1 AND event_id = $2", list(asked)
    )


async def delete_older(pool: asyncpg.Pool, than: timedelta, most: int) -> int:
    """Delete some whose last attempt is long ago; how many."""
    status = await pool.execute(
        """
        DELETE FROM deliveries WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM deliveries WHERE at < now() - $1::interval LIMIT $2
        ))
        """,
        than,
        most,
    )
    return int(status.rpartition(" ")[2])


async def delete_organisation(connection: Connection, org_id: str, until: datetime, most: int) -> int:
    """Delete some of what is known of deliveries about an organisation until then, also to the operator's; how many.

    Those to receivers of its own go whenever they were made: they are about who had them then.
    """
    status = await connection.execute(
        """
        DELETE FROM deliveries WHERE ctid = ANY(ARRAY(
            SELECT deliveries.ctid FROM deliveries JOIN subscriptions USING (subscription_id)
            WHERE deliveries.org_id = $1 AND (at <= $2 OR (subscriptions.org_id = $1 AND created_at <= $2)) LIMIT $3
        ))
        """,
        org_id,
        until,
        most,
    )
    return int(status.rpartition(" ")[2])


async def organisations(connection: asyncpg.Pool | Connection) -> list[str]:
    """Whom anything here is about."""
    rows = await connection.fetch(
        """
        WITH RECURSIVE found AS (
            (SELECT org_id FROM deliveries ORDER BY org_id LIMIT 1)
            UNION ALL
            SELECT following.org_id FROM found, LATERAL (
                SELECT org_id FROM deliveries WHERE org_id > found.org_id ORDER BY org_id LIMIT 1
            ) AS following
        )
        SELECT org_id FROM found
        """
    )
    return [row["org_id"] for row in rows]
