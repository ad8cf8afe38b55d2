"""Control of webhooks: fire any, see how their delivery went, set the app's callback."""

from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.webhooks.fire import fire, fire_payload

Json = dict[str, Any]


async def fire_any(meta: Meta, request: web.Request, body: Json) -> Json:
    """{object, entry} as it is, or {waba_id, field, value}; tamper: true signs it with a wrong secret."""
    tamper = bool(body.pop("tamper", False))
    if "entry" in body:
        return await fire_payload(meta, request, body, tamper=tamper)
    return await fire(meta, request, str(body["waba_id"]), str(body["field"]), body["value"], tamper=tamper)


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
        why = await meta.handshake(world.callback_url, world.verify_token)
        world.callback_verified = why is None
        return {"verified": world.callback_verified, "why": why}
    return {"delay_scale": meta.sender.delay_scale}


ROUTES = (
    ("POST", "/webhooks", fire_any),
    ("GET", "/deliveries", list_deliveries),
    ("POST", "/callback", set_callback),
)
