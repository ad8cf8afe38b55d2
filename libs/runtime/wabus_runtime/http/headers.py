"""Request headers that change an answer, the same for every operation that takes them, and how they are documented.

`Prefer: wait` (RFC 7240), `If-Match` and `If-None-Match` with `ETag` (RFC 9110), and `Idempotency-Key` (the draft "The
Idempotency-Key HTTP Header Field").
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
IF_MATCH = {
    "If-Match": Header("The ETag of what you change: if somebody else has changed it meanwhile, 412."),
    "If-None-Match": Header("`*`: only if there is none yet, else 412."),
}
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


def expected_version(request: web.Request, now: str | None) -> str | None:
    """Which version a change is of, by `If-Match` or `If-None-Match: *` (RFC 9110, 13.1); None where it is of any.

    `now` is the version that there is, None for none; it is empty that is returned where there shall be none. Raises a
    problem where there is another.
    """
    wanted, unwanted = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if unwanted is not None and unwanted.strip() == "*":
        if now is not None:
            raise changed_meanwhile()
        return ""
    if wanted is None:
        return None
    if wanted.strip() == "*":
        if now is None:
            raise changed_meanwhile()
        return now
    tags = {tag.value for tag in request.if_match or ()}
    if not tags:
        raise Problem(
            422, "invalid_if_match", "Unusable If-Match", 'If-Match has an ETag between quotation marks, as in "abc".'
        )
    if now is None or now not in tags:
        raise changed_meanwhile()
    return now


def changed_meanwhile() -> Problem:
    """That somebody else has changed it: 412."""
    detail = "Somebody has changed it since you have read it. Read it again, and change that."
    return Problem(412, "changed_meanwhile", "Changed meanwhile", detail)


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
