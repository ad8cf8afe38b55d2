"""Who answers a person, where a number has several responders: as Meta told it last."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection


class Owner(NamedTuple):
    """Whether a person is ours to answer."""

    org_id: str
    phone_number_id: str
    value: str
    ours: bool
    at: datetime


async def write(connection: Connection, owners: Iterable[Owner], copied: Iterable[Owner] = ()) -> None:
    """Write down who answers; what was told later stands, and of two at once that it is ours.

    Who wrote to another responder, of which we were told by a copy, is still theirs to answer if they were before: when
    that was is kept, for a handover may be told after it, or name the person otherwise.
    """
    await connection.executemany(
        """
        INSERT INTO thread_owners AS known (org_id, phone_number_id, value, ours, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET ours = excluded.ours, at = excluded.at
        WHERE (excluded.at, excluded.ours) > (known.at, known.ours)
        """,
        sorted(owners),
    )
    await connection.executemany(
        """
        INSERT INTO thread_owners AS known (org_id, phone_number_id, value, ours, at, copied_at)
        VALUES ($1, $2, $3, true, '-infinity', $4)
        ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
            copied_at = greatest(known.copied_at, excluded.copied_at)
        """,
        sorted(each[:3] + each[4:] for each in copied),
    )


async def taken_at(pool: asyncpg.Pool, org_id: str, phone_number_id: str, value: str) -> datetime | None:
    """When somebody else, who answers a person, last did or was last written to; None where nobody is known to."""
    return await pool.fetchval(
        """
        SELECT CASE WHEN NOT (array_agg(ours ORDER BY at DESC, ours DESC))[1] THEN greatest(max(at), max(copied_at)) END
        FROM thread_owners
        WHERE org_id = $1 AND phone_number_id = $2 AND value IN (
            SELECT $3 UNION SELECT other FROM known_together WHERE org_id = $1 AND value = $3
        )
        """,
        org_id,
        phone_number_id,
        value,
    )
