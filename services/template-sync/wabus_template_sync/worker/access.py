"""Whether a WABA is still its organisation's, and with which token Graph is asked about it."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import SecretStr
from wabus_events import AccountForgotten
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.projection.erasing import lines_of

from wabus_template_sync.tables.queries import owner
from wabus_template_sync.templates.failures import CredentialMissing, CredentialUnreadable, Disconnected


@dataclass(frozen=True)
class Access:
    pool: asyncpg.Pool
    credentials: CredentialCache
    keyring: Keyring
    identity_key: bytes

    async def check_owner(self, waba_id: str, org_id: str | None) -> None:
        """Raises `Disconnected` unless the organisation has the WABA connected."""
        if await owner(self.pool, waba_id) != org_id:
            raise Disconnected

    async def is_forgotten(self, waba_id: str, since: datetime) -> bool:
        """Whether the WABA was forgotten at that time or later: then nobody is told what became of it."""
        lines = await lines_of(self.pool, self.identity_key, AccountForgotten, [waba_id])
        return waba_id in lines and lines[waba_id] >= since

    async def token(self, waba_id: str, org_id: str | None) -> SecretStr:
        """The organisation's token for the WABA, no older than now. Raises a `SyncFailure` or `KafkaUnavailable`."""
        await self.credentials.refresh()
        credential = self.credentials.credential(waba_id)
        if credential is None or credential.org_id != org_id:
            raise CredentialMissing
        try:
            return self.keyring.open(credential)
        except CannotOpen:
            raise CredentialUnreadable from None
