"""From a change to a webhook under way: whom it goes to, signed with which secret."""

import asyncio
import contextlib
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.state import WEBHOOK_FIELDS
from simulated_meta.webhooks.delivery import Delivery, QueueFull, target_of
from simulated_meta.webhooks.wire import envelope

Json = dict[str, Any]

WAIT_MAX = 30.0  # seconds that `?wait=true` holds a request


async def fire(
    meta: Meta, request: web.Request, entry_id: str, field: str, value: Json, *, tamper: bool = False
) -> Json:
    """One change of one entry: of a WABA, or a portfolio. `?webhook=false` on the request leaves it out."""
    if request.query.get("webhook") == "false":
        return {"webhook": None}
    return await fire_payload(meta, request, envelope(entry_id, field, value, int(meta.world.now())), tamper=tamper)


async def fire_payload(meta: Meta, request: web.Request, payload: Json, *, tamper: bool = False) -> Json:
    """A whole webhook body. `tamper` signs it with a wrong secret. `?wait=true` waits for the first attempt."""
    try:
        begun = begin(meta, payload, tamper=tamper)
    except QueueFull:
        raise web.HTTPServiceUnavailable(text="too many webhooks wait") from None
    if isinstance(begun, str):
        return {"webhook": None, "why": begun}
    delivery, tried = begun
    if request.query.get("wait") == "true":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_MAX):
                await tried.wait()
    return {"webhook": delivery.as_json()}


def begin(meta: Meta, payload: Json, *, tamper: bool = False) -> tuple[Delivery, asyncio.Event] | str:
    """Have a webhook delivered: its delivery, and what is set after the first attempt; or why none is sent.

    Raises QueueFull.
    """
    entries = [entry for entry in payload.get("entry") or [] if isinstance(entry, dict)]
    changes = [(str(entry.get("id")), change) for entry in entries for change in entry.get("changes") or []]
    names = [str(change.get("field")) for _, change in changes if isinstance(change, dict)]
    if names and all(name in WEBHOOK_FIELDS and name not in meta.world.app_fields for name in names):
        # "Subscriptions edge": an app is told of the fields that it is subscribed to.
        return f"the app is not subscribed to {', '.join(names)}"
    url = target_of(meta.world, changes[0][0] if changes else "", names[0] if names else "")
    if url is None:
        return "the app has no callback URL"
    secret = meta.world.app_secret + ("-tampered" if tamper else "")
    return meta.sender.send(url, payload, names, secret)
