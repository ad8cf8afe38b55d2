"""Lists as CSV, for whoever asks with `Accept: text/csv`. Source: RFC 4180.

A cell that a spreadsheet would take for a formula begins with an apostrophe: what people elsewhere wrote is text.
Source: OWASP, "CSV Injection".
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from aiohttp import web

ABOUT = "`Accept: text/csv` gives the list as CSV (RFC 4180)."

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: web.Request) -> bool:
    """Whether the client asks for CSV, and not for JSON before it."""
    for accepted in ",".join(request.headers.getall("Accept", [])).split(","):
        match accepted.split(";")[0].strip().lower():
            case "text/csv":
                return True
            case "application/json" | "application/*" | "*/*":
                return False
            case _:
                pass
    return False


def csv_response(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], name: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """The rows as a file with this name; a row has a cell for each column, an empty one for None or nothing."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return web.Response(
        body=text.getvalue().encode(),
        content_type="text/csv",
        charset="utf-8",
        headers={
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Vary": "Accept",
            **(headers or {}),
        },
    )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value.isoformat() if isinstance(value, date) else value
