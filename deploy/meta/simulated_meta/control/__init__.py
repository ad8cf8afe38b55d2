"""The control API under `/_control`: change the simulated world, let it fail, fire webhooks, see what was called.

`GET /_control` lists every endpoint. Bodies and answers are JSON. A change that Meta would report with a webhook sends
that webhook too, unless `?webhook=false`; `?wait=true` answers after its first delivery attempt, with the result.
It has no password: nothing in it is real.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from simulated_meta.context import META, Meta
from simulated_meta.control import (
    billing,
    faults,
    media,
    people,
    sending,
    story,
    templates,
    tokens,
    traffic,
    webhooks,
    world,
)

ROUTES = (
    *(*world.ROUTES, *templates.ROUTES, *tokens.ROUTES, *faults.ROUTES),
    *(*people.ROUTES, *media.ROUTES, *webhooks.ROUTES, *sending.ROUTES, *story.ROUTES),
    *(*billing.ROUTES, *traffic.ROUTES),
)


def add_routes(app: web.Application) -> None:
    app.router.add_get("/_control", _help)
    for method, path, handler in ROUTES:
        app.router.add_route(method, f"/_control{path}", _as_json(handler))
    app.router.add_route("*", "/_control/{path:.*}", _unknown)


async def _help(_request: web.Request) -> web.Response:
    endpoints = [{"call": f"{method} /_control{path}", "does": _sentence(handler)} for method, path, handler in ROUTES]
    text = json.dumps({"about": (__doc__ or "").strip(), "endpoints": endpoints}, indent=2)
    return web.Response(text=text + "\n", content_type="application/json")


async def _unknown(_request: web.Request) -> web.Response:
    return web.json_response({"error": "no such endpoint; GET /_control lists them"}, status=404)


def _as_json(
    handler: Callable[[Meta, web.Request, dict[str, Any]], Awaitable[Any]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        meta = request.app[META]
        try:
            body = json.loads(await request.text() or "{}")
            if not isinstance(body, dict):
                raise ValueError("the body must be a JSON object")
            answer = await handler(meta, request, body)
        except KeyError as missing:
            return web.json_response({"error": f"{missing.args[0]!r} is missing or not known"}, status=404)
        except ValidationError as invalid:
            return web.json_response({"error": str(invalid)}, status=400)
        except (ValueError, TypeError) as wrong:
            return web.json_response({"error": str(wrong)}, status=400)
        if request.method != "GET":
            meta.store.changed()
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    return handle


def _sentence(handler: Callable[..., Any]) -> str:
    return " ".join((handler.__doc__ or "").split())
