"""Files on their way from a client to Meta: the API writes them down in parts, a worker passes them on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.offsets import channel

from wabus_sender.tables.sends import PROJECTION


class Upload(NamedTuple):
    """One that Meta is to be given."""

    upload_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    content_type: str
    size: int
    parts: int
    attempts: int
    """This one counted."""


class Place(NamedTuple):
    """Whose file it is, and for which number."""

    org_id: str
    waba_id: str
    phone_number_id: str


async def begin(pool: asyncpg.Pool, upload_id: str, place: Place, content_type: str, now: datetime, most: int) -> bool:
    """Write down that a file arrives, unless `most` of the organisation are open already; whether it is."""
    written = await pool.execute(
        """
        INSERT INTO uploads (upload_id, org_id, waba_id, phone_number_id, content_type, state, created_at, next_at)
        SELECT $1, $2, $3, $4, $5, 'arriving', $6, $6
        WHERE (SELECT count(*) FROM uploads WHERE org_id = $2 AND state IN ('arriving', 'waiting')) < $7
        """,
        UUID(upload_id),
        *place,
        content_type,
        now,
        most,
    )
    return written == "INSERT 0 1"


async def add_part(pool: asyncpg.Pool, upload_id: str, number: int, content: bytes) -> None:
    """Write down the next bytes. Raises `asyncpg.ForeignKeyViolationError` where the file is not wanted any more."""
    await pool.execute(
        "INSERT INTO upload_parts (upload_id, number, content) VALUES ($1, $2, $3)", UUID(upload_id), number, content
    )


async def whole(pool: asyncpg.Pool, upload_id: str, size: int, parts: int, now: datetime) -> None:
    """All of a file is there: Meta may be given it."""
    await pool.execute(
        "UPDATE uploads SET state = 'waiting', size = $2, parts = $3, next_at = $4 WHERE upload_id = $1",
        UUID(upload_id),
        size,
        parts,
        now,
    )


async def drop(pool: asyncpg.Pool, upload_id: str) -> None:
    """Forget a file that has not arrived."""
    await pool.execute("DELETE FROM uploads WHERE upload_id = $1 AND state = 'arriving'", UUID(upload_id))


async def take(
    pool: asyncpg.Pool, most: int, most_of_one: int, busy: Mapping[str, int], now: datetime, until: datetime
) -> list[Upload]:
    """Take some that wait, so that nobody else has them until then, and not too many of one organisation."""
    rows = await pool.fetch(
        """
        UPDATE uploads SET attempts = attempts + 1, next_at = $4 WHERE upload_id IN (
            SELECT upload_id FROM uploads JOIN (
                SELECT upload_id, row_number() OVER (PARTITION BY org_id ORDER BY next_at) + coalesce(busy.number, 0)
                    AS number
                FROM uploads LEFT JOIN unnest($5::text[], $6::int[]) AS busy(org_id, number) USING (org_id)
                WHERE state = 'waiting' AND next_at <= $3
            ) AS those USING (upload_id)
            WHERE those.number <= $2 AND state = 'waiting' AND next_at <= $3
            ORDER BY next_at LIMIT $1 FOR UPDATE OF uploads SKIP LOCKED
        )
        RETURNING upload_id::text, org_id, waba_id, phone_number_id, content_type, size, parts, attempts
        """,
        most,
        most_of_one,
        now,
        until,
        list(busy),
        list(busy.values()),
    )
    return [Upload(*row) for row in rows]


async def parts_there(pool: asyncpg.Pool, upload_id: str) -> int:
    """How many parts of a file there are."""
    return await pool.fetchval("SELECT count(*) FROM upload_parts WHERE upload_id = $1", UUID(upload_id))


async def content(pool: asyncpg.Pool, upload: Upload) -> AsyncIterator[bytes]:
    """The bytes of a file, part by part."""
    for number in range(upload.parts):
        part = await pool.fetchval(
            "SELECT content FROM upload_parts WHERE upload_id = $1 AND number = $2", UUID(upload.upload_id), number
        )
        if part is None:
            raise EOFError
        yield part


async def store(pool: asyncpg.Pool, upload_id: str, media_id: str, ends_at: datetime) -> None:
    """Meta has the file, under this id until then."""
    await pool.execute(
        """
        WITH stored AS (
            UPDATE uploads SET state = 'stored', media_id = $2, ends_at = $3 WHERE upload_id = $1 AND state = 'waiting'
        ), gone AS (DELETE FROM upload_parts WHERE upload_id = $1)
        SELECT pg_notify($4, $1::text)
        """,
        UUID(upload_id),
        media_id,
        ends_at,
        channel(PROJECTION),
    )


async def refuse(pool: asyncpg.Pool, upload_id: str, code: str, error_code: int | None) -> None:
    """Meta won't have the file."""
    await pool.execute(
        """
        WITH refused AS (
            UPDATE uploads SET state = 'refused', refusal = $2, error_code = $3
            WHERE upload_id = $1 AND state = 'waiting'
        ), gone AS (DELETE FROM upload_parts WHERE upload_id = $1)
        SELECT pg_notify($4, $1::text)
        """,
        UUID(upload_id),
        code,
        error_code,
        channel(PROJECTION),
    )


async def put_off(pool: asyncpg.Pool, upload_id: str, next_at: datetime) -> None:
    """Try it again then."""
    await pool.execute(
        "UPDATE uploads SET next_at = $2 WHERE upload_id = $1 AND state = 'waiting'", UUID(upload_id), next_at
    )


async def one(pool: asyncpg.Pool, org_id: str, phone_number_id: str, upload_id: str) -> asyncpg.Record | None:
    """What became of a file; None where the organisation has none of this id with this number."""
    return await pool.fetchrow(
        """
        SELECT upload_id::text, phone_number_id, content_type, state, size, created_at, media_id, ends_at, refusal,
            error_code
        FROM uploads WHERE upload_id = $1 AND org_id = $2 AND phone_number_id = $3
        """,
        UUID(upload_id),
        org_id,
        phone_number_id,
    )


async def delete_old(pool: asyncpg.Pool, before: datetime, stale: datetime, most: int) -> int:
    """Delete some that are older, or have stopped to arrive; how many."""
    rows: Sequence[asyncpg.Record] = await pool.fetch(
        """
        DELETE FROM uploads WHERE upload_id IN (
            SELECT upload_id FROM uploads
            WHERE created_at < $1 OR (state IN ('arriving', 'waiting') AND created_at < $2) LIMIT $3
        ) RETURNING upload_id
        """,
        before,
        stale,
        most,
    )
    return len(rows)
