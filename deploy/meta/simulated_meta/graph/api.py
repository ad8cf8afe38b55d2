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
from simulated_meta.graph import (
    answers,
    block_users,
    insights,
    login,
    media,
    messages,
    nodes,
    sent_media,
    subscriptions,
)
from simulated_meta.graph.access import MANAGEMENT, MESSAGING, Call, Node, authenticate, node, seen_wabas
from simulated_meta.graph.errors import GraphError, bad_parameter, no_such_field, unknown_object, unknown_path

Json = dict[str, Any]

VERSION = re.compile(r"v(\d+)\.(\d+)")
OF_MESSAGING = ("messages", "marketing_messages", "media", "block_users")
"""Edges that need another permission than the rest: "Send messages", "Media", "Block users"."""


def add_routes(app: web.Application) -> None:
    app.router.add_route("*", "/{path:.*}", call)


async def call(request: web.Request) -> web.StreamResponse:
    """Any call to Graph. Without a version in the path it is for the newest: "Versioning" (Graph API)."""
    meta = request.app[META]
    parts = [part for part in request.path.split("/") if part]
    version = parts.pop(0) if parts and VERSION.fullmatch(parts[0]) else meta.world.graph_version
    waba_id = _waba_of(meta, parts[0]) if parts else None
    trace_id = "A" + secrets.token_urlsafe(16)
    if meta.faults.latency_ms:
        await asyncio.sleep(meta.faults.latency_ms / 1000)
    failure = meta.faults.next_failure(request.path, request.method)
    body: Json
    status = 200
    try:
        if failure and not failure.does_its_work:
            raise failure.error()
        # "Throughput" limits what sends; "Rate limits" by the hour what manages.
        meta.faults.count(waba_id, by_the_hour=parts[1:2] != ["messages"])
        if _number(version) > _number(meta.world.graph_version):
            raise unknown_path("/" + version)
        body = await _answer(await _call(meta, request, version), parts)
    except GraphError as error:
        body, status = error.body(trace_id), error.status
    except ConnectionResetError:  # whoever called has gone before the end of the body: nobody reads an answer
        return web.Response(status=400)
    text, content_type = json.dumps(body), "application/json"
    sent = request.get(messages.SENT)
    if failure and failure.body != "json":
        if sent:
            sent.answered = failure.body
            meta.sending.ledger.unanswered += 1
        if failure.body in ("cut", "half", "hang"):
            meta.faults.calls.append(faults.Call(time.time(), request.method, request.path, 0))
            return await _broken_off(request, failure, text)
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


async def _broken_off(request: web.Request, failure: faults.Failure, text: str) -> web.StreamResponse:
    """No answer, or half of one, and the connection is closed."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(text))})
    if failure.body == "hang":
        await asyncio.sleep(failure.seconds)
    elif failure.body == "half":
        await response.prepare(request)
        await response.write(text[: len(text) // 2].encode())
    if request.transport:
        request.transport.close()
    return response


async def _call(meta: Meta, request: web.Request, version: str) -> Call:
    parameters, content = await _given(request)
    return Call(meta, request, parameters, version, content)


async def _given(request: web.Request) -> tuple[dict[str, str], Any]:
    """Query and body (form or JSON) together, as Graph reads them, and the body by itself where it is JSON."""
    found = dict(request.query)
    if request.content_type == "multipart/form-data":  # read as a stream by whoever takes files
        return found, None
    raw = await request.text()
    if not raw:
        return found, None
    if request.content_type == "application/json":
        try:
            body = json.loads(raw)
        except ValueError:
            raise bad_parameter("Invalid JSON in the request body") from None
        if isinstance(body, dict):
            found |= {name: value if isinstance(value, str) else str(value) for name, value in body.items()}
        return found, body
    return found | dict(parse_qsl(raw)), None


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
        case (_, object_id) if object_id in call.meta.world.media:
            return media.answer(call, object_id)
        case ("GET", object_id):
            return nodes.show(call, node(call, object_id))
        case ("POST", object_id) if object_id in call.meta.world.wabas:
            return insights.enable(call, node(call, object_id))
        case (_, object_id):
            raise unknown_object(object_id, call.method)
        case (_, object_id, edge):
            scope = MESSAGING if edge in OF_MESSAGING else MANAGEMENT
            return await _edge(call, node(call, object_id, scope), edge)
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
        case ("GET", "WhatsAppBusinessAccount", "pricing_analytics" | "template_analytics") if of.waba:
            return insights.FIELDS[edge](call, of.waba, call.parameters)
        case ("GET", "WhatsAppMessageTemplate", "compare") if of.waba:
            return insights.compare(call, of.waba, of.id)
        case ("POST", "WhatsAppBusinessPhoneNumber", "messages" | "marketing_messages") if of.waba and of.phone:
            return await messages.send(call, of.waba, of.phone, edge)
        case ("POST", "WhatsAppBusinessPhoneNumber", "media") if of.phone:
            return await sent_media.upload(call, of.phone)
        case ("GET" | "POST" | "DELETE", "WhatsAppBusinessPhoneNumber", "block_users") if of.phone:
            return await block_users.block_users(call, of.phone)
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
    medium = meta.world.media.get(object_id)
    phone = meta.world.phone(medium.phone_number_id if medium else object_id)
    return phone.waba_id if phone else None
