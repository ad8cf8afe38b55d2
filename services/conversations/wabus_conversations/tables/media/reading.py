"""What the API asks of media; every question is limited to one organisation."""

from collections.abc import Iterable

import asyncpg

_MEDIUM = """
    SELECT media_id::text, message_id::text, kind, type_told, name, state, reason, sha256, key, bytes, type
    FROM media LEFT JOIN media_objects USING (org_id, sha256)
"""


async def of_messages(pool: asyncpg.Pool, org_id: str, message_ids: Iterable[str]) -> list[asyncpg.Record]:
    """The media of messages."""
    return await pool.fetch(f"{_MEDIUM} WHERE org_id = $1 AND message_id = ANY($2)", org_id, list(message_ids))


async def media(pool: asyncpg.Pool, org_id: str, media_ids: Iterable[str]) -> list[asyncpg.Record]:
    """Those of some media that there are."""
    return await pool.fetch(f"{_MEDIUM} WHERE org_id = $1 AND media_id = ANY($2)", org_id, list(media_ids))
