"""What the API asks of media; every question is limited to the organisations it names."""

from collections.abc import Collection, Iterable, Mapping

import asyncpg

_MEDIUM = """
    SELECT media_id::text, message_id::text, kind, type_told, name, state, reason, sha256, key, bytes, type
    FROM media LEFT JOIN media_objects USING (org_id, sha256)
"""


async def of_messages(pool: asyncpg.Pool, wanted: Mapping[str, Collection[str]]) -> list[asyncpg.Record]:
    """The media of messages, of each organisation some."""
    return await pool.fetch(
        f"{_MEDIUM} JOIN unnest($1::text[], $2::uuid[]) AS wanted(org_id, message_id) USING (org_id, message_id)",
        [org_id for org_id, ids in wanted.items() for _ in ids],
        [each for ids in wanted.values() for each in ids],
    )


async def media(pool: asyncpg.Pool, org_id: str, media_ids: Iterable[str]) -> list[asyncpg.Record]:
    """Those of some media that there are."""
    return await pool.fetch(f"{_MEDIUM} WHERE org_id = $1 AND media_id = ANY($2)", org_id, list(media_ids))
