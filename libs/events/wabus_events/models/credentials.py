"""The private topics: each WABA's access token, sealed; each organisation's key. Nobody outside wabus reads them."""

from datetime import datetime

from wabus_events.models.event import Event, WabaEvent
from wabus_events.models.topics import CREDENTIALS, KEYS

PRIVATE_TOPICS = frozenset({CREDENTIALS, KEYS})
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
    granted_by: str | None = None
    """Whose token it is, at Meta: an HMAC of the Facebook user's id, which is all that Meta's deauthorise and
    data-deletion requests name."""
    meta_user_id: str | None = None
    """The id itself, in records of releases before 0.3. `wabus rotate-keys` replaces it."""


class OrganisationKey(Event, topic=KEYS):
    """A key of an organisation's own, made when it is first needed. A tombstone of the same key destroys it.

    It is of no use without `IDENTITY_KEY`, and once it is gone nobody can say whom a name that was made with it means.
    """

    identity: str
    """Which organisation's: an HMAC under `IDENTITY_KEY`."""
    secret: str
    """32 random bytes, base64."""

    @property
    def key(self) -> str:
        return self.identity
