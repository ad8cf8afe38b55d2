"""Control of media: messages that have one, and what becomes of an id, its addresses and its bytes."""

import base64
import time
from typing import Any, get_args

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.control.bodies import hear, now, phone_of, wamid
from simulated_meta.control.people import SENDER
from simulated_meta.graph.media import keep
from simulated_meta.media import LARGEST, WEBHOOK_LIFETIME, Kind, Medium, address, new_medium
from simulated_meta.people import person
from simulated_meta.webhooks import media, messages
from simulated_meta.webhooks.fire import fire

Json = dict[str, Any]

HEADS: dict[Kind, bytes] = {
    "image": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "video": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
    "audio": b"OggS\x00\x02" + bytes(22) + b"OpusHead",
    "document": b"%PDF-1.7\n",
    "sticker": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
}
"""How a file of each kind begins."""


async def list_media(meta: Meta, _request: web.Request, _body: Json) -> Json:
    """Every id that means something, without the bytes."""
    return {"data": [medium.model_dump(exclude={"head"}) for medium in meta.world.media.values()]}


async def fire_medium(meta: Meta, request: web.Request, body: Json) -> Json:
    """{type?: image|video|audio|document|sticker, size?, content?: base64, mime_type?, caption?, filename?, from?, …}

    A person sends a medium: `content`, or what begins as such a file does, of `size` bytes. With `media_id` that one is
    sent again, as WhatsApp does not: an id each. Also waba_id, phone_number_id, name, id, says_sha256 (hexadecimal, a
    wrong one), cuts (how many downloads end in the middle), group_id.
    """
    phone, id_, kind = phone_of(meta, body), wamid(body), _kind(body)
    head = base64.b64decode(body["content"]) if "content" in body else HEADS[kind]
    size = int(body.get("size", len(head) if "content" in body else 20_000))
    if not len(head) <= size <= LARGEST + 1:
        raise ValueError("size is not that of a medium")
    medium = new_medium(
        meta.world.new_id(),
        phone.id,
        str(body.get("mime_type", media.MIME_TYPES[kind])),
        head,
        size,
        int(time.time()),
        WEBHOOK_LIFETIME,
    )
    medium.says_sha256 = body.get("says_sha256")
    medium.cuts = int(body.get("cuts", 0))
    keep(meta, medium)
    url = address(medium, str(request.url.origin()), meta.world.app_secret, int(time.time()))
    texts = (str(body[name]) if name in body else None for name in ("caption", "filename"))
    sender = person(meta.world, str(body.get("from", SENDER)), str(body["name"]) if "name" in body else None)
    group = meta.world.groups[str(body["group_id"])] if "group_id" in body else None
    if group is None:
        hear(meta, phone, sender)
    value = messages.received(
        meta.world, phone, sender, id_, now(meta.world), media.medium(kind, medium, url, *texts), group
    )
    sent = await fire(meta, request, phone.waba_id, "messages", value)
    return {"id": id_, "media": _shown(medium), "value": value} | sent


async def change_medium(meta: Meta, request: web.Request, body: Json) -> Json:
    """{expires_in?: seconds, addresses_end?: true, says_sha256?, cuts?}: what becomes of an id."""
    medium = meta.world.media[request.match_info["medium"]]
    if "expires_in" in body:
        medium.expires_at = int(time.time()) + int(body["expires_in"])
    if body.get("addresses_end"):
        medium.addresses += 1
    medium.says_sha256 = body.get("says_sha256", medium.says_sha256)
    medium.cuts = int(body.get("cuts", medium.cuts))
    return _shown(medium)


def _kind(body: Json) -> Kind:
    kind = body.get("type", "image")
    if kind not in get_args(Kind):
        raise ValueError(f"type is one of {', '.join(get_args(Kind))}")
    return kind


def _shown(medium: Medium) -> Json:
    return medium.model_dump(exclude={"head"})


ROUTES = (
    ("GET", "/media", list_media),
    ("POST", "/media", fire_medium),
    ("POST", "/media/{medium}", change_medium),
)
