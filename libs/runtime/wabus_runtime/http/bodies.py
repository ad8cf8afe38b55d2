"""The bodies of requests that anybody may send: small, in time, and of the kind that was asked for."""

import asyncio
from urllib.parse import parse_qsl

from aiohttp import web

from wabus_runtime.http.answers import Problem

MAX_BYTES = 64 * 1024
READ_TIMEOUT = 10.0  # seconds for a body to arrive
MAX_FIELDS = 100


async def form(request: web.Request) -> dict[str, str]:
    """The fields of an HTML form in UTF-8, the last of each name. Raises a problem."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(415, "no_form", "Unsupported media type", "Send an HTML form, not encoded as multipart.")
    try:
        text = (await body(request)).decode()
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Problem(400, "malformed_body", "Malformed body", "The form can't be read.") from None


async def json_text(request: web.Request) -> bytes:
    """The bytes of what is said to be JSON; none at all need not be said to be anything. Raises a problem."""
    text = await body(request)
    if text and request.content_type != "application/json":
        raise Problem(415, "no_json", "Unsupported media type", "Send JSON, with Content-Type: application/json.")
    return text


def malformed_json() -> Problem:
    return Problem(400, "malformed_json", "Malformed JSON", "The request's body is no JSON.")


async def body(request: web.Request) -> bytes:
    """The raw bytes. Raises a problem when they are too many or too slow."""
    if (request.content_length or 0) > MAX_BYTES:
        raise _too_large()
    read = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            async for chunk in request.content.iter_any():
                read += chunk
                if len(read) > MAX_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise Problem(
            408,
            "request_timeout",
            "Request timeout",
            "The body did not arrive in time.",
            headers={"Connection": "close"},
        ) from None
    return bytes(read)


def _too_large() -> Problem:
    return Problem(
        413, "too_large", "Payload too large", "The request has at most 64 kB.", headers={"Connection": "close"}
    )
