"""Are the rows of two tables the same, and which are not?"""

from dataclasses import dataclass
from datetime import date, datetime

from wabus_runtime.postgres.database import Connection

COMPARE_TIMEOUT = 900.0  # seconds for one table
DIFFERENCES_SHOWN = 5

Floors = tuple[datetime, date]
"""From when on counts are kept, and from which day on ids are remembered on both sides."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a read model. Rows that don't satisfy `lasting` age out and may be missing on either side.

    `lasting` is SQL that may use $1 (from when on counts are kept) and $2 (from which day on ids are remembered).
    """

    name: str
    key: str
    lasting: str = "$1::timestamptz IS NOT NULL AND $2::date IS NOT NULL"


async def digest_of(connection: Connection, table: Table, floors: Floors) -> tuple[int, object]:
    """How many rows there are, and a sum over all of them that has no order."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) AS rows, sum(hashtextextended(t::text, 0)::numeric) AS digest
        FROM {table.name} AS t WHERE {table.lasting}
        """,  # noqa: S608
        *floors,
        timeout=COMPARE_TIMEOUT,
    )
    return (row["rows"], row["digest"]) if row else (0, None)


async def differences(live: Connection, beside: Connection, table: Table, floors: Floors) -> list[str]:
    """Some keys whose rows differ; their content belongs to customers."""
    query = f"""
        SELECT ROW({table.key})::text AS key, hashtextextended(t::text, 0) AS digest
        FROM {table.name} AS t WHERE {table.lasting} ORDER BY ROW({table.key})::text COLLATE "C"
    """  # noqa: S608
    found: list[str] = []
    sides = [side.cursor(query, *floors, prefetch=1000, timeout=COMPARE_TIMEOUT) for side in (live, beside)]
    cursors = [aiter(side) for side in sides]
    rows = [await anext(cursor, None) for cursor in cursors]
    while any(rows) and len(found) < DIFFERENCES_SHOWN:
        old, new = rows
        if new is None or (old is not None and old["key"] < new["key"]):
            found.append(f"only live: {old['key'] if old else ''}")
            rows[0] = await anext(cursors[0], None)
        elif old is None or new["key"] < old["key"]:
            found.append(f"only new: {new['key']}")
            rows[1] = await anext(cursors[1], None)
        else:
            if old["digest"] != new["digest"]:
                found.append(f"differs: {old['key']}")
            rows = [await anext(cursor, None) for cursor in cursors]
    return found
