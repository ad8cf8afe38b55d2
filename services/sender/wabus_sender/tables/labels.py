"""Labels whose sends wait because somebody has paused them; and templates, which Meta has paused."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from wabus_events import LabelPaused, LabelResumed
from wabus_runtime.postgres.database import Connection

_NAMES = "partition, org_id, phone_number_id, waba_id, label, template_name, template_language"
_KIND = (
    "partition, org_id, phone_number_id, waba_id, coalesce(label, ''), coalesce(template_name, ''), "
    "coalesce(template_language, '')"
)
_OF_KIND = ", ".join(f"kinds.{name}" for name in _NAMES.split(", "))
"""What the sends that wait have in common of which one is released with the other."""


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


async def release(pool: asyncpg.Pool, partitions: Sequence[int], now: datetime, most: int) -> int:
    """Let some sends be due whose label and template are paused no more; how many.

    Of a million that wait there are a few kinds, each of one label and one template: the first of each kind is read,
    and no other of those that go on waiting.
    """
    released = await pool.execute(
        f"""
        WITH RECURSIVE kinds ({_NAMES}) AS (
            (SELECT {_KIND} FROM sends WHERE held AND state = 'queued' ORDER BY {_KIND} LIMIT 1)
            UNION ALL
            SELECT next.* FROM kinds CROSS JOIN LATERAL (
                SELECT {_KIND} FROM sends
                WHERE held AND state = 'queued' AND ({_KIND}) > ({_OF_KIND})
                ORDER BY {_KIND} LIMIT 1
            ) AS next
        )
        UPDATE sends SET held = false, next_at = $2 WHERE send_id IN (
            SELECT found.send_id FROM kinds
            LEFT JOIN labels USING (org_id, phone_number_id, label)
            CROSS JOIN LATERAL (
                SELECT send_id FROM sends WHERE held AND state = 'queued' AND ({_KIND}) = ({_OF_KIND}) LIMIT $3
            ) AS found
            WHERE kinds.partition = ANY($1) AND paused IS NOT TRUE AND NOT EXISTS (
                SELECT FROM known_templates AS template JOIN policies ON policies.org_id = kinds.org_id
                WHERE template.waba_id = kinds.waba_id AND name = kinds.template_name
                    AND language = kinds.template_language
                    AND template.status = 'PAUSED' AND paused_template = 'wait'
            )
            LIMIT $3
        )
        """,  # noqa: S608
        partitions,
        now,
        most,
    )
    return int(released.removeprefix("UPDATE "))


async def numbers_of(pool: asyncpg.Pool, org_id: str) -> Mapping[str, str]:
    """The numbers of an organisation, each with its account."""
    rows = await pool.fetch(
        "SELECT phone_number_id, waba_id FROM known_numbers JOIN known_accounts USING (waba_id) WHERE org_id = $1",
        org_id,
    )
    return {row["phone_number_id"]: row["waba_id"] for row in rows}
