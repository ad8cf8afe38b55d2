"""The credentials topic in memory: who owns which WABA, and each WABA's sealed token."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import ConsumerRecord
from prometheus_client import Gauge
from wabus_events import CREDENTIALS, CredentialStored

from wabus_runtime.kafka.replica import Replica, event_of, following
from wabus_runtime.settings import KafkaSettings

KNOWN = Gauge("wabus_credentials", "WABAs whose owner and sealed token this process holds.")


@asynccontextmanager
async def following_credentials(settings: KafkaSettings) -> AsyncGenerator["CredentialCache"]:
    """A cache for the length of a command, whole from the start. Raises `KafkaUnavailable`."""
    cache = CredentialCache(settings)
    async with following(cache.run):
        yield cache


class CredentialCache:
    """Small (one record a WABA), always whole, never written to a table."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._credentials: dict[str, CredentialStored] = {}
        self._replica = Replica(settings, CREDENTIALS, self._take)

    def __len__(self) -> int:
        return len(self._credentials)

    def owner(self, waba_id: str) -> str | None:
        """The organisation that has the WABA connected, or None."""
        credential = self._credentials.get(waba_id)
        return credential.org_id if credential else None

    def credential(self, waba_id: str) -> CredentialStored | None:
        """The WABA's sealed token, or None while it is not connected."""
        return self._credentials.get(waba_id)

    def of_organisation(self, org_id: str) -> list[CredentialStored]:
        """The credentials of an organisation, by WABA id."""
        found = [credential for credential in self._credentials.values() if credential.org_id == org_id]
        return sorted(found, key=lambda credential: credential.waba_id)

    def all(self) -> list[CredentialStored]:
        """Every credential, by WABA id."""
        return sorted(self._credentials.values(), key=lambda credential: credential.waba_id)

    async def whole(self, within: float) -> None:
        """Return once everything that was there at the start is in; from then on at once.

        Raises `KafkaUnavailable` after `within` seconds.
        """
        await self._replica.whole(within)

    async def refresh(self) -> None:
        """Return when everything that Kafka has now is in. Raises `KafkaUnavailable`."""
        await self._replica.refresh()

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        await self._replica.run(ready)

    def _take(self, record: ConsumerRecord[Any, Any]) -> None:
        waba_id = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._credentials.pop(waba_id, None)
        else:
            event = event_of(record, "a credential", "credential_unreadable", waba_id=waba_id)
            if isinstance(event, CredentialStored):
                self._credentials[waba_id] = event
        KNOWN.set(len(self._credentials))
