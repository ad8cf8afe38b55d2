"""Names for those who ask for something: the same for the same person, and nobody's once the organisation is forgotten.

Events that are kept for ever say who asked. A person's id at the platform has no place there, so it is an HMAC under a
key that is made of the deployment's (`IDENTITY_KEY`, never in Kafka) and the organisation's own (in Kafka, and nowhere
else). A tombstone destroys the second: then nobody can say whom a name means, nor try it out.
"""

import base64
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from aiokafka import ConsumerRecord
from wabus_events import KEYS, OrganisationKey, fact_id
from wabus_events.models.erasures import PSEUDONYM, keyed

from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.replica import Replica, event_of
from wabus_runtime.settings import KEY_BYTES, IdentitySettings

DIGITS = 32  # of a name, in hex
READ_WITHIN = 5.0  # seconds that a caller waits for the keys to be read, just after the start

log = structlog.get_logger()


def key_identity(identity_key: bytes, org_id: str) -> str:
    """Under which Kafka key an organisation's own key is."""
    return keyed(identity_key, "key of", org_id)


def pseudonym(identity_key: bytes, secret: bytes, org_id: str, person: str) -> str:
    """The name of a person of an organisation that has this key. Pure."""
    return PSEUDONYM + keyed(identity_key + secret, org_id, person)[:DIGITS]


class Pseudonyms:
    """The organisations' keys in memory, and a new one where there is none yet."""

    def __init__(self, settings: IdentitySettings, publisher: Publisher) -> None:
        self._identity_key = settings.identity_bytes
        self._publisher = publisher
        self._secrets: dict[str, bytes] = {}
        self._replica = Replica(settings, KEYS, self._take)

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the keys for ever."""
        await self._replica.run(ready)

    async def of(self, org_id: str, person: str | None) -> str | None:
        """The name of a person; None for nobody, and where the organisation's key can be neither read nor made.

        What somebody asks for is done all the same. Where two processes make an organisation's first key at the same
        moment one of them stands, and the person may have had another name once.
        """
        if not person:
            return None
        identity = key_identity(self._identity_key, org_id)
        try:
            await self._replica.whole(READ_WITHIN)
            secret = self._secrets.get(identity) or await self._make(identity)
        except (KafkaUnavailable, RecordRefused) as error:
            log.warning("nobody is named", action="nobody_named", error=type(error).__name__)
            return None
        return pseudonym(self._identity_key, secret, org_id, person)

    async def _make(self, identity: str) -> bytes:
        secret, now = secrets.token_bytes(KEY_BYTES), datetime.now(UTC)
        encoded = base64.b64encode(secret).decode()
        made = OrganisationKey(
            id=fact_id(OrganisationKey.type, identity, now.isoformat()), time=now, identity=identity, secret=encoded
        )
        await self._publisher.publish([made])
        await self._replica.refresh()
        return self._secrets.get(identity, secret)

    def _take(self, record: ConsumerRecord[Any, Any]) -> None:
        identity = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._secrets.pop(identity, None)
            return
        event = event_of(record, "a key", "key_unreadable", offset=record.offset)
        if isinstance(event, OrganisationKey):
            self._secrets[identity] = base64.b64decode(event.secret)
