"""Labels whose sends wait because somebody has paused them; and templates, which Meta has paused."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
from wabus_events import LabelPaused, LabelResumed
from wabus_runtime.postgres.database import Connection


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
    """Let some sends be due whose label and template are paused no more; how many."""
    released = await pool.execute(
        """
        UPDATE sends SET held = false, next_at = $2 WHERE send_id IN (
            SELECT send_id FROM sends LEFT JOIN labels USING (org_id, phone_number_id, label)
            WHERE held AND state = 'queued' AND partition = ANY($1) AND paused IS NOT TRUE AND NOT EXISTS (
                SELECT FROM known_templates AS template JOIN policies ON policies.org_id = sends.org_id
                WHERE template.waba_id = sends.waba_id AND name = template_name AND language = template_language
                    AND template.status = 'PAUSED' AND paused_template = 'wait'
            )
            LIMIT $3
        )
        """,
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
