"""Who came by an ad or a button of a page, and until when messages to them are free because of it."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.window import FREE_IF_ANSWERED_WITHIN


class Entry(NamedTuple):
    """Somebody came, or Meta has told until when messages to them are free."""

    org_id: str
    phone_number_id: str
    value: str
    at: datetime
    until: datetime | None
    """What Meta has told; None where they came."""


class Answer(NamedTuple):
    """Meta has taken a message to somebody."""

    org_id: str
    phone_number_id: str
    value: str
    at: datetime


class Free(NamedTuple):
    """What is known of a person's free time at a number."""

    answered_at: datetime | None
    """When they were first answered, of the last time that they came and were answered in time."""
    reported_until: datetime | None


async def write(connection: Connection, entries: Iterable[Entry], answers: Iterable[Answer]) -> None:
    """Write down who came, what Meta has told, and who was answered.

    An answer that is known before what it answers counts for nothing here: Meta's statuses then tell of it.
    """
    rows = sorted(entries, key=lambda entry: (entry[:4], entry.until is None))
    if rows:
        await connection.executemany(
            """
            INSERT INTO free_entries AS known (org_id, phone_number_id, value, referred_at, reported_until, at)
            VALUES ($1, $2, $3, CASE WHEN $5::timestamptz IS NULL THEN $4::timestamptz END, $5, $4)
            ON CONFLICT (org_id, value, phone_number_id) DO UPDATE SET
                answered_before = CASE WHEN excluded.referred_at > known.referred_at
                    THEN greatest(known.answered_before, known.answered_at) ELSE known.answered_before END,
                answered_at = CASE WHEN excluded.referred_at > known.referred_at THEN NULL ELSE known.answered_at END,
                referred_at = greatest(known.referred_at, excluded.referred_at),
                reported_until = greatest(known.reported_until, excluded.reported_until),
                at = greatest(known.at, excluded.at)
            """,
            rows,
        )
    if answered := sorted(answers):
        await connection.execute(
            """
            UPDATE free_entries AS known SET answered_at = first.at, at = greatest(known.at, first.at)
            FROM (
                SELECT org_id, phone_number_id, value, min(told.at) AS at
                FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
                    AS told(org_id, phone_number_id, value, at)
                JOIN free_entries AS held USING (org_id, value, phone_number_id)
                WHERE told.at >= referred_at AND told.at <= referred_at + $5
                GROUP BY 1, 2, 3
            ) AS first
            WHERE known.org_id = first.org_id AND known.value = first.value
                AND known.phone_number_id = first.phone_number_id
                AND (known.answered_at IS NULL OR first.at < known.answered_at)
            """,
            *(list(column) for column in zip(*answered, strict=True)),
            FREE_IF_ANSWERED_WITHIN,
        )


async def of(pool: asyncpg.Pool, org_id: str, phone_number_id: str, value: str) -> Free:
    """What is known of a person, who is also who has the identifier that it came together with last."""
    [row] = await pool.fetch(
        """
        SELECT max(coalesce(answered_at, answered_before)), max(reported_until) FROM free_entries
        WHERE org_id = $1 AND phone_number_id = $2 AND value IN (
            SELECT $3 UNION SELECT other FROM known_together WHERE org_id = $1 AND value = $3
        )
        """,
        org_id,
        phone_number_id,
        value,
    )
    return Free(*row)
