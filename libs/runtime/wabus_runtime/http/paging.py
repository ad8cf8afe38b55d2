"""Lists page by page: `limit` entries, the ones after the place `after`, and `next` for the page that follows.

A place is what the list is ordered by, of the last entry of a page. So a page neither repeats nor leaves out an entry,
whatever is added or removed between two of them. Clients take `next` as it is and give it back.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import orjson
from pydantic import StringConstraints, TypeAdapter

from wabus_runtime.http.answers import Problem

Cursor = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[A-Za-z0-9_-]*$")]
"""`next` of a page, and `after` of the following one: two of them have room in the line of a request, with all else."""

T = TypeVar("T")


def page_of(rows: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """The page, and its last entry if there is another page; ask for one row more than `limit`. Pure."""
    page = rows[:limit]
    return page, page[-1] if len(rows) > limit else None


def cursor_of(place: Sequence[object]) -> str:
    """A place as clients get it. Pure."""
    return base64.urlsafe_b64encode(orjson.dumps(list(place))).decode().rstrip("=")


def place_of(cursor: str, kind: type[T]) -> T:
    """The place that a cursor stands for, such as a `tuple[str, str]`. Raises a problem where it is none of ours."""
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = TypeAdapter(kind).validate_python(decoded)
        for part in place if isinstance(place, tuple) else ():
            if isinstance(part, datetime):
                part.astimezone(UTC)  # no table holds what that overflows at
        return place
    except (ValueError, OverflowError, binascii.Error):
        raise Problem(422, "invalid_cursor", "Unknown place", "`after` is not a `next` of ours.") from None
