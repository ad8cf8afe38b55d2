"""What our app is subscribed to at Meta, in PostgreSQL: read there by one worker, known to all of them."""

from datetime import timedelta

import asyncpg
from wabus_whatsapp.webhook_fields import Subscription

from wabus_health_projector.health.check import Tries


async def claim(pool: asyncpg.Pool, app_id: str, every: timedelta) -> Tries | None:
    """Take it on to ask Meta, as the only one within this time; None if somebody has. By PostgreSQL's own clock.

    Where the last try to subscribe has failed, the pause after it is the time, if that is shorter.
    """
    row = await pool.fetchrow("SELECT tries, tried_at, refused FROM app_subscription WHERE app_id = $1", app_id)
    before = _tries(row) if row else Tries()
    row = await pool.fetchrow(
        """
        INSERT INTO app_subscription AS held (app_id, asked_at) VALUES ($1, now())
        ON CONFLICT (app_id) DO UPDATE SET asked_at = excluded.asked_at WHERE held.asked_at <= now() - $2::interval
        RETURNING tries, tried_at, refused
        """,
        app_id,
        min(every, before.pause) if before.count else every,
    )
    return _tries(row) if row else None


def _tries(row: asyncpg.Record) -> Tries:
    return Tries(row["tries"], row["tried_at"], tuple(row["refused"]))


async def save(pool: asyncpg.Pool, app_id: str, found: Subscription, tries: Tries) -> None:
    await pool.execute(
        """
        UPDATE app_subscription SET read_at = now(), callback_url = $2, fields = $3, tries = $4, tried_at = $5,
            refused = $6
        WHERE app_id = $1
        """,
        app_id,
        found.callback_url,
        list(found.fields),
        tries.count,
        tries.at,
        list(tries.refused),
    )


async def known(pool: asyncpg.Pool, app_id: str) -> Subscription | None:
    """What Meta said last, None before it was first asked."""
    row = await pool.fetchrow(
        "SELECT callback_url, fields FROM app_subscription WHERE app_id = $1 AND read_at IS NOT NULL", app_id
    )
    return Subscription(row["callback_url"], tuple(row["fields"])) if row else None
