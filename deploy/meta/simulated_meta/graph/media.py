"""Media at Graph: what an id is, its deletion, and the bytes behind an address.

Sources: "Media" (Cloud API reference), Retrieve Media URL, Delete Media, Download Media; Meta's OpenAPI,
`retrieveMediaUrl` and `deleteMedia`: `file_size` is text there. Whether the permission is missing or the id has ended,
an id that can't be read looks the same: "Error codes" (Graph API), 100 with subcode 33. An address that has ended
answers 404: "if you receive a 404, try to retrieve a new media URL".
"""

import time
from typing import Any

from aiohttp import web

from simulated_meta import faults
from simulated_meta.context import META, Meta
from simulated_meta.graph.access import Call, authenticate
from simulated_meta.graph.errors import GraphError, missing_scope, unknown_object
from simulated_meta.media import KEPT, PATH, Medium, address, is_address

Json = dict[str, Any]

MESSAGING = "whatsapp_business_messaging"


def add_routes(app: web.Application) -> None:
    app.router.add_get(PATH, _download)


def keep(meta: Meta, medium: Medium) -> None:
    """Let an id mean something."""
    kept = meta.world.media
    kept[medium.id] = medium
    while len(kept) > KEPT:
        del kept[next(iter(kept))]


def answer(call: Call, media_id: str) -> Json:
    """GET and DELETE of an id. Raises `GraphError`."""
    medium = _seen(call, media_id)
    if call.method == "DELETE":
        del call.meta.world.media[media_id]
        call.meta.store.changed()
        return {"success": True}
    if call.method != "GET":
        raise unknown_object(media_id, call.method)
    now = int(time.time())
    return {
        "messaging_product": "whatsapp",
        "url": address(medium, str(call.request.url.origin()), call.meta.world.app_secret, now),
        "mime_type": medium.mime_type,
        "sha256": medium.told_sha256,
        "file_size": str(medium.size),
        "id": medium.id,
    }


def _seen(call: Call, media_id: str) -> Medium:
    token, world = authenticate(call), call.meta.world
    if token and MESSAGING not in token.scopes:
        raise missing_scope(MESSAGING)
    medium = world.media.get(media_id)
    if token is None or medium is None or medium.expires_at <= time.time():
        raise unknown_object(media_id, call.method)
    phone = world.phone(medium.phone_number_id)
    if phone is None or phone.waba_id not in token.waba_ids:
        raise unknown_object(media_id, call.method)
    # "…this action only be performed if the media belongs to the provided phone number."
    if call.parameters.get("phone_number_id") not in (None, medium.phone_number_id):
        raise unknown_object(media_id, call.method)
    return medium


async def _download(request: web.Request) -> web.StreamResponse:
    """The bytes, to whoever may see the id and has an address that is still good."""
    meta = request.app[META]
    status, response = 200, web.StreamResponse()
    try:
        if failure := meta.faults.next_failure(request.path):
            raise failure.error()
        medium = _addressed(meta, request)
    except GraphError as error:
        status = error.status
        # What the body says nobody has written down: it is no JSON of Graph's.
        return web.Response(status=status, text="", content_type="text/html")
    finally:
        meta.faults.calls.append(faults.Call(time.time(), request.method, request.path, status))
    cut = medium.cuts > 0
    medium.cuts -= cut
    response.content_type = medium.mime_type.partition(";")[0]
    response.content_length = medium.size
    await response.prepare(request)
    written = 0
    for chunk in medium.chunks():
        if cut and written + len(chunk) > medium.size // 2:
            if request.transport:
                request.transport.abort()
            return response
        await response.write(chunk)
        written += len(chunk)
    await response.write_eof()
    return response


def _addressed(meta: Meta, request: web.Request) -> Medium:
    query = request.query
    media_id = query.get("mid", "")
    # "…you must include an access token": 401 without one.
    seen = _seen(Call(meta, request, {}, meta.world.graph_version), media_id)
    if not is_address(seen, query.get("ext", ""), query.get("hash", ""), meta.world.app_secret, int(time.time())):
        raise GraphError("URL signature expired", 100, status=404)
    return seen
