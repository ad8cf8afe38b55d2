"""Are the rows of two tables the same, and which are not?"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from wabus_runtime.postgres.database import Connection

COMPARE_TIMEOUT = 900.0  # seconds for one table
DIFFERENCES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Lasting:
    """Which rows of a table must be the same; the others age out, and may be there still or no longer."""

    condition: str
    """SQL about a row, in which $1 is where it begins."""
    begin: Callable[[Connection, datetime], Awaitable[object]]
    """Where it begins, by the live tables and the moment of the comparison."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table to compare: `key` has the columns that tell its rows apart, comma separated."""

    name: str
    key: str
    lasting: Lasting | None = None
    """None where all rows are kept for ever."""


class Comparison(NamedTuple):
    live: int
    """Rows."""
    beside: int
    same: bool
    differing: list[str]
    """Some keys of rows that differ, and how. The content belongs to customers."""


async def compare(live: Connection, beside: Connection, table: Table, now: datetime) -> Comparison:
    """Compare a table that is live with the same table beside it."""
    arguments = [await table.lasting.begin(live, now)] if table.lasting else []
    old, new = [await _digest(side, table, arguments) for side in (live, beside)]
    differing = [] if old == new else await _differences(live, beside, table, arguments)
    return Comparison(old[0], new[0], old == new, differing)


async def _digest(connection: Connection, table: Table, arguments: list[object]) -> tuple[int, object]:
    """How many rows there are, and a sum over all of them that has no order."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) AS rows, sum(hashtextextended(t::text, 0)::numeric) AS digest
        FROM {table.name} AS t WHERE {_condition(table)}
        """,  # noqa: S608
        *arguments,
        timeout=COMPARE_TIMEOUT,
    )
    return (row["rows"], row["digest"]) if row else (0, None)


async def _differences(live: Connection, beside: Connection, table: Table, arguments: list[object]) -> list[str]:
    query = f"""
        SELECT ROW({table.key})::text AS key, hashtextextended(t::text, 0) AS digest
        FROM {table.name} AS t WHERE {_condition(table)} ORDER BY ROW({table.key})::text COLLATE "C"
    """  # noqa: S608
    found: list[str] = []
    sides = [side.cursor(query, *arguments, prefetch=1000, timeout=COMPARE_TIMEOUT) for side in (live, beside)]
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


def _condition(table: Table) -> str:
    return table.lasting.condition if table.lasting else "true"
