"""Reading Meta's JSON, which may hold anything anywhere. Pure."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unwritable:
    """A part that events can't carry as JSON: a number beyond 64 bits, a lone surrogate, hundreds of levels."""

    field: str | None
    body: bytes


BSUID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9.]{1,132}")
"""What Meta gives beside a number, or instead of one. Source: Meta, "Business-scoped user IDs"."""
_DIGITS_OF_64_BITS = 18  # at most, whatever they are
_LATEST_SECONDS = 253_402_300_799  # 9999-12-31, the last moment a datetime holds


def text(part: Any) -> str | None:
    """A text that is not empty."""
    return part if isinstance(part, str) and part else None


def number_of(part: Any) -> str | None:
    """A phone number without the plus sign that some webhooks have before it, as `wa_id` and `from` have none."""
    found = text(part)
    return found.removeprefix("+") if found else None


def whole_number(part: Any) -> int | None:
    """A whole number, also where it comes as text."""
    if isinstance(part, str) and len(part) < 20 and part.isdecimal():
        return int(part)
    return part if isinstance(part, int) and not isinstance(part, bool) else None


def object_of(part: Any) -> Json:
    """A JSON object; empty where it is something else."""
    return cast(Json, part) if isinstance(part, dict) else {}


def items_of(value: Json, name: str) -> list[Any]:
    """A list in a value; empty where it is something else."""
    return list_of(value.get(name))


def list_of(part: Any) -> list[Any]:
    """A JSON list; empty where it is something else."""
    return cast(list[Any], part) if isinstance(part, list) else []


def codes_of(errors: Any) -> list[int]:
    """The codes of Meta's errors. Raises KeyError or TypeError where they are something else."""
    return [code_of(error["code"]) for error in errors or []]


def code_of(part: Any) -> Any:
    """A code. Raises TypeError for one that, read from a text, would have more than 64 bits: no event carries it."""
    if isinstance(part, str) and len(part) > _DIGITS_OF_64_BITS:
        raise TypeError("code")
    return part


def moment(value: Any) -> datetime | None:
    """Meta's times: seconds since 1970 as a number or a string of digits; in some webhooks milliseconds."""
    if isinstance(value, bool):
        return None
    try:
        seconds = int(value)
        if seconds > 100_000_000_000:
            seconds /= 1000
    except (TypeError, ValueError, OverflowError):
        return None
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= _LATEST_SECONDS else None


def digest(value: Any) -> str:
    """The same for the same JSON, in whatever order its members come."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def json_of(value: Any) -> bytes:
    """The JSON of a value of which parts were set apart, with these in their places."""
    return json.dumps(value, default=_set_apart).encode()


def _set_apart(part: Any) -> Any:
    if isinstance(part, Unwritable):
        return json.loads(part.body)
    raise TypeError(type(part).__name__)
