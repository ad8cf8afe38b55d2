"""What Meta's statuses tell of sends: of each the furthest, and the earliest moment that it was told."""

from collections.abc import Iterable
from uuid import UUID

from wabus_runtime.postgres.database import Connection

from wabus_sender.sending.reading import StatusOfSend


async def write(connection: Connection, heard: Iterable[StatusOfSend]) -> None:
    """Write statuses down, in whatever order they come."""
    furthest: dict[str, StatusOfSend] = {}
    for each in heard:
        known = furthest.get(each.send_id)
        furthest[each.send_id] = max(known, each, key=_rank) if known else each
    if not furthest:
        return
    rows = [furthest[send_id] for send_id in sorted(furthest)]
    await connection.executemany(
        """
        INSERT INTO heard AS known (send_id, wamid, status, rank, error_codes, at, told_wa_id, told_user_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (send_id) DO UPDATE SET wamid = excluded.wamid, status = excluded.status, rank = excluded.rank,
            error_codes = excluded.error_codes, at = excluded.at,
            told_wa_id = excluded.told_wa_id, told_user_id = excluded.told_user_id
        WHERE (excluded.rank, -extract(epoch FROM excluded.at), excluded.wamid)
            > (known.rank, -extract(epoch FROM known.at), known.wamid)
        """,
        [
            (
                UUID(row.send_id),
                row.wamid,
                row.status,
                row.rank,
                list(row.error_codes),
                row.at,
                row.wa_id,
                row.user_id,
            )
            for row in rows
        ],
    )


def _rank(heard: StatusOfSend) -> tuple[int, float, str]:
    return heard.rank, -heard.at.timestamp(), heard.wamid
