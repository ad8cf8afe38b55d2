"""The bodies of requests that anybody may send: small, in time, and of the kind that was asked for."""

import asyncio
from typing import TypeVar
from urllib.parse import parse_qsl

from aiohttp import web
from pydantic import BaseModel, ValidationError

from wabus_runtime.http.answers import Problem, invalid_request

MAX_BYTES = 64 * 1024
READ_TIMEOUT = 10.0  # seconds for a body to arrive
MAX_FIELDS = 100

M = TypeVar("M", bound=BaseModel)


async def form(request: web.Request) -> dict[str, str]:
    """The fields of an HTML form in UTF-8, the last of each name. Raises a problem."""
    if _kind_of(request) != "application/x-www-form-urlencoded":
        raise Problem(415, "no_form", "Unsupported media type", "Send an HTML form, not encoded as multipart.")
    try:
        text = (await body(request)).decode()
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise Problem(400, "malformed_body", "Malformed body", "The form can't be read.") from None


async def json_text(request: web.Request, most: int = MAX_BYTES) -> bytes:
    """The bytes of what is said to be JSON; none at all need not be said to be anything. Raises a problem."""
    text = await body(request, most)
    if text and _kind_of(request) != "application/json":
        raise Problem(415, "no_json", "Unsupported media type", "Send JSON, with Content-Type: application/json.")
    return text


async def json_body(request: web.Request, model: type[M], most: int = MAX_BYTES) -> M:
    """The request's body as a model has it, an empty one as if it were `{}`. Raises a problem."""
    text = await json_text(request, most)
    try:
        return model.model_validate_json(text if text.strip() else b"{}")
    except ValidationError as invalid:
        if any(error["type"] == "json_invalid" for error in invalid.errors()):
            raise malformed_json() from None
        raise invalid_request(invalid) from None


def _kind_of(request: web.Request) -> str:
    """The media type, without its parameters.

    aiohttp has Python's parser of e-mails read those, for which 8 kB of semicolons are seconds of work.
    """
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def malformed_json() -> Problem:
    return Problem(400, "malformed_json", "Malformed JSON", "The request's body is no JSON.")


async def body(request: web.Request, most: int = MAX_BYTES) -> bytes:
    """The raw bytes. Raises a problem when they are more than `most` or too slow."""
    if (request.content_length or 0) > most:
        raise _too_large(most)
    read = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            async for chunk in request.content.iter_any():
                read += chunk
                if len(read) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise Problem(
            408,
            "request_timeout",
            "Request timeout",
            "The body did not arrive in time.",
            headers={"Connection": "close"},
        ) from None
    return bytes(read)


def _too_large(most: int) -> Problem:
    detail = f"The request has at most {most // 1024:,} kB."
    return Problem(413, "too_large", "Payload too large", detail, headers={"Connection": "close"})
