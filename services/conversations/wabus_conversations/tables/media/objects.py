"""Content in the store: each once for an organisation, as long as a medium has it.

Whatever is in the store has a row here: as an object that media have, or as a leftover that is to be deleted. So
nothing is lost in it, whenever a process dies. Media are locked before the objects that they have.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection


class Content(NamedTuple):
    """What was fetched."""

    sha256: bytes
    bytes: int
    type: str | None


class Place(NamedTuple):
    """Where something is in the store that is to be deleted."""

    key: str
    attempts: int


class TooLate(Exception):
    """What was written took so long that it has been deleted, or is being deleted."""


async def begin(
    pool: asyncpg.Pool, key: str, org_id: str, waba_id: str, people: Sequence[str], until: datetime
) -> None:
    """Write down that something is, or may be, in a place; if nothing else is said of it by then, it is deleted."""
    await pool.execute(
        """
        INSERT INTO media_leftovers (key, org_id, waba_id, people, due_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at
        """,
        key,
        org_id,
        waba_id,
        list(people),
        until,
    )


async def known(pool: asyncpg.Pool, media_id: str, org_id: str, sha256: bytes, now: datetime) -> bool:
    """Let a medium have content that is stored already; whether it is."""
    async with pool.acquire() as connection, connection.transaction():
        wanted = await _locked(connection, media_id, org_id, sha256)
        if not await connection.fetchval(
            "SELECT true FROM media_objects WHERE org_id = $1 AND sha256 = $2 FOR SHARE", org_id, sha256
        ):
            return False
        await _stored(connection, wanted, sha256, now)
        return True


async def store(pool: asyncpg.Pool, media_id: str, org_id: str, key: str, content: Content, now: datetime) -> int:
    """Let a medium, and all others that tell this hash, have what was written to a place; how many got it.

    Where the content was there already, or nobody wants it any more, what was written is left over. Raises `TooLate`.
    """
    async with pool.acquire() as connection, connection.transaction():
        wanted = await _locked(connection, media_id, org_id, content.sha256)
        stored_at = None
        # Whoever deletes leftovers counts an attempt before: one that was taken is not relied upon any more.
        if await connection.fetchval("SELECT attempts FROM media_leftovers WHERE key = $1 FOR UPDATE", key) != 0:
            raise TooLate
        if wanted:
            stored_at = await connection.fetchval(
                """
                INSERT INTO media_objects AS held (org_id, sha256, key, bytes, type, stored_at)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (org_id, sha256) DO UPDATE SET key = held.key RETURNING key
                """,
                org_id,
                content.sha256,
                key,
                content.bytes,
                content.type,
                now,
            )
            await _stored(connection, wanted, content.sha256, now)
        if stored_at == key:
            await connection.execute("DELETE FROM media_leftovers WHERE key = $1", key)
        else:
            await connection.execute("UPDATE media_leftovers SET due_at = $2 WHERE key = $1", key, now)
        return len(wanted)


async def _locked(connection: Connection, media_id: str, org_id: str, sha256: bytes) -> list[str]:
    """This medium and those that tell the same hash, as far as they are still wanted, and nobody deletes them now."""
    rows = await connection.fetch(
        """
        SELECT media_id::text FROM media
        WHERE org_id = $1 AND state = 'wanted' AND (media_id = $2 OR sha256_told = $3)
        ORDER BY media_id FOR UPDATE SKIP LOCKED
        """,
        org_id,
        media_id,
        sha256,
    )
    return [row[0] for row in rows]


async def _stored(connection: Connection, media_ids: Sequence[str], sha256: bytes, now: datetime) -> None:
    await connection.execute(
        """
        UPDATE media SET state = 'stored', reason = NULL, sha256 = $2, decided_at = $3, url = NULL, leased_until = NULL
        WHERE media_id = ANY($1)
        """,
        media_ids,
        sha256,
        now,
    )


async def release(connection: Connection, rows: Sequence[asyncpg.Record], now: datetime | None) -> None:
    """Delete objects that no medium has any more. `rows` are the media that had them: org_id, sha256, waba_id, people.

    Their content is left over in the store, due at once.
    """
    had = {(row["org_id"], row["sha256"]): (row["waba_id"], row["people"]) for row in rows if row["sha256"]}
    if not had:
        return
    ordered = sorted(had)
    pairs = [org_id for org_id, _ in ordered], [sha256 for _, sha256 in ordered]
    await connection.execute(
        """
        SELECT FROM media_objects JOIN unnest($1::text[], $2::bytea[]) AS had(org_id, sha256) USING (org_id, sha256)
        ORDER BY org_id, sha256 FOR UPDATE OF media_objects
        """,
        *pairs,
    )
    # A statement of its own: it sees what those have written for whom the lock was waited.
    dropped = await connection.fetch(
        """
        DELETE FROM media_objects AS held USING unnest($1::text[], $2::bytea[]) AS had(org_id, sha256)
        WHERE held.org_id = had.org_id AND held.sha256 = had.sha256 AND NOT EXISTS (
            SELECT FROM media WHERE media.org_id = held.org_id AND media.sha256 = held.sha256
        ) RETURNING held.org_id, held.sha256, key
        """,
        *pairs,
    )
    await connection.executemany(
        """
        INSERT INTO media_leftovers (key, org_id, waba_id, people, due_at)
        VALUES ($1, $2, $3, $4, coalesce($5, now())) ON CONFLICT (key) DO NOTHING
        """,
        [(row["key"], row["org_id"], *had[row["org_id"], row["sha256"]], now) for row in dropped],
    )


async def take_leftovers(pool: asyncpg.Pool, most: int, lease: timedelta, now: datetime) -> list[Place]:
    """Take places that are to be deleted, for the time of a lease."""
    rows = await pool.fetch(
        """
        UPDATE media_leftovers AS held SET due_at = $1 + $2, attempts = attempts + 1 FROM (
            SELECT key FROM media_leftovers WHERE due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
        ) AS due WHERE held.key = due.key RETURNING held.key, held.attempts
        """,
        now,
        lease,
        most,
    )
    return [Place(*row) for row in rows]


async def deleted(pool: asyncpg.Pool, keys: Sequence[str]) -> None:
    """Nothing is in these places any more."""
    await pool.execute("DELETE FROM media_leftovers WHERE key = ANY($1)", keys)


async def leftovers(pool: asyncpg.Pool) -> int:
    """How many places are to be deleted, or are being written."""
    return await pool.fetchval("SELECT count(*) FROM media_leftovers")
