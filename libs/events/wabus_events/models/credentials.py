"""The private topic: each WABA's access token, sealed. Nobody outside wabus reads this."""

from datetime import datetime

from wabus_events.models.event import WabaEvent
from wabus_events.models.topics import CREDENTIALS

PRIVATE_TOPICS = frozenset({CREDENTIALS})
"""What no subscriber, export or catalogue example may read."""


class CredentialStored(WabaEvent, topic=CREDENTIALS):
    """The sealed access token of a WABA; `org_id` is always set. A tombstone of the same key removes it."""

    key_id: str
    """Which of `CREDENTIAL_KEYS` sealed it, so that keys can be rotated."""
    nonce: str
    ciphertext: str
    """Both base64. AES-256-GCM, with the organisation and the WABA as associated data."""
    scopes: list[str] = []
    expires_at: datetime | None = None
    meta_user_id: str | None = None
    """Whose token it is, at Meta: their deauthorise and data-deletion requests name nothing else."""
