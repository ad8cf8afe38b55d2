"""What the API reads of sends, always of one organisation."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

_COLUMNS = """
    sends.send_id::text, org_id, waba_id, phone_number_id, lane, kind, wa_id, user_id, conversation_id::text, label,
    metadata, requested_at, expires_at, nullif(next_at, 'infinity') AS next_at, state,
    claimed, called_at, returned, tries, lost, refusal, acceptance,
    settled_at, settled_wamid, cancelled_at, expired_at, again_of::text, held, changed_at, experiment_id::text,
    arm, withheld, heard.status AS heard_status,
    heard.error_codes AS heard_errors,
    EXISTS (
        SELECT FROM known_templates AS template WHERE template.waba_id = sends.waba_id AND name = template_name
            AND language = template_language AND template.status = 'PAUSED'
    ) AS template_paused
"""


class WantedSends(NamedTuple):
    """Which sends a list is to have."""

    org_id: str
    state: str | None
    label: str | None
    phone_number_id: str | None
    requested_by: str | None
    """The pseudonym of who asked for them; None for everybody's."""
    after: tuple[datetime, str] | None
    limit: int


Find = Callable[[asyncpg.Pool, str, str, str | None], Awaitable[asyncpg.Record | None]]
"""Finds a send of an organisation by its id, if it is one that somebody asked for."""


async def one(pool: asyncpg.Pool, org_id: str, send_id: str, requested_by: str | None = None) -> asyncpg.Record | None:
    """A send; None where the organisation has none of this id, or none that somebody asked for."""
    return await pool.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM sends LEFT JOIN heard USING (send_id)
        WHERE send_id = $1 AND org_id = $2 AND ($3::text IS NULL OR requested_by = $3)
        """,  # noqa: S608
        UUID(send_id),
        org_id,
        requested_by,
    )


async def to_repeat(pool: asyncpg.Pool, org_id: str, send_id: str, requested_by: str | None) -> asyncpg.Record | None:
    """What a send was asked to send, so that it can be asked once more."""
    return await pool.fetchrow(
        """
        SELECT state, phone_number_id, wa_id, user_id, message, conversation_id::text, label, metadata,
            experiment_id::text, arm, withheld
        FROM sends WHERE send_id = $1 AND org_id = $2 AND ($3::text IS NULL OR requested_by = $3)
        """,
        UUID(send_id),
        org_id,
        requested_by,
    )


async def some(pool: asyncpg.Pool, wanted: WantedSends) -> Sequence[asyncpg.Record]:
    """The sends that are wanted, the newest first, and one more than the limit."""
    # Only the conditions that there are: one plan for whatever may be wanted reads all of an organisation's sends.
    conditions, values = ["org_id = $1"], [wanted.org_id, wanted.limit + 1]
    for column in ("state", "label", "phone_number_id", "requested_by"):
        if value := getattr(wanted, column):
            values.append(value)
            conditions.append(f"{column} = ${len(values)}")
    if wanted.state and wanted.state != "accepted":
        conditions.append("state <> 'accepted'")  # which the index is of
    if wanted.after:
        at, send_id = wanted.after
        values += [at, UUID(send_id)]
        last = len(values)
        # Both ways: the first bounds what is read of an index that is ordered by time.
        conditions.append(f"requested_at <= ${last - 1} AND (requested_at < ${last - 1} OR send_id > ${last})")
    return await pool.fetch(
        f"""
        SELECT {_COLUMNS} FROM sends LEFT JOIN heard USING (send_id)
        WHERE {" AND ".join(conditions)}
        ORDER BY requested_at DESC, send_id LIMIT $2
        """,  # noqa: S608
        *values,
    )


async def state_of(pool: asyncpg.Pool, send_id: str) -> str | None:
    """How far a send is; None where the fold has not got to it yet."""
    return await pool.fetchval("SELECT state FROM sends WHERE send_id = $1", UUID(send_id))


async def waiting(pool: asyncpg.Pool, org_id: str, most: int, send_ids: Collection[str]) -> tuple[int, Collection[str]]:
    """How many sends of an organisation wait, or as many as are counted; and which of some sends are in the tables."""
    row = await pool.fetchrow(
        """
        SELECT (
            SELECT count(*) FROM (
                SELECT FROM known_accounts JOIN known_numbers USING (waba_id) JOIN queues USING (phone_number_id)
                JOIN sends ON sends.phone_number_id = queues.phone_number_id AND sends.lane = queues.lane
                WHERE known_accounts.org_id = $1 AND sends.org_id = $1 AND state = 'queued' LIMIT $2
            ) AS those
        ), ARRAY(SELECT send_id::text FROM sends WHERE send_id = ANY($3::uuid[]))
        """,
        org_id,
        most,
        list(map(UUID, send_ids)),
    )
    return (row[0], row[1]) if row else (0, ())
