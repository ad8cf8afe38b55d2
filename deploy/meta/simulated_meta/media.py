"""Media as Meta keeps them: what an id means, until when, and the address of its bytes.

Sources: "Media" (Cloud API reference): an id of a webhook is good for 7 days, one that was uploaded for 30; the address
of the bytes for 5 minutes, and only with an access token; "Media webhooks" for the parts of a message. That `sha256` is
base64 in a message and hexadecimal in what Graph says of an id: pywa's and chatwoot's samples of either.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlencode

from pydantic import BaseModel

WEBHOOK_LIFETIME = 7 * 86_400  # seconds
UPLOAD_LIFETIME = 30 * 86_400  # seconds
ADDRESS_LIFETIME = 300  # seconds
LARGEST = 100 * 1024 * 1024  # bytes; "Supported media types"
KEPT = 2_000  # media; the oldest is forgotten first

PATH = "/whatsapp_business/attachments/"
"""Where the bytes are, as at lookaside.fbsbx.com."""

Kind = Literal["image", "video", "audio", "document", "sticker"]

_BLOCK = hashlib.sha256(b"what no codec reads").digest() * 32 * 1024  # 1 MiB


class Medium(BaseModel):
    """What one id means. Large ones are not written down: after `head` comes the same block again and again."""

    id: str
    phone_number_id: str
    mime_type: str
    head: str = ""
    """Base64 of how it begins."""
    size: int
    """Bytes in all."""
    sha256: str
    """Of the bytes, hexadecimal."""
    expires_at: int
    """Unix seconds."""
    addresses: int = 0
    """One more when all addresses that were given are to be good no longer."""
    says_sha256: str | None = None
    """A wrong hash that Meta tells instead, hexadecimal."""
    cuts: int = 0
    """So many of the next downloads end in the middle."""

    @property
    def told_sha256(self) -> str:
        return self.says_sha256 or self.sha256

    def chunks(self) -> Iterator[bytes]:
        return _chunks(base64.b64decode(self.head), self.size)


def new_medium(
    id_: str, phone_number_id: str, mime_type: str, head: bytes, size: int, now: int, lifetime: int
) -> Medium:
    """A medium of `size` bytes that begins with `head`."""
    digest = hashlib.sha256()
    for chunk in _chunks(head, size):
        digest.update(chunk)
    return Medium(
        id=id_,
        phone_number_id=phone_number_id,
        mime_type=mime_type,
        head=base64.b64encode(head).decode(),
        size=size,
        sha256=digest.hexdigest(),
        expires_at=now + lifetime,
    )


def address(medium: Medium, origin: str, secret: str, now: int) -> str:
    """An address of its bytes that is good from now on for five minutes."""
    ends = str(now + ADDRESS_LIFETIME)
    return f"{origin}{PATH}?{urlencode({'mid': medium.id, 'ext': ends, 'hash': _signature(medium, ends, secret)})}"


def is_address(medium: Medium, ends: str, signature: str, secret: str, now: int) -> bool:
    """Whether the parts of an address are what was given, and still good."""
    return hmac.compare_digest(signature.encode(), _signature(medium, ends, secret).encode()) and now < int(ends)


def in_base64(sha256: str) -> str:
    """A hash as a message has it."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()


def _signature(medium: Medium, ends: str, secret: str) -> str:
    signed = f"{medium.id}:{medium.addresses}:{ends}"
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()[:32]


def _chunks(head: bytes, size: int) -> Iterator[bytes]:
    left = size - len(head)
    if head:
        yield head
    while left > 0:
        yield _BLOCK[:left]
        left -= len(_BLOCK)
