"""The content of messages that have a medium. Pure.

Sources: the pages "Image", "Video", "Audio", "Document" and "Sticker messages webhook reference".
"""

from typing import Any

from simulated_meta.media import Kind, Medium, in_base64

Json = dict[str, Any]

MIME_TYPES: dict[Kind, str] = {
    "image": "image/jpeg",
    "video": "video/mp4",
    "audio": "audio/ogg; codecs=opus",
    "document": "application/pdf",
    "sticker": "image/webp",
}
"""What WhatsApp sends of each kind, if nobody says otherwise: a photograph, a film, a voice message …"""


def medium(kind: Kind, told: Medium, url: str, caption: str | None, filename: str | None) -> Json:
    """A message's content: its `type` and, under the type's name, what Meta says of the medium."""
    part: Json = {
        "mime_type": told.mime_type,
        "sha256": in_base64(told.told_sha256),
        "id": told.id,
        "url": url,
    }
    if kind in ("image", "video", "document") and caption is not None:
        part["caption"] = caption
    match kind:
        case "document":
            part["filename"] = "Invoice.pdf" if filename is None else filename
        case "audio":
            part["voice"] = True
        case "sticker":
            part["animated"] = False
        case _:
            pass
    return {"type": kind, kind: part}
