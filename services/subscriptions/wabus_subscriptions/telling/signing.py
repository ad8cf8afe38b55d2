"""The secrets by which webhooks are signed: made from one key, and kept nowhere. Pure."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from wabus_runtime.outbox.standard_webhook import SECRET_PREFIX

BOTH_SIGN = timedelta(days=1)
"""How long an earlier secret signs too after another has taken its place."""

ROTATIONS_MOST = 5
"""So often a secret may be replaced within that time, for each that signs is in every request."""


def secrets_of(
    key: bytes, subscription_id: str, generation: int, rotations: Sequence[datetime], now: datetime
) -> list[bytes]:
    """The secrets that sign now, the newest first. `key` is the deployment's own.

    `rotations` are the moments at which the generations before were replaced, the newest first.
    """
    earlier = range(generation - 1, 0, -1)
    signing = [each for each, at in zip(earlier, rotations, strict=False) if now < at + BOTH_SIGN]
    return [_secret(key, subscription_id, each) for each in (generation, *signing)]


def rotated_again_at(rotations: Sequence[datetime], now: datetime) -> datetime | None:
    """From when on the secret may be replaced once more; None where it may now."""
    if len(rotations) < ROTATIONS_MOST:
        return None
    free = rotations[ROTATIONS_MOST - 1] + BOTH_SIGN
    return free if now < free else None


def text_of(secret: bytes) -> str:
    """A secret as a receiver's library takes it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def _secret(key: bytes, subscription_id: str, generation: int) -> bytes:
    # The key makes other things too: what it is used for here stands in front.
    name = f"webhook secret\x1f{subscription_id}\x1f{generation}".encode()
    return hmac.new(key, name, hashlib.sha256).digest()
