"""The Graph API: WABAs, templates, phone numbers, subscriptions. Answers come from `answers.py`."""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from wabus_local.meta import answers, oauth
from wabus_local.meta.answers import GraphError, bad_parameter, page, parse_limit, pick, unknown_object, unknown_path
from wabus_local.meta.context import META, Meta
from wabus_local.meta.delivery import handshake
from wabus_local.meta.faults import Call
from wabus_local.meta.state import Phone, Subscription, Token, Waba

Json = dict[str, Any]

VERSION = re.compile(r"v\d+\.\d+")
MANAGEMENT = "whatsapp_business_management"
CALLBACK_LENGTH_MAX = 200  # characters; see "Webhook overrides"

TEMPLATE_FIELDS = ("name", "parameter_format", "components", "language", "status", "category", "sub_category")
TEMPLATE_KNOWN: Json = dict.fromkeys(
    (
        *TEMPLATE_FIELDS,
        *("quality_score", "rejected_reason", "previous_category", "correct_category", "library_template_name"),
        *(
            "message_send_ttl_seconds",
            "cta_url_link_tracking_opted_out",
            "degrees_of_freedom_spec",
            "last_updated_time",
        ),
    )
)
PHONE_FIELDS = ("verified_name", "display_phone_number", "quality_rating", "code_verification_status", "platform_type")
WABA_FIELDS = ("name", "timezone_id", "message_template_namespace", "currency")


def add_routes(app: web.Application) -> None:
    app.router.add_route("*", "/{path:.*}", call)


