"""Which pages of other origins may ask and follow: `ALLOWED_ORIGINS`.

Sources: WHATWG Fetch, "CORS protocol"; RFC 6455, section 10.2, for WebSockets, which browsers open to any address.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from wabus_runtime.http.answers import Handler, Problem

ASKED_AGAIN = "600"  # seconds for which a browser need not ask again what it may send
SENT_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer"
READ_HEADERS = "ETag, Location, Retry-After, Preference-Applied"
METHODS = "GET, POST, PUT, PATCH, DELETE"

ALLOWED: web.AppKey[frozenset[str]] = web.AppKey("allowed_origins", frozenset)


def origin_of(url: str) -> str:
    """The origin of an address, as browsers write it. Pure."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def allow_origins(app: web.Application, origins: Collection[str], own: str | None) -> None:
    """Let pages of these origins read what the application answers. Our `own` pages need no leave for that."""
    app[ALLOWED] = frozenset(origins) | ({own} if own else set())
    if origins:
        app.middlewares.insert(0, _preflight(frozenset(origins)))
        app.on_response_prepare.append(_headers(frozenset(origins)))


def refuse_other_origins(request: web.Request) -> None:
    """Raise a 403 problem where the page that opens a connection is of none of them. Programs name no page."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin.lower() not in request.app[ALLOWED]:
        raise Problem(
            403, "origin_not_allowed", "Not allowed", "Pages of this origin may not follow here: see ALLOWED_ORIGINS."
        )


def _preflight(origins: Collection[str]) -> Any:
    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_asked = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        if not is_asked or request.headers.get(hdrs.ORIGIN, "").lower() not in origins:
            return await handler(request)
        return web.Response(
            status=204,
            headers={
                hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                hdrs.ACCESS_CONTROL_ALLOW_HEADERS: SENT_HEADERS,
                hdrs.ACCESS_CONTROL_MAX_AGE: ASKED_AGAIN,
            },
        )

    return answer


def _headers(origins: Collection[str]) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def add(request: web.Request, response: web.StreamResponse) -> None:
        known = response.headers.get(hdrs.VARY)
        response.headers[hdrs.VARY] = f"{known}, Origin" if known else "Origin"
        origin = request.headers.get(hdrs.ORIGIN, "")
        if origin.lower() in origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = READ_HEADERS

    return add
