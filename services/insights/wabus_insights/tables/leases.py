"""Work that is due, taken for the time of a lease by one of any number of workers."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg


async def take(
    pool: asyncpg.Pool,
    table: str,
    key: str,
    columns: str,
    most: int,
    busy: Sequence[str],
    lease: timedelta,
    now: datetime,
) -> Sequence[asyncpg.Record]:
    """Take up to so many rows of a table with `due_at` and `leased_until`, what is due longest first.

    `key` is the column that names what is to be done, of which those in `busy` are left; `columns` are returned.
    """
    return await pool.fetch(
        f"""
        UPDATE {table} SET leased_until = $3::timestamptz + $4::interval WHERE {key} IN (
            SELECT {key} FROM {table}
            WHERE due_at <= $3 AND coalesce(leased_until, '-infinity') <= $3 AND {key} <> ALL($2)
            ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
        ) RETURNING {columns}
        """,  # noqa: S608
        most,
        list(busy),
        now,
        lease,
    )
