"""The secrets by which webhooks are signed: made from one key, and kept nowhere. Pure."""

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from wabus_runtime.outbox.standard_webhook import SECRET_PREFIX

BOTH_SIGN = timedelta(days=1)
"""How long the earlier secret signs too after another has taken its place."""


def secrets_of(
    key: bytes, subscription_id: str, generation: int, rotated_at: datetime | None, now: datetime
) -> list[bytes]:
    """The secrets that sign now, the newest first. `key` is the deployment's own."""
    generations = [generation]
    if rotated_at is not None and now < rotated_at + BOTH_SIGN:
        generations.append(generation - 1)
    return [_secret(key, subscription_id, each) for each in generations]


def text_of(secret: bytes) -> str:
    """A secret as a receiver's library takes it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def _secret(key: bytes, subscription_id: str, generation: int) -> bytes:
    # The key makes other things too: what it is used for here stands in front.
    name = f"webhook secret\x1f{subscription_id}\x1f{generation}".encode()
    return hmac.new(key, name, hashlib.sha256).digest()
