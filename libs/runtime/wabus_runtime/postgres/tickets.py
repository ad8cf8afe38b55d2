"""Tickets: what an address may have in place of a token, for browsers that can send no header with it.

Whoever has a token gets one for one purpose and a short time; the ticket says who they were, and for how long. Only its
hash is kept, in the service's database, so that any of its processes knows it. RFC 6750, section 2.3, says why a token
itself is never put into an address.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg

from wabus_runtime.postgres.database import Connection

TICKET_BYTES = 32  # of randomness
LONGEST = 64  # characters that are looked up
SWEPT_AT_ONCE = 1_000  # tickets that have ended


class Holder(NamedTuple):
    """Whose a ticket is, as their token said."""

    org_id: str
    role: str
    subject: str | None
    expires_at: float
    """When the token ends, in Unix seconds."""


async def issue(
    connection: asyncpg.Pool | Connection,
    whose: Holder,
    purposes: Sequence[str],
    lifetime: timedelta,
    now: datetime,
) -> list[str]:
    """A ticket for each purpose, good for so long, and no longer than the token is."""
    tickets = [secrets.token_urlsafe(TICKET_BYTES) for _ in purposes]
    ends_at = ending(whose, lifetime, now)
    await connection.execute(
        """
        WITH swept AS (
            DELETE FROM tickets WHERE digest = ANY(ARRAY(
                SELECT digest FROM tickets WHERE ends_at <= $7 ORDER BY ends_at LIMIT $9 FOR UPDATE SKIP LOCKED
            ))
        )
        INSERT INTO tickets (digest, purpose, org_id, role, subject, token_expires_at, ends_at)
        SELECT digest, purpose, $3, $4, $5, $6, $8 FROM unnest($1::bytea[], $2::text[]) AS new(digest, purpose)
        """,
        [_digest(ticket) for ticket in tickets],
        list(purposes),
        *whose,
        now,
        ends_at,
        SWEPT_AT_ONCE,
    )
    return tickets


def ending(whose: Holder, lifetime: timedelta, now: datetime) -> datetime:
    """When a ticket ends that is given now. Pure."""
    return min(now + lifetime, datetime.fromtimestamp(whose.expires_at, UTC))


async def holder(connection: asyncpg.Pool | Connection, ticket: str, purpose: str, now: datetime) -> Holder | None:
    """Whose ticket for a purpose it is; None if it is none, or has ended. It stays good until it ends."""
    if len(ticket) > LONGEST:
        return None
    row = await connection.fetchrow(
        """
        SELECT org_id, role, subject, token_expires_at FROM tickets
        WHERE digest = $1 AND purpose = $2 AND ends_at > $3
        """,
        _digest(ticket),
        purpose,
        now,
    )
    return Holder(*row) if row else None


async def redeem(connection: asyncpg.Pool | Connection, ticket: str, purpose: str, now: datetime) -> Holder | None:
    """The same of one that is good once: of several who have it at the same time one gets an answer."""
    if len(ticket) > LONGEST:
        return None
    row = await connection.fetchrow(
        """
        DELETE FROM tickets WHERE digest = $1 AND purpose = $2 AND ends_at > $3
        RETURNING org_id, role, subject, token_expires_at
        """,
        _digest(ticket),
        purpose,
        now,
    )
    return Holder(*row) if row else None


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
