"""Outgoing webhooks as the Standard Webhooks specification (1.0) has them: headers and signature. Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105


def secrets_of(text: str) -> list[bytes]:
    """The bytes of `whsec_…` secrets, comma separated. Raises ValueError saying which entry is wrong."""
    found: list[bytes] = []
    for position, entry in enumerate(text.split(","), start=1):
        try:
            secret = base64.b64decode(entry.strip().removeprefix(SECRET_PREFIX), validate=True)
        except (ValueError, binascii.Error):
            secret = b""
        if not entry.strip().startswith(SECRET_PREFIX) or not 24 <= len(secret) <= 64:
            raise ValueError(f"entry {position} must be whsec_ and 24 to 64 bytes in base64")
        found.append(secret)
    return found


def headers_of(webhook_id: str, body: bytes, secrets: Sequence[bytes], now: datetime) -> dict[str, str]:
    """Id, time and a signature by each secret: a receiver accepts any of them, so that they can be rotated."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
    signatures = [base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode() for secret in secrets]
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def seconds_asked(retry_after: str | None) -> float:
    """How long a receiver asks to be left alone: `Retry-After` in seconds. A date, or what is no number, asks nothing.

    >>> seconds_asked("120"), seconds_asked("Wed, 21 Oct 2026 07:28:00 GMT")
    (120.0, 0.0)
    """
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0.0
