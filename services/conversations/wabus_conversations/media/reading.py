"""What a message of Meta's tells of its medium. Meta: "Image messages webhook reference", and those of the others."""

import base64
import binascii
import re
from typing import Any, NamedTuple, cast

from wabus_whatsapp.text.stored import storable

Json = dict[str, Any]

KINDS = frozenset(("image", "video", "audio", "document", "sticker"))
"""The types of messages that have a medium."""

DIGEST_BYTES = 32
_LONGEST_TEXT = 1_000  # characters of a name or a type that are kept
_LONGEST_URL = 4_000
_META_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
"""Meta's are digits. It goes into an address of Graph's, where a slash would be another address."""


class MediumInMessage(NamedTuple):
    """A medium as its message has it."""

    kind: str
    """image, video, audio, document or sticker."""
    meta_id: str
    """Meta's id of it."""
    url: str | None
    """Where it is, for five minutes."""
    type: str | None
    """Its MIME type, without parameters."""
    name: str | None
    """What a document is called, as its sender has it: see `names`."""
    sha256: bytes | None


def medium_in(item: Json, message_type: str) -> MediumInMessage | None:
    """The medium of a message; None if it has none that can be asked for."""
    part = item.get(message_type) if message_type in KINDS else None
    if not isinstance(part, dict):
        return None
    medium = cast(Json, part)
    meta_id = medium.get("id")
    if not isinstance(meta_id, str) or not _META_ID.fullmatch(meta_id):
        return None
    url, name = medium.get("url"), medium.get("filename")
    return MediumInMessage(
        message_type,
        meta_id,
        url if isinstance(url, str) and url.isascii() and url.isprintable() and len(url) <= _LONGEST_URL else None,
        mime_type(medium.get("mime_type")),
        storable(name)[:_LONGEST_TEXT] if isinstance(name, str) and name else None,
        digest(medium.get("sha256")),
    )


def mime_type(told: Any) -> str | None:
    """A MIME type without its parameters, in lower case; None for what is none. RFC 9110, section 8.3.1."""
    if not isinstance(told, str):
        return None
    found = told.partition(";")[0].strip().lower()
    return found if re.fullmatch(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}", found) else None


def digest(told: Any) -> bytes | None:
    """A SHA-256 as its bytes, however it is written: base64 in messages, hexadecimal in histories and at Graph.

    None for what is none: then Meta has told none.
    """
    if not isinstance(told, str) or not told.isascii():
        return None
    text = told.strip()
    try:
        if len(text) == 2 * DIGEST_BYTES:
            return bytes.fromhex(text)
        found = base64.b64decode(text.translate(_STANDARD).rstrip("=") + "=", validate=True)
    except (ValueError, binascii.Error):
        return None
    return found if len(found) == DIGEST_BYTES else None


_STANDARD = str.maketrans("-_", "+/")
"""From the alphabet that is safe in addresses (RFC 4648, section 5) to the usual one."""
