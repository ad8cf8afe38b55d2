"""Up to which line in time what was of the forgotten is gone from what waits."""

from datetime import datetime

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_subscriptions.tables.subscriptions import NAME

_TURN = "subscriptions clearing"


async def until(pool: asyncpg.Pool) -> int:
    """The revision of the last line that is respected everywhere."""
    return int(await pool.fetchval("SELECT coalesce(max(revision), 0) FROM cleared WHERE outbox = $1", NAME) or 0)


async def newer(pool: asyncpg.Pool, than: int) -> tuple[dict[str, datetime], int]:
    """Lines with a greater revision, and the greatest."""
    rows = await pool.fetch("SELECT identity, at, revision FROM erasures WHERE revision > $1 ORDER BY revision", than)
    return {row["identity"]: row["at"] for row in rows}, rows[-1]["revision"] if rows else than


async def note(pool: asyncpg.Pool, revision: int) -> None:
    """Everything up to this line is gone."""
    await pool.execute(
        """
        INSERT INTO cleared AS held (outbox, revision) VALUES ($1, $2)
        ON CONFLICT (outbox) DO UPDATE SET revision = greatest(held.revision, excluded.revision)
        """,
        NAME,
        revision,
    )


async def take_turn(connection: Connection) -> bool:
    """Whether nobody else is at it, until this transaction ends."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", _TURN))
