"""`POST /{phone-number-id}/media`: a file is uploaded, as it arrives.

Sources: "Media" (Cloud API reference), Upload Media and Supported media types: the size that each type may have, 100 MB
for documents; an id that is good for 30 days. 131053 for what is not taken: "WhatsApp error codes".
"""

import base64
import hashlib
import time
from typing import Any

from aiohttp import BodyPartReader

from simulated_meta.graph.access import Call
from simulated_meta.graph.errors import bad_parameter
from simulated_meta.graph.media import keep
from simulated_meta.media import LARGEST, UPLOAD_LIFETIME, Medium
from simulated_meta.sending.refusals import refusal
from simulated_meta.state import Phone

Json = dict[str, Any]

MEGABYTE = 1024 * 1024
LARGEST_OF: dict[str, int] = {
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"), 16 * MEGABYTE),
    **dict.fromkeys(("video/3gpp", "video/mp4"), 16 * MEGABYTE),
    **dict.fromkeys(("image/jpeg", "image/png"), 5 * MEGABYTE),
    "image/webp": 500 * 1024,  # an animated sticker
    **dict.fromkeys(("application/pdf", "text/plain", "application/msword", "application/vnd.ms-excel"), LARGEST),
    **dict.fromkeys(
        (
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ),
        LARGEST,
    ),
}
"""Bytes, by type."""
HEAD_KEPT = 64 * 1024  # bytes of an upload that are kept; the rest is only counted and hashed
FIELD_MAX = 1024  # bytes of a part that is not the file


async def upload(call: Call, phone: Phone) -> Json:
    """Take a file. Raises `GraphError`."""
    if call.request.content_type != "multipart/form-data":
        raise bad_parameter("The parameter file is required.")
    fields: dict[str, str] = {}
    found: tuple[str, bytes, int, str] | None = None
    reader = await call.request.multipart()
    while (part := await reader.next()) is not None:
        if not isinstance(part, BodyPartReader):
            raise bad_parameter("Invalid parameter")
        if part.name == "file" or part.filename:
            found = await _file(part, fields)
        else:
            fields[str(part.name)] = (await part.read_chunk(FIELD_MAX)).decode(errors="replace")
            await part.release()
    if fields.get("messaging_product") != "whatsapp":
        raise bad_parameter("The parameter messaging_product is required.")
    if found is None:
        raise bad_parameter("The parameter file is required.")
    mime_type, head, size, digest = found
    if mime_type not in LARGEST_OF:
        raise bad_parameter(f"Param file must be a file with one of the following types: {', '.join(LARGEST_OF)}.")
    if size > LARGEST_OF[mime_type] or size == 0:
        raise refusal(131053, "The file is empty, or larger than its type may be.")
    medium = Medium(
        id=call.meta.world.new_id(),
        phone_number_id=phone.id,
        mime_type=mime_type,
        head=base64.b64encode(head).decode(),
        size=size,
        sha256=digest,
        expires_at=int(time.time()) + UPLOAD_LIFETIME,
    )
    keep(call.meta, medium)
    call.meta.store.changed()
    return {"id": medium.id}


async def _file(part: BodyPartReader, fields: dict[str, str]) -> tuple[str, bytes, int, str]:
    """Type, beginning, size and hash of a file, of which never more is held than a chunk and the beginning."""
    digest, head, size = hashlib.sha256(), bytearray(), 0
    while chunk := await part.read_chunk(MEGABYTE):
        digest.update(chunk)
        head += chunk[: HEAD_KEPT - len(head)] if len(head) < HEAD_KEPT else b""
        size += len(chunk)
        if size > LARGEST:
            raise refusal(131053, "The file is larger than 100 MB.")
    told = part.headers.get("Content-Type", fields.get("type", ""))
    return told.partition(";")[0].strip().lower(), bytes(head), size, digest.hexdigest()
