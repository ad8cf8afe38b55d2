"""The connections of all accounts, read from the topic of accounts and followed."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiokafka import ConsumerRecord
from wabus_events import ACCOUNTS

from wabus_runtime.directory.connections import Account, Connections
from wabus_runtime.kafka.replica import Replica, event_of
from wabus_runtime.settings import KafkaSettings

_TOLD_BY = frozenset((b"wabus.AccountConnected.v1", b"wabus.AccountDisconnected.v1", b"wabus.AccountChecked.v1"))
"""The topic is kept for ever and has much that says nothing of whose an account is."""


class Directory:
    """Whose account it was at a moment; as complete as the topic was when it was last read to its end."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._connections = self._reading = Connections()
        self._replica = Replica(settings, ACCOUNTS, self._take)

    def owner(self, waba_id: str, at: datetime) -> str | None:
        """Whose an account was at a moment, by Meta's time; None for nobody's."""
        return self._connections.owner(waba_id, at)

    def account(self, waba_id: str) -> Account | None:
        """What is known of an account that was ever connected."""
        return self._connections.account(waba_id)

    def accounts_of(self, org_id: str) -> list[Account]:
        """The accounts that are an organisation's now."""
        return self._connections.accounts_of(org_id)

    def knows(self, waba_id: str, org_id: str) -> bool:
        """Whether the organisation has ever connected this account. If not, perhaps the topic is not read so far."""
        return self._connections.knows(waba_id, org_id)

    async def whole(self, within: float) -> None:
        """Return once all that was there at the start is in. Raises `KafkaUnavailable` after `within` seconds."""
        await self._replica.whole(within)

    async def refresh(self) -> None:
        """Return when everything that Kafka has now is in. Raises `KafkaUnavailable`."""
        await self._replica.refresh()

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        # Read again from the beginning, it would for a while not know what it has known.
        self._reading = Connections()

        def is_whole() -> None:
            self._connections = self._reading
            ready()

        await self._replica.run(is_whole)

    def _take(self, record: ConsumerRecord[Any, Any]) -> None:
        if record.value is None or dict(record.headers).get("ce_type") not in _TOLD_BY:
            return
        event = event_of(record, "a connection", "account_unreadable")
        if event is not None:
            self._reading.tell(event)
