"""What is decided once: when the service was started first, and in which scope an account's people are."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg
from wabus_runtime.postgres.database import Connection


async def started_at(pool: asyncpg.Pool, now: datetime) -> datetime:
    """When the service was started first: now, if it never was."""
    return await pool.fetchval(
        """
        WITH begun AS (
            INSERT INTO service_start (started_at) VALUES ($1) ON CONFLICT (one) DO NOTHING RETURNING started_at
        )
        SELECT started_at FROM begun UNION SELECT started_at FROM service_start
        """,
        now,
    )


async def scopes(connection: asyncpg.Pool | Connection) -> dict[tuple[str, str], str]:
    """The scopes of all accounts, by organisation and WABA."""
    rows = await connection.fetch("SELECT org_id, waba_id, scope FROM scopes")
    return {(row[0], row[1]): row[2] for row in rows}


async def add_scopes(
    connection: asyncpg.Pool | Connection, wanted: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str], str]:
    """Give accounts a scope that have none; whoever was first has decided. Organisation, WABA and scope."""
    if not (ordered := sorted(wanted)):
        return await scopes(connection)
    await connection.execute(
        """
        INSERT INTO scopes (org_id, waba_id, scope) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
        ON CONFLICT (org_id, waba_id) DO NOTHING
        """,
        *map(list, zip(*ordered, strict=True)),
    )
    return await scopes(connection)
