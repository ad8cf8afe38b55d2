"""Labels whose sends wait because somebody has paused them; and templates, which Meta has paused."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_events import LabelPaused, LabelResumed
from wabus_runtime.postgres.database import Connection

KINDS_AT_ONCE = 500


class Kind(NamedTuple):
    """What sends that wait for a label or a template have in common: all of a kind go on waiting, or none."""

    org_id: str
    phone_number_id: str
    waba_id: str
    label: str
    template_name: str
    template_language: str


_FIRST = Kind("", "", "", "", "", "")
_NAMES = ", ".join(Kind._fields)
_DOWN = ", ".join(f"{name} DESC" for name in Kind._fields)
_KIND = """
    org_id, phone_number_id, waba_id, coalesce(label, ''), coalesce(template_name, ''), coalesce(template_language, '')
"""
_OF_KIND = ", ".join(f"{{0}}.{name}" for name in Kind._fields)
_WAITS = "held AND state = 'queued' AND partition = $1"


async def write(connection: Connection, events: Iterable[LabelPaused | LabelResumed]) -> None:
    """Fold what was said of labels: what was said later stands."""
    await connection.executemany(
        """
        INSERT INTO labels AS known (org_id, phone_number_id, label, paused, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (phone_number_id, org_id, label) DO UPDATE SET paused = excluded.paused, at = excluded.at
        WHERE (excluded.at, excluded.paused) > (known.at, known.paused)
        """,
        [
            (event.org_id, event.phone_number_id, event.label, isinstance(event, LabelPaused), event.time)
            for event in events
            if event.org_id
        ],
    )


async def hold(pool: asyncpg.Pool, send_ids: Iterable[str]) -> None:
    """Let sends whose label or template is paused wait until it is resumed, or their time is over."""
    await pool.execute(
        "UPDATE sends SET held = true, next_at = expires_at WHERE send_id = ANY($1::uuid[]) AND state = 'queued'",
        list(map(UUID, send_ids)),
    )


async def waited_for(pool: asyncpg.Pool, partitions: Sequence[int]) -> list[int]:
    """In which of these partitions any sends wait for a label or template."""
    rows = await pool.fetch(
        """
        SELECT partition FROM unnest($1::int[]) AS ours(partition)
        WHERE EXISTS (SELECT FROM sends WHERE held AND state = 'queued' AND sends.partition = ours.partition)
        """,
        partitions,
    )
    return [row["partition"] for row in rows]


async def release(
    pool: asyncpg.Pool, partition: int, now: datetime, most: int, after: Kind | None
) -> tuple[int, Kind | None]:
    """Let some sends be due whose label and template are paused no more.

    How many, of some kinds behind one; and the last of those, behind which there may be more. Of a million sends that
    wait there are mostly few kinds: one of each is looked at, and no other of those that go on waiting.
    """
    row = await pool.fetchrow(
        f"""
        WITH RECURSIVE kinds ({_NAMES}) AS (
            (
                SELECT {_KIND} FROM sends WHERE {_WAITS} AND ({_KIND}) > ($5, $6, $7, $8, $9, $10)
                ORDER BY {_KIND} LIMIT 1
            )
            UNION ALL
            SELECT next.* FROM kinds CROSS JOIN LATERAL (
                SELECT {_KIND} FROM sends WHERE {_WAITS} AND ({_KIND}) > ({_OF_KIND.format("kinds")})
                ORDER BY {_KIND} LIMIT 1
            ) AS next
        ), looked_at AS MATERIALIZED (
            SELECT * FROM kinds LIMIT $4
        ), released AS (
            UPDATE sends SET held = false, next_at = $2 WHERE send_id IN (
                SELECT found.send_id FROM looked_at
                LEFT JOIN labels USING (org_id, phone_number_id, label)
                CROSS JOIN LATERAL (
                    SELECT send_id FROM sends WHERE {_WAITS} AND ({_KIND}) = ({_OF_KIND.format("looked_at")}) LIMIT $3
                ) AS found
                WHERE paused IS NOT TRUE AND NOT EXISTS (
                    SELECT FROM known_templates AS template JOIN policies ON policies.org_id = looked_at.org_id
                    WHERE template.waba_id = looked_at.waba_id AND name = looked_at.template_name
                        AND language = looked_at.template_language
                        AND template.status = 'PAUSED' AND paused_template = 'wait'
                )
                LIMIT $3
            ) RETURNING send_id
        )
        SELECT (SELECT count(*) FROM released) AS released, (SELECT count(*) FROM looked_at) AS kinds, last.*
        FROM (SELECT) AS one LEFT JOIN (SELECT * FROM looked_at ORDER BY {_DOWN} LIMIT 1) AS last ON true
        """,  # noqa: S608
        partition,
        now,
        most,
        KINDS_AT_ONCE,
        *(after or _FIRST),
    )
    released, kinds, *last = row or (0, 0)
    return released, Kind(*last) if kinds == KINDS_AT_ONCE else None


async def numbers_of(pool: asyncpg.Pool, org_id: str) -> Mapping[str, str]:
    """The numbers of an organisation, each with its account."""
    rows = await pool.fetch(
        "SELECT phone_number_id, waba_id FROM known_numbers JOIN known_accounts USING (waba_id) WHERE org_id = $1",
        org_id,
    )
    return {row["phone_number_id"]: row["waba_id"] for row in rows}
