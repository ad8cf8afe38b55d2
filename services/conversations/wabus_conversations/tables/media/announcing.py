"""Media of which it has to be published that they are stored, or lost."""

from collections.abc import Sequence

import asyncpg


async def unannounced(pool: asyncpg.Pool, most: int) -> list[asyncpg.Record]:
    """Some of them, those that were decided first."""
    return await pool.fetch(
        """
        SELECT media_id::text, message_id::text, wamid, org_id, waba_id, phone_number_id, contact, people, at, kind,
            meta_id, type_told, state, reason, decided_at, sha256, bytes, type
        FROM media LEFT JOIN media_objects USING (org_id, sha256)
        WHERE NOT announced AND state IN ('stored', 'lost', 'refused') ORDER BY decided_at LIMIT $1
        """,
        most,
    )


async def announced(pool: asyncpg.Pool, media: Sequence[asyncpg.Record]) -> None:
    """It was published of these; of one that was decided otherwise meanwhile it is published again."""
    await pool.execute(
        """
        UPDATE media SET announced = true FROM unnest($1::uuid[], $2::timestamptz[]) AS told(media_id, decided_at)
        WHERE media.media_id = told.media_id AND media.decided_at = told.decided_at
        """,
        [row["media_id"] for row in media],
        [row["decided_at"] for row in media],
    )
