"""Deletes rows that are past their time, some at a time."""

from datetime import date, datetime

import asyncpg


async def delete_older(pool: asyncpg.Pool, table: str, column: str, before: datetime | date, most: int) -> int:
    """Delete up to so many rows of a table of which a column is earlier; returns how many were there.

    A row that is changed meanwhile stays, for it has another place then.
    """
    done = await pool.execute(
        f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {column} < $1 LIMIT $2))",  # noqa: S608
        before,
        most,
    )
    return int(done.removeprefix("DELETE "))
