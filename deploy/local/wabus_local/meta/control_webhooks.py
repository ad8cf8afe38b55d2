"""Control of webhooks: fire any, see how their delivery went, set the app's callback."""

import base64
import secrets
import time
from typing import Any

from aiohttp import web

from wabus_local.meta import payloads
from wabus_local.meta.context import Meta
from wabus_local.meta.delivery import handshake
from wabus_local.meta.fire import fire, fire_payload
from wabus_local.meta.state import Phone

Json = dict[str, Any]


async def fire_any(meta: Meta, request: web.Request, body: Json) -> Json:
    """{object, entry} as it is, or {waba_id, field, value}; tamper: true signs it with a wrong secret."""
    tamper = bool(body.pop("tamper", False))
    if "entry" in body:
        return await fire_payload(meta, request, body, tamper=tamper)
    return await fire(meta, request, str(body["waba_id"]), str(body["field"]), body["value"], tamper=tamper)


async def fire_message(meta: Meta, request: web.Request, body: Json) -> Json:
    """{waba_id?: the first, phone_number_id?, from?, name?, text?, id?, tamper?}: a person writes to the business."""
    phone = _phone(meta, body)
    wamid = str(body.get("id") or _wamid())
    value = payloads.text_message(
        phone,
        str(body.get("from", "16505551234")),
        str(body.get("name", "Sheena Nelson")),
        str(body.get("text", "Does it come in another color?")),
        wamid,
        int(time.time()),
    )
    sent = await fire(meta, request, phone.waba_id, "messages", value, tamper=bool(body.get("tamper")))
    return {"id": wamid} | sent


async def fire_status(meta: Meta, request: web.Request, body: Json) -> Json:
    """{waba_id?, phone_number_id?, to?, status?: sent|delivered|read|failed, id?, tamper?}: news of a message."""
    phone = _phone(meta, body)
    wamid = str(body.get("id") or _wamid())
    value = payloads.message_status(
        phone, str(body.get("to", "16505551234")), str(body.get("status", "delivered")), wamid, int(time.time())
    )
    sent = await fire(meta, request, phone.waba_id, "messages", value, tamper=bool(body.get("tamper")))
    return {"id": wamid} | sent


async def list_deliveries(meta: Meta, request: web.Request, _body: Json) -> Json:
    """The latest webhooks with their attempts. ?state=waiting|retrying|delivered|failed, ?field="""
    state, field = request.query.get("state"), request.query.get("field")
    found = [
        delivery.as_json()
        for delivery in meta.sender.recent
        if state in (None, delivery.state) and (field is None or field in delivery.fields)
    ]
    return {"data": found}


async def set_callback(meta: Meta, _request: web.Request, body: Json) -> Json:
    """{callback_url, verify_token, delay_scale?}: the app's own callback, verified as the App Dashboard does it."""
    meta.sender.delay_scale = float(body.get("delay_scale", meta.sender.delay_scale))
    if "callback_url" in body:
        world = meta.world
        world.callback_url, world.verify_token = str(body["callback_url"]), str(body["verify_token"])
        why = await handshake(meta.session, world.callback_url, world.verify_token)
        world.callback_verified = why is None
        return {"verified": world.callback_verified, "why": why}
    return {"delay_scale": meta.sender.delay_scale}


def _phone(meta: Meta, body: Json) -> Phone:
    if "phone_number_id" in body:
        phone = meta.world.phone(str(body["phone_number_id"]))
        if phone is None:
            raise KeyError(body["phone_number_id"])
        return phone
    waba = meta.world.wabas[str(body["waba_id"])] if "waba_id" in body else next(iter(meta.world.wabas.values()))
    return next(iter(waba.phones.values()))


def _wamid() -> str:
    return "wamid.HBgL" + base64.b64encode(secrets.token_bytes(30)).decode().rstrip("=")


ROUTES = (
    ("POST", "/webhooks", fire_any),
    ("POST", "/messages", fire_message),
    ("POST", "/messages/statuses", fire_status),
    ("GET", "/deliveries", list_deliveries),
    ("POST", "/callback", set_callback),
)