async def call(request: web.Request) -> web.Response:
    """Any call to Graph: faults first, then the answer, always with usage headers."""
    meta = request.app[META]
    parts = [part for part in request.path.split("/") if part]
    version = parts.pop(0) if parts and VERSION.fullmatch(parts[0]) else "v23.0"
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
        body = await _answer(meta, request, parts)
    except GraphError as error:
        body, status = error.body(trace_id), error.status
    text, content_type = json.dumps(body), "application/json"
    if failure and failure.body != "json":
        status = failure.status
        if failure.body == "html":
            text, content_type = "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>", "text/html"
        else:
            text = text[: len(text) // 2] if failure.body == "truncated" else ""
    meta.faults.calls.append(Call(time.time(), request.method, request.path, status))
    used, allowed = meta.faults.usage(waba_id)
    headers = answers.usage_headers(waba_id, used, allowed, meta.faults.minutes_to_regain(waba_id))
    headers |= {"facebook-api-version": version, "x-fb-trace-id": trace_id, "Cache-Control": "no-store"}
    return web.Response(text=text, status=status, content_type=content_type, charset="utf-8", headers=headers)


async def parameters(request: web.Request) -> dict[str, str]:
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


async def _answer(meta: Meta, request: web.Request, parts: list[str]) -> Json:
    params = await parameters(request)
    match (request.method, *parts):
        case ("GET" | "POST", "oauth", "access_token"):
            return oauth.access_token(meta, params)
        case ("GET", "debug_token"):
            _authenticate(meta, request, params)
            return oauth.debug_token(meta, params.get("input_token", ""))
        case ("GET", "me"):
            token = _authenticate(meta, request, params)
            return {"name": meta.world.app_name, "id": token.user_id if token else meta.world.app_id}
        case (_, app_id, "subscriptions") if app_id == meta.world.app_id:
            return await _app_subscriptions(meta, request, params)
        case ("GET", waba_id, "message_templates"):
            return _templates(_waba(meta, request, params, waba_id), request, params)
        case ("GET", waba_id, "phone_numbers"):
            return _phone_numbers(meta, _waba(meta, request, params, waba_id), request, params)
        case ("GET" | "POST" | "DELETE", waba_id, "subscribed_apps"):
            return await _subscribed_apps(meta, _waba(meta, request, params, waba_id), request.method, params)
        case ("GET", object_id):
            return _object(meta, request, params, object_id)
        case (_, object_id):
            raise unknown_object(object_id, request.method)
        case _:
            raise unknown_path("/" + "/".join(parts[1:]))


def _authenticate(meta: Meta, request: web.Request, params: dict[str, str]) -> Token | None:
    """The caller's token; None for the app's own `APP_ID|SECRET`. Raises GraphError."""
    value = _token_value(request, params)
    if not value:
        raise answers.no_token()
    if value in {f"{meta.world.app_id}|{secret}" for secret in meta.world.app_secrets}:
        return None
    if value.startswith(f"{meta.world.app_id}|"):
        raise answers.refused_app_token()
    token = meta.world.tokens.get(value)
    if token is None:
        raise answers.malformed_token()
    if token.revoked:
        raise answers.revoked_token()
    if token.expires_at and token.expires_at <= time.time():
        raise answers.expired_token()
    proof = params.get("appsecret_proof")
    right = [hmac.new(secret.encode(), value.encode(), hashlib.sha256) for secret in meta.world.app_secrets]
    if proof is not None and proof not in [mac.hexdigest() for mac in right]:
        raise answers.refused_proof()
    return token


def _token_value(request: web.Request, params: dict[str, str]) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ").strip() or params.get("access_token", "")


def _waba(meta: Meta, request: web.Request, params: dict[str, str], waba_id: str) -> Waba:
    """The WABA if the token may see it. One that it may not see looks like one that isn't there."""
    token = _authenticate(meta, request, params)
    if token is None:
        raise answers.no_permission()
    if MANAGEMENT not in token.scopes:
        raise answers.missing_scope(MANAGEMENT)
    if any(waba.business_id == waba_id for waba in meta.world.wabas.values()):
        # As rapidpro#1545 and pipedream#9004 have it for whoever gives a portfolio's id for an account's.
        asked = request.path.rsplit("/", 1)[-1]
        raise bad_parameter(f"Tried accessing nonexisting field ({asked}) on node type (Business)")
    waba = meta.world.wabas.get(waba_id)
    if waba is None or waba_id not in token.waba_ids:
        raise unknown_object(waba_id, request.method)
    return waba


def _templates(waba: Waba, request: web.Request, params: dict[str, str]) -> Json:
    chosen = [
        template
        for template in waba.templates.values()
        if all(
            template[name] in params[name].split(",") for name in ("status", "category", "language") if name in params
        )
        and params.get("name", "") in template["name"]
    ]
    chosen, paging = page(
        chosen,
        limit=parse_limit(params.get("limit")),
        after=params.get("after"),
        before=params.get("before"),
        url=str(request.url.with_query(None)),
        query=params | {"access_token": _token_value(request, params)},
    )
    asked = answers.split_fields(params.get("summary", ""))
    summary: Json = {"summary": {"total_count": len(waba.templates)}} if "total_count" in asked else {}
    return {"data": [_template(template, params.get("fields")) for template in chosen]} | paging | summary


def _template(template: Json, fields: str | None) -> Json:
    return pick(TEMPLATE_KNOWN | template, fields, TEMPLATE_FIELDS, "WhatsAppMessageTemplate")


def _phone_numbers(meta: Meta, waba: Waba, request: web.Request, params: dict[str, str]) -> Json:
    fields = params.get("fields")
    chosen, paging = page(
        [_phone_node(meta, phone) for phone in waba.phones.values()],
        limit=parse_limit(params.get("limit")),
        after=params.get("after"),
        before=params.get("before"),
        url=str(request.url.with_query(None)),
        query=params | {"access_token": _token_value(request, params)},
    )
    return {"data": [pick(phone, fields, PHONE_FIELDS, "WhatsAppBusinessPhoneNumber") for phone in chosen]} | paging


def _phone_node(meta: Meta, phone: Phone) -> Json:
    waba = meta.world.wabas[phone.waba_id]
    subscription = waba.subscribed_apps.get(meta.world.app_id)
    configuration = {"application": meta.world.callback_url if meta.world.callback_verified else None}
    if subscription:
        configuration["whatsapp_business_account"] = subscription.override_callback_uri
    return phone.model_dump(exclude={"waba_id", "throughput"}) | {
        # "Messaging limits": the limit is the portfolio's, under a name of its own; the number's is always null.
        "whatsapp_business_manager_messaging_limit": phone.messaging_limit_tier,
        "messaging_limit_tier": None,
        "platform_type": "CLOUD_API",
        "account_mode": "LIVE",
        "is_official_business_account": False,
        "health_status": None,
        "throughput": {"level": phone.throughput},
        "webhook_configuration": {name: url for name, url in configuration.items() if url},
    }


def _waba_node(meta: Meta, waba: Waba) -> Json:
    kept = waba.model_dump(exclude={"templates", "phones", "subscribed_apps", "business_id"})
    owner = {"id": waba.business_id, "name": meta.world.business_name}
    return kept | {
        "owner_business_info": owner,
        "on_behalf_of_business_info": None,
        "health_status": None,
        "country": None,
    }


async def _subscribed_apps(meta: Meta, waba: Waba, method: str, params: dict[str, str]) -> Json:
    """Whether the app gets the WABA's webhooks, and where. See "Webhook overrides".

    An override is taken once the app is subscribed without one (Requirements; chatwoot#13279), and while the app itself
    has a callback for `messages` (chatwoot#14713). Subscribing without an override takes away the one before.
    """
    app_id = meta.world.app_id
    if method == "GET":
        link = f"https://www.facebook.com/games/?app_id={app_id}"
        data = {"whatsapp_business_api_data": {"link": link, "name": meta.world.app_name, "id": app_id}}
        found = waba.subscribed_apps.get(app_id)
        override = (
            {"override_callback_uri": found.override_callback_uri} if found and found.override_callback_uri else {}
        )
        return {"data": [data | override] if found else []}
    if method == "DELETE":
        waba.subscribed_apps.pop(app_id, None)
    else:
        url, verify_token = params.get("override_callback_uri"), params.get("verify_token")
        if url:
            if not verify_token:
                raise bad_parameter("The parameter verify_token is required")
            if len(url) > CALLBACK_LENGTH_MAX:
                raise bad_parameter("override_callback_uri must be at most 200 characters long")
            if app_id not in waba.subscribed_apps or not meta.world.has_messages_callback:
                raise answers.not_subscribed()
            if why := await handshake(meta.session, url, verify_token):
                raise answers.callback_refused(why)
        waba.subscribed_apps[app_id] = Subscription(override_callback_uri=url, verify_token=verify_token)
    meta.store.changed()
    return {"success": True}


async def _app_subscriptions(meta: Meta, request: web.Request, params: dict[str, str]) -> Json:
    """The app's own callback; only the app's own token may set it. See "Subscriptions" (Graph API)."""
    if _authenticate(meta, request, params) is not None:
        raise GraphError("(#15) This method must be called with an app access token.", 15, status=403)
    world = meta.world
    if request.method == "POST":
        url, verify_token = params.get("callback_url"), params.get("verify_token")
        if not url or not verify_token:
            raise bad_parameter("The parameters callback_url and verify_token are required")
        if why := await handshake(meta.session, url, verify_token):
            raise answers.callback_refused(why)
        world.callback_url, world.verify_token, world.callback_verified = url, verify_token, True
        meta.store.changed()
        return {"success": True}
    active = {"object": "whatsapp_business_account", "callback_url": world.callback_url, "active": True}
    return {"data": [active] if world.callback_verified else []}


def _object(meta: Meta, request: web.Request, params: dict[str, str], object_id: str) -> Json:
    fields = params.get("fields")
    if object_id in meta.world.wabas:
        waba = _waba(meta, request, params, object_id)
        return pick(_waba_node(meta, waba), fields, WABA_FIELDS, "WhatsAppBusinessAccount")
    if phone := meta.world.phone(object_id):
        _waba(meta, request, params, phone.waba_id)
        return pick(_phone_node(meta, phone), fields, PHONE_FIELDS, "WhatsAppBusinessPhoneNumber")
    if waba := meta.world.waba_of_template(object_id):
        _waba(meta, request, params, waba.id)
        return _template(waba.templates[object_id], fields)
    _authenticate(meta, request, params)
    raise unknown_object(object_id)


def _waba_of(meta: Meta, object_id: str) -> str | None:
    if object_id in meta.world.wabas:
        return object_id
    phone = meta.world.phone(object_id)
    return phone.waba_id if phone else None
