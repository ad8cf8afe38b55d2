"""Where in the store something is written. Pure."""

import hashlib


def place_for(org_id: str, name: str) -> str:
    """A key under the organisation's own beginning, which tells nobody whose it is. `name` is used once."""
    return f"{hashlib.sha256(org_id.encode()).hexdigest()[:16]}/{name}"
