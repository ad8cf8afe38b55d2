"""JSON answers compressed for whoever can read that: a list of templates becomes a tenth, a phone shows it in a tenth.

Streams, pages and small answers go as they are. Compression tells a listener how much two parts of an answer have in
common (BREACH); an answer with a secret in it is therefore left alone: `uncompressed`.
"""

import asyncio
import gzip
from collections.abc import Iterable

from aiohttp import hdrs, web

from wabus_runtime.http.answers import Handler

SMALLEST = 1024  # bytes; less fits into one packet anyway
LEVEL = 5  # of 9: on lists of templates a tenth larger than 9, in a third of its time
LARGE = 64 * 1024  # bytes that are compressed beside the event loop
TYPES = frozenset({"application/json", "application/problem+json"})

_AS_IT_IS = web.ResponseKey("as_it_is", bool)


def uncompressed(response: web.Response) -> web.Response:
    """An answer that holds a secret: it is sent as it is."""
    response[_AS_IT_IS] = True
    return response


@web.middleware
async def compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compress what is worth it. An ETag is weak then, for it stands for another row of bytes (RFC 9110, 8.8.3.3)."""
    response = await handler(request)
    if not isinstance(response, web.Response) or hdrs.CONTENT_ENCODING in response.headers:
        return response
    wanted = accepts_gzip(request.headers.getall(hdrs.ACCEPT_ENCODING, []))
    if response.status == 304 and wanted:
        _weaken(response)
    body = response.body
    if not isinstance(body, bytes) or len(body) < SMALLEST or response.content_type not in TYPES:
        return response
    if response.get(_AS_IT_IS):
        return response
    response.headers[hdrs.VARY] = ", ".join(filter(None, (response.headers.get(hdrs.VARY), hdrs.ACCEPT_ENCODING)))
    if wanted:
        small = gzip.compress(body, LEVEL) if len(body) < LARGE else await asyncio.to_thread(gzip.compress, body, LEVEL)
        response.body = small
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        _weaken(response)
    return response


def accepts_gzip(given: Iterable[str]) -> bool:
    """Whether these `Accept-Encoding` headers allow gzip (RFC 9110, section 12.5.3); without any they do not."""
    weights: dict[str, float] = {}
    for item in ",".join(given).split(","):
        coding, _, parameter = item.partition(";")
        name, _, value = parameter.strip().partition("=")
        weight = 1.0
        if name.strip().lower() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 0.0
        weights[coding.strip().lower()] = weight
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weaken(response: web.Response) -> None:
    tag = response.headers.get(hdrs.ETAG)
    if tag and not tag.startswith("W/"):
        response.headers[hdrs.ETAG] = f"W/{tag}"
