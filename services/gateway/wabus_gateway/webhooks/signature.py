"""Is it from Meta? The signature over a webhook's raw bytes, and the tokens of the subscription handshake."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any, cast

_OBJECT = re.compile(rb"[ \t\r\n]*\{")  # JSON's white space: RFC 8259, section 2
_HEADER = re.compile(r"sha256=([0-9a-fA-F]{64})")


def is_signed(body: bytes, header: str | None, secrets: Sequence[bytes]) -> bool:
    """Whether `X-Hub-Signature-256` is the HMAC-SHA256 of the raw body under one of the app's secrets.

    Several secrets are accepted so that one can be rotated. Every secret is tried and compared in constant time.
    Source: Meta, "Webhooks: Getting Started", validating payloads.
    """
    match = _HEADER.fullmatch(header or "")
    if match is None:
        return False
    claimed = bytes.fromhex(match[1])
    genuine = False
    for secret in secrets:
        genuine |= hmac.compare_digest(hmac.digest(secret, body, "sha256"), claimed)
    return genuine


def may_be_webhook(body: bytes) -> bool:
    """Whether a signed body begins as each of Meta's webhooks does: it is a JSON object.

    The payload of a `signed_request` is signed with the same secret in the same way, and Meta gives one to the browser
    of everybody who signs in at our app. It is base64url, which begins no object.
    Source: Meta, "Webhooks: Getting Started", event notifications; "Data Deletion Request Callback".
    """
    return _OBJECT.match(body) is not None


def verify_token_of(waba_id: str, verify_token: str) -> str:
    """The verify token of a WABA's own callback URL: derived, so that a gateway needs no table to check it."""
    return hmac.digest(verify_token.encode(), f"callback:{waba_id}".encode(), hashlib.sha256).hex()


def is_handshake(mode: str | None, token: str | None, expected: str) -> bool:
    """Whether a GET is Meta's verification request (Meta, "Webhooks: Getting Started", verification requests)."""
    return mode == "subscribe" and hmac.compare_digest((token or "").encode(errors="replace"), expected.encode())


def signed_request(text: str, secrets: Sequence[bytes]) -> dict[str, Any] | None:
    """The payload of Meta's `signed_request`, or None if it is not signed with one of the app's secrets.

    Source: Meta, "Data Deletion Request Callback", parsing the request.
    """
    encoded, _, payload = text.partition(".")
    try:
        claimed, signed = _base64url(encoded), payload.encode()
    except ValueError:
        return None
    genuine = False
    for secret in secrets:
        genuine |= hmac.compare_digest(hmac.digest(secret, signed, hashlib.sha256), claimed)
    if not genuine:
        return None
    try:
        content = json.loads(_base64url(payload))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    fields = cast(dict[str, Any], content)
    return fields if str(fields.get("algorithm")).upper() == "HMAC-SHA256" else None


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
