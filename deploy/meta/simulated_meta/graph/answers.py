"""How Graph answers: pages with cursors, chosen fields, usage headers. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from simulated_meta.graph.errors import bad_parameter, no_such_field

LIMIT_DEFAULT = 25  # Meta's OpenAPI, `limit` of lists
LIMIT_MAX = 250  # more are not given, whatever is asked for

Json = dict[str, Any]


def page(
    items: Sequence[Json],
    *,
    limit: int,
    after: str | None,
    before: str | None,
    url: str,
    query: Mapping[str, str],
) -> tuple[list[Json], Json]:
    """One page of `items` (each with an `id`) and what comes beside its `data`; see "Paginated Results" (Graph API).

    `next` is an absolute URL that repeats `query`, the access token included, as Graph does it.
    """
    limit = min(limit, LIMIT_MAX)
    if after is not None:
        start = _position(items, after) + 1
    elif before is not None:
        start = max(0, _position(items, before) - limit)
    else:
        start = 0
    chosen = list(items[start : start + limit])
    if not chosen:
        return [], {}
    first, last = _cursor(start, chosen[0]), _cursor(start + len(chosen) - 1, chosen[-1])
    paging: Json = {"cursors": {"before": first, "after": last}}
    kept = {name: value for name, value in query.items() if name not in ("after", "before")} | {"limit": str(limit)}
    if start + limit < len(items):
        paging["next"] = f"{url}?{urlencode(kept | {'after': last})}"
    if start > 0:
        paging["previous"] = f"{url}?{urlencode(kept | {'before': first})}"
    return chosen, {"paging": paging}


def parse_limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not text.isdigit() or int(text) == 0:
        raise bad_parameter("Param limit must be a positive integer")
    return int(text)


def pick(item: Json, fields: str | None, default: Sequence[str], node: str) -> Json:
    """The fields asked for, `id` always: "Field expansion" (Graph API). What is null is left out.

    A field that this type of object has not is an error.
    """
    names = [name for name in split_fields(fields) if name != "id"] if fields else list(default)
    for name in names:
        if name not in item:
            raise no_such_field(name, node)
    return {name: item[name] for name in names if item[name] is not None and name != "id"} | {"id": item["id"]}


def split_fields(fields: str) -> list[str]:
    """`a,b{c,d},e.limit(2)` names a, b and e: nested choices are not narrowed here."""
    names: list[str] = [""]
    depth = 0
    for char in fields:
        if char in "{(":
            depth += 1
        elif char in "})":
            depth -= 1
        elif depth == 0 and char == ",":
            names.append("")
        elif depth == 0:
            names[-1] += char
    return [name.split(".")[0].strip() for name in names if name.strip()]


def expanded(fields: str) -> dict[str, dict[str, str]]:
    """The arguments of each field: `id,a.start(1).kinds([x,y])` has `a` with start "1" and kinds "[x,y]".

    "Field expansion" (Graph API). Raises `GraphError` for what can't be read.
    """
    found: dict[str, dict[str, str]] = {}
    for text in _parts(fields, ","):
        name, *calls = _parts(text, ".")
        arguments: dict[str, str] = {}
        for call in calls:
            argument, opened, rest = call.partition("(")
            if not opened or ")" not in rest:
                raise bad_parameter(f"Syntax error in the field expansion of {name.strip()}")
            arguments[argument.strip()] = rest[: rest.rindex(")")].strip()
        found[name.partition("{")[0].strip()] = arguments
    return found


def _parts(text: str, by: str) -> list[str]:
    """What is between `by`, which does not count inside of brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "{([") - (char in "])}")
        if char == by and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part.strip()]


def usage_headers(waba_id: str | None, used: int, allowed: int, minutes_to_regain: int) -> dict[str, str]:
    """`X-App-Usage` and `X-Business-Use-Case-Usage`, in per cent of what is allowed in an hour: "Rate limits"."""
    percent = min(100, round(100 * used / allowed)) if allowed else 100
    headers = {
        "X-App-Usage": json.dumps({"call_count": percent // 10, "total_cputime": 0, "total_time": percent // 10})
    }
    if waba_id:
        usage = {
            "type": "whatsapp",
            "call_count": percent,
            "total_cputime": percent // 4,
            "total_time": percent // 3,
            "estimated_time_to_regain_access": minutes_to_regain,
        }
        headers["X-Business-Use-Case-Usage"] = json.dumps({waba_id: [usage]})
    return headers


def _cursor(position: int, item: Json) -> str:
    return base64.urlsafe_b64encode(f"{position}:{item['id']}".encode()).decode().rstrip("=")


def _position(items: Sequence[Json], cursor: str) -> int:
    """Where the cursor's item is now; when it was deleted, just before where it would be."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        position, item_id = int(text.split(":")[0]), text.split(":")[1]
    except (ValueError, IndexError, binascii.Error):
        raise bad_parameter("Invalid cursors values") from None
    if position < len(items) and items[position]["id"] == item_id:
        return position
    return next((at for at, item in enumerate(items) if item["id"] == item_id), position - 1)
