"""Who gets which webhooks: an app's subscription to a WABA, and the app's own callback."""

import json
from typing import Any

from simulated_meta.context import Meta
from simulated_meta.graph import errors
from simulated_meta.graph.access import Call, authenticate
from simulated_meta.graph.answers import Json
from simulated_meta.graph.errors import GraphError, bad_parameter
from simulated_meta.state import Subscription, Waba

OBJECT = "whatsapp_business_account"
CALLBACK_LENGTH_MAX = 200  # characters; see "Webhook overrides"


async def subscribed_apps(call: Call, waba: Waba) -> Json:
    """Whether the app gets the WABA's webhooks, and where. See "Webhook overrides".

    An override is taken once the app is subscribed without one (Requirements; chatwoot#13279), and while the app itself
    has a callback for `messages` (chatwoot#14713). Subscribing without an override takes away the one before.
    """
    meta = call.meta
    app_id = meta.world.app_id
    if call.method == "GET":
        return {"data": _listed(meta, waba)}
    if call.method == "DELETE":
        waba.subscribed_apps.pop(app_id, None)
    else:
        url, verify_token = call.parameters.get("override_callback_uri"), call.parameters.get("verify_token")
        if url:
            if not verify_token:
                raise bad_parameter("The parameter verify_token is required")
            if len(url) > CALLBACK_LENGTH_MAX:
                raise bad_parameter("override_callback_uri must be at most 200 characters long")
            if app_id not in waba.subscribed_apps or not meta.world.has_messages_callback:
                raise errors.not_subscribed()
            if why := await meta.handshake(url, verify_token):
                raise errors.callback_refused(why)
        waba.subscribed_apps[app_id] = Subscription(override_callback_uri=url, verify_token=verify_token)
    meta.store.changed()
    return {"success": True}


def _listed(meta: Meta, waba: Waba) -> list[Json]:
    """As "Webhook overrides" shows it, Get WABA alternate callback."""
    world = meta.world
    found = waba.subscribed_apps.get(world.app_id)
    if found is None:
        return []
    link = f"https://www.facebook.com/games/?app_id={world.app_id}"
    app: Json = {"whatsapp_business_api_data": {"link": link, "name": world.app_name, "id": world.app_id}}
    if found.override_callback_uri:
        app["override_callback_uri"] = found.override_callback_uri
    return [app]


async def app_subscriptions(call: Call) -> Json:
    """The app's own callback and fields, for the app's own token only: "Subscriptions edge" (Graph API webhooks).

    What is posted takes the place of all that was there for the object: callback, verify token and fields. The callback
    is verified first. A field that there is none of is refused, and all the others with it.
    """
    if authenticate(call) is not None:
        raise GraphError("(#15) This method must be called with an app access token.", 15, status=403)
    world = call.meta.world
    if call.method == "POST":
        url, verify_token = call.parameters.get("callback_url"), call.parameters.get("verify_token")
        if call.parameters.get("object") != OBJECT:
            raise bad_parameter("The parameter object is required")
        if not url or not verify_token:
            raise bad_parameter("The parameters callback_url and verify_token are required")
        fields = _fields(call.parameters.get("fields", ""), world.offered_fields)
        if why := await call.meta.handshake(url, verify_token):
            raise errors.callback_refused(why)
        world.callback_url, world.verify_token, world.callback_verified = url, verify_token, True
        world.app_fields = fields
        call.meta.store.changed()
        return {"success": True}
    fields = [
        {"name": name, "version": world.graph_version} for name in world.offered_fields if name in world.app_fields
    ]
    active = {"object": OBJECT, "callback_url": world.callback_url, "active": True, "fields": fields}
    return {"data": [active] if world.callback_verified else []}


def _fields(given: str, offered: list[str]) -> list[str]:
    """Names with commas between them, or a list in JSON: "Graph API, lists as parameters"."""
    try:
        listed: Any = json.loads(given)
    except ValueError:
        listed = given.split(",")
    names = [str(name).strip() for name in listed if str(name).strip()] if isinstance(listed, list) else []
    for at, name in enumerate(names):
        if name not in offered:
            raise errors.not_one_of(f"fields[{at}]", offered, name)
    return list(dict.fromkeys(names))
