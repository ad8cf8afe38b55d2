"""Request headers that change an answer, the same for every operation that takes them, and how they are documented.

`Prefer: wait` (RFC 7240), `If-None-Match` with `ETag` (RFC 9110), and `Idempotency-Key` (the draft "The Idempotency-Key
HTTP Header Field").
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

from aiohttp import web
from pydantic import BaseModel

from wabus_runtime.http.answers import Problem, json_response
from wabus_runtime.http.openapi import Header

MAX_WAIT = 30  # seconds that `Prefer: wait` can hold a request
KEY_LENGTH_MAX = 255  # characters of an Idempotency-Key

PREFER_WAIT = Header(f"`wait=10`: answer when it is done, or after so many seconds, at most {MAX_WAIT}.")
IF_NONE_MATCH = {"If-None-Match": Header("The ETag of the answer that is known: if it is still the same, 304.")}
IDEMPOTENCY_KEY = Header(
    "The same key asks for the same, however often it is sent.",
    # Not empty, also without its quotes.
    {"type": "string", "maxLength": KEY_LENGTH_MAX, "pattern": "^[ -~]*[!#-~][ -~]*$"},
)

_PREFER_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?([0-9]{1,6})"?\s*(?:$|[,;])', re.IGNORECASE)


def preferred_wait(request: web.Request) -> int | None:
    """Seconds that the client is ready to wait (RFC 7240, section 4.3), at most `MAX_WAIT`; None if it says nothing."""
    found = _PREFER_WAIT.search(",".join(request.headers.getall("Prefer", [])))
    return min(int(found[1]), MAX_WAIT) if found else None


def waited_for(wait: int | None) -> dict[str, str]:
    """The header that tells the client how long its preference held."""
    return {} if wait is None else {"Preference-Applied": f"wait={wait}"}


def is_known(request: web.Request, tag: str) -> bool:
    """Whether the client has the answer with this ETag already, so that 304 will do."""
    return any(known.value in (tag, "*") for known in request.if_none_match or ())


def tagged_response(request: web.Request, content: BaseModel | Mapping[str, Any]) -> web.Response:
    """A JSON answer with an ETag, or 304 where the client has it already."""
    response = json_response(content)
    tag = hashlib.blake2b(cast(bytes, response.body), digest_size=16).hexdigest()
    headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
    if is_known(request, tag):
        return web.Response(status=304, headers=headers)
    response.headers.update(headers)
    return response


def idempotency_key(request: web.Request) -> str | None:
    """The key, bare or as a quoted string, without its quotes; None where none is given. Raises a problem.

    Make of it, with the organisation and what is asked for, the id of the event that is published (`fact_id`): then
    whoever sends it again is told of what came of the first.
    """
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    key = given.strip()
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not key or len(key) > KEY_LENGTH_MAX or not key.isprintable():
        raise Problem(
            422,
            "invalid_idempotency_key",
            "Unusable key",
            f"Idempotency-Key has 1 to {KEY_LENGTH_MAX} printable characters.",
        )
    return key
