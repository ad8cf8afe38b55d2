"""Errors of a number that Meta told with no message, or answered the sender, in PostgreSQL: each hour's first and last.

They say when, not how often, so that the order and repetition of events does not matter.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
from wabus_events import MessagingFailed, SendRefused, SendReturned
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded
from wabus_whatsapp.sending.errors import TROUBLES

from wabus_health_projector.health.traffic import counts_kept_from

Place = tuple[str, datetime, str, int, str]
"""WABA, hour, phone number id, error code, and whose the WABA was; empty where it was nobody's."""
CODE_MOST = 2**31 - 1


def errors_in(records: Sequence[Recorded]) -> dict[Place, tuple[datetime, datetime]]:
    """The first and the last of each hour; what is older than counts are kept is left out."""
    found: dict[Place, tuple[datetime, datetime]] = {}
    for record in records:
        event = record.event
        match event:
            case MessagingFailed():
                codes = event.error_codes
            case SendReturned(error_code=int(code)) | SendRefused(stage="graph", error_code=int(code)):
                # Of the others each says something of one message only.
                codes = [code] if code in TROUBLES else []
            case _:
                continue
        at = min(event.time.astimezone(UTC), record.logged_at)
        if at < counts_kept_from(record.logged_at.date()):
            continue
        hour = at.replace(minute=0, second=0, microsecond=0)
        for code in codes:
            if abs(code) <= CODE_MOST:
                place = event.waba_id, hour, event.phone_number_id, code, event.org_id or ""
                first, last = found.get(place, (at, at))
                found[place] = min(first, at), max(last, at)
    return found


async def save_errors(connection: Connection, errors: dict[Place, tuple[datetime, datetime]], pruned: datetime) -> None:
    """Join them to what is stored, and forget what was before `pruned`."""
    rows = orjson.dumps([(*place, *moments) for place, moments in sorted(errors.items())]).decode()
    await connection.execute(
        """
        INSERT INTO organisation_errors AS held (waba_id, hour, phone_number_id, code, org_id, first_at, last_at)
        SELECT part->>0, (part->>1)::timestamptz AS hour, part->>2, (part->>3)::int AS code, part->>4,
            (part->>5)::timestamptz, (part->>6)::timestamptz
        FROM jsonb_array_elements($1::text::jsonb) AS new(part)
        ORDER BY (part->>0) COLLATE "C", hour, (part->>2) COLLATE "C", code, (part->>4) COLLATE "C"
        ON CONFLICT (waba_id, hour, phone_number_id, code, org_id) DO UPDATE
            SET first_at = least(held.first_at, excluded.first_at), last_at = greatest(held.last_at, excluded.last_at)
        """,
        rows,
    )
    await connection.execute(
        """
        DELETE FROM organisation_errors WHERE (waba_id, hour, phone_number_id, code, org_id) IN (
            SELECT waba_id, hour, phone_number_id, code, org_id FROM organisation_errors WHERE hour < $1 LIMIT 1000
            FOR UPDATE SKIP LOCKED
        )
        """,
        pruned,
    )
