"""Many rows as one parameter of a statement: asyncpg takes several times as long for an array of each column."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson


def json_rows(columns: Mapping[str, str]) -> str:
    """The rows of the first parameter as a table `new`, by the names of the columns and their types."""
    described = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset($1::text::json) AS new({described})"


def as_json(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> str:
    """The parameter. Amounts go as text, which loses nothing of them."""
    names = tuple(columns)
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str).decode()
