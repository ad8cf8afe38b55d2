"""Which agents have the feed open: a row for each at each process, for as long as that renews it."""

from collections.abc import Collection
from datetime import timedelta

import asyncpg
from wabus_runtime.postgres.database import Connection

Who = tuple[str, str]
"""An organisation, and the `sub` of somebody of it."""


async def keep(pool: asyncpg.Pool, process: str, who: Collection[Who], lease: timedelta) -> None:
    """Let these be there for so long, by the database's clock."""
    if who:
        await pool.execute(
            """
            INSERT INTO presence (org_id, subject, process, until)
            SELECT org_id, subject, $3, now() + $4::interval FROM unnest($1::text[], $2::text[]) AS new(org_id, subject)
            ORDER BY org_id, subject
            ON CONFLICT (org_id, subject, process) DO UPDATE SET until = excluded.until
            """,
            *map(list, zip(*who, strict=True)),
            process,
            lease,
        )


async def leave(pool: asyncpg.Pool, process: str, who: Collection[Who]) -> None:
    """Let these not be there any more, at this process."""
    if who:
        await pool.execute(
            """
            DELETE FROM presence USING unnest($1::text[], $2::text[]) AS gone(org_id, subject)
            WHERE presence.org_id = gone.org_id AND presence.subject = gone.subject AND process = $3
            """,
            *map(list, zip(*who, strict=True)),
            process,
        )


async def there(connection: asyncpg.Pool | Connection, org_id: str) -> frozenset[str]:
    """Who of an organisation is there."""
    rows = await connection.fetch("SELECT DISTINCT subject FROM presence WHERE org_id = $1 AND until > now()", org_id)
    return frozenset(row[0] for row in rows)


async def delete_old(connection: asyncpg.Pool | Connection, limit: int) -> int:
    """Delete who is there no more, because a process has died; how many."""
    done = await connection.execute(
        """
        DELETE FROM presence WHERE (org_id, subject, process) IN (
            SELECT org_id, subject, process FROM presence WHERE until < now() LIMIT $1 FOR UPDATE SKIP LOCKED
        )
        """,
        limit,
    )
    return int(done.rpartition(" ")[2])
