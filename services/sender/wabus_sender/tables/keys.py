"""Idempotency keys: which send was asked for with each, for two days."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

KEPT = timedelta(hours=48)


class Reserved(NamedTuple):
    """What a key was first sent with."""

    body_hash: bytes
    send_id: str
    answer: dict[str, Any]
    created_at: datetime


async def find(pool: asyncpg.Pool, org_id: str, key: str, now: datetime) -> Reserved | None:
    """What a key stands for; None where it was not sent, or so long ago that it is free again."""
    row = await pool.fetchrow(
        """
        SELECT body_hash, send_id::text, answer, created_at FROM send_keys
        WHERE org_id = $1 AND key = $2 AND created_at > $3
        """,
        org_id,
        key,
        now - KEPT,
    )
    return Reserved(*row) if row else None


async def reserve(pool: asyncpg.Pool, org_id: str, key: str, reserved: Reserved) -> Reserved:
    """Let a key stand for this send, unless it stands for another; what it stands for."""
    row = await pool.fetchrow(
        """
        INSERT INTO send_keys AS known (org_id, key, body_hash, send_id, answer, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (org_id, key) DO UPDATE SET
            body_hash = CASE WHEN known.created_at > $7 THEN known.body_hash ELSE excluded.body_hash END,
            send_id = CASE WHEN known.created_at > $7 THEN known.send_id ELSE excluded.send_id END,
            answer = CASE WHEN known.created_at > $7 THEN known.answer ELSE excluded.answer END,
            created_at = CASE WHEN known.created_at > $7 THEN known.created_at ELSE excluded.created_at END
        RETURNING body_hash, send_id::text, answer, created_at
        """,
        org_id,
        key,
        reserved.body_hash,
        UUID(reserved.send_id),
        reserved.answer,
        reserved.created_at,
        reserved.created_at - KEPT,
    )
    return Reserved(*row)
