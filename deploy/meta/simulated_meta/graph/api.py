"""The Graph API over HTTP: faults first, then what a path means, always with usage headers."""

import asyncio
import json
import re
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from simulated_meta import faults
from simulated_meta.context import META, Meta
from simulated_meta.graph import answers, login, nodes, subscriptions
from simulated_meta.graph.access import Call, Node, authenticate, node, seen_wabas
from simulated_meta.graph.errors import GraphError, bad_parameter, no_such_field, unknown_object, unknown_path

Json = dict[str, Any]

VERSION = re.compile(r"v(\d+)\.(\d+)")


def add_routes(app: web.Application) -> None:
    app.router.add_route("*", "/{path:.*}", call)


async def call(request: web.Request) -> web.Response:
    """Any call to Graph. Without a version in the path it is for the newest: "Versioning" (Graph API)."""
    meta = request.app[META]
    parts = [part for part in request.path.split("/") if part]
    version = parts.pop(0) if parts and VERSION.fullmatch(parts[0]) else meta.world.graph_version
    waba_id = _waba_of(meta, parts[0]) if parts else None
    trace_id = "A" + secrets.token_urlsafe(16)
    if meta.faults.latency_ms:
        await asyncio.sleep(meta.faults.latency_ms / 1000)
    failure = meta.faults.next_failure(request.path)
    body: Json
    status = 200
    try:
        if failure and failure.body == "json":
            raise failure.error()
        meta.faults.count(waba_id)
        if _number(version) > _number(meta.world.graph_version):
            raise unknown_path("/" + version)
        body = await _answer(Call(meta, request, await _parameters(request), version), parts)
    except GraphError as error:
        body, status = error.body(trace_id), error.status
    text, content_type = json.dumps(body), "application/json"
    if failure and failure.body != "json":
        status = failure.status
        if failure.body == "html":
            text, content_type = "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>", "text/html"
        else:
            text = text[: len(text) // 2] if failure.body == "truncated" else ""
    meta.faults.calls.append(faults.Call(time.time(), request.method, request.path, status))
    used, allowed = meta.faults.usage(waba_id)
    headers = answers.usage_headers(waba_id, used, allowed, meta.faults.minutes_to_regain(waba_id))
    headers |= {"facebook-api-version": version, "x-fb-trace-id": trace_id, "Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type=content_type, charset="utf-8", headers=headers)


async def _parameters(request: web.Request) -> dict[str, str]:
    """Query and body (form or JSON) together, as Graph reads them."""
    found = dict(request.query)
    raw = await request.text()
    if not raw:
        return found
    if request.content_type == "application/json":
        try:
            body = json.loads(raw)
        except ValueError:
            raise bad_parameter("Invalid JSON in the request body") from None
        return found | {name: str(value) for name, value in body.items()} if isinstance(body, dict) else found
    return found | dict(parse_qsl(raw))


async def _answer(call: Call, parts: list[str]) -> Json:
    match (call.method, *parts):
        case ("GET" | "POST", "oauth", "access_token"):
            return login.access_token(call.meta, call.parameters)
        case ("GET", "debug_token"):
            authenticate(call)
            return login.debug_token(call.meta, call.parameters.get("input_token", ""))
        case ("GET", "me"):
            token = authenticate(call)
            return {"name": call.meta.world.app_name, "id": token.user_id if token else call.meta.world.app_id}
        case ("GET", "me", "businesses"):
            return nodes.businesses(call, seen_wabas(call))
        case (_, app_id, "subscriptions") if app_id == call.meta.world.app_id:
            return await subscriptions.app_subscriptions(call)
        case ("GET", object_id):
            return nodes.show(call, node(call, object_id))
        case (_, object_id):
            raise unknown_object(object_id, call.method)
        case (_, object_id, edge):
            return await _edge(call, node(call, object_id), edge)
        case _:
            raise unknown_path("/" + "/".join(parts[1:]))


async def _edge(call: Call, of: Node, edge: str) -> Json:
    """What hangs on an object. An edge of another type of object is a field that this one has not."""
    match (call.method, of.type, edge):
        case ("GET", "WhatsAppBusinessAccount", "message_templates") if of.waba:
            return nodes.templates(call, of.waba)
        case ("GET", "WhatsAppBusinessAccount", "phone_numbers") if of.waba:
            return nodes.phone_numbers(call, of.waba)
        case ("GET" | "POST" | "DELETE", "WhatsAppBusinessAccount", "subscribed_apps") if of.waba:
            return await subscriptions.subscribed_apps(call, of.waba)
        case ("GET", "Business", "owned_whatsapp_business_accounts"):
            return nodes.wabas(call, [waba for waba in seen_wabas(call) if waba.business_id == of.id])
        case ("GET", "Business", "client_whatsapp_business_accounts"):
            return nodes.wabas(call, [waba for waba in seen_wabas(call) if of.id in waba.shared_with])
        case ("GET", _, _):
            raise no_such_field(edge, of.type)
        case _:
            raise unknown_object(of.id, call.method)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version[1:].split("."))


def _waba_of(meta: Meta, object_id: str) -> str | None:
    if object_id in meta.world.wabas:
        return object_id
    phone = meta.world.phone(object_id)
    return phone.waba_id if phone else None
