"""Publishes what became of sends, until Kafka has it; and asks for what is known of templates to be compared anew."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import structlog
from wabus_events import Event, TemplateSyncRequested, fact_id
from wabus_events.models.sends import SendEvent
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.pauses import growing_pauses

from wabus_sender.tables.sends import Claimed

SOURCE = "/wabus/sender"
PAUSES = (0.1, 5.0)  # seconds between attempts, and at most

SYNC_ONCE_IN = 600  # seconds, of an account, whatever is refused
SYNCS_KEPT = 1_000  # accounts

log = structlog.get_logger()

AnySendEvent = TypeVar("AnySendEvent", bound=SendEvent)


def made(event: type[AnySendEvent], about: Any, at: datetime, /, *parts: str | int, **fields: Any) -> AnySendEvent:
    """An event about a send: the same fact has the same id, whoever tells it.

    `parts` tell it from others of its type.
    """
    return event(
        id=fact_id(event.type, about["send_id"], *parts),
        time=at,
        org_id=about["org_id"],
        waba_id=about["waba_id"],
        phone_number_id=about["phone_number_id"],
        send_id=about["send_id"],
        **fields,
    )


def asked_of(wa_id: str | None, user_id: str | None) -> dict[str, str | None]:
    """Whom Meta is asked to send it to: whether a number and a user id belong together only Meta says."""
    return {"wa_id": wa_id, "user_id": None if wa_id else user_id}


async def tell(publisher: Publisher, events: Sequence[Event]) -> None:
    """Return once Kafka has them, however long that takes."""
    pauses = growing_pauses(*PAUSES)
    while True:
        try:
            await publisher.publish(events)
            return
        except KafkaUnavailable as error:
            log.warning("an outcome is not told yet", action="outcome_waits", error=type(error).__name__)
            await asyncio.sleep(next(pauses))
        except RecordRefused as error:
            # What was called is never called again: its row says calling, and becomes unknown.
            log.error("an outcome can't be told", action="outcome_refused", error=type(error).__name__)
            return


@dataclass
class TemplateSyncs:
    """Has an account's templates compared with Meta's where Meta refuses one that looked right here."""

    publisher: Publisher
    _asked: dict[str, str] = field(default_factory=dict[str, str])
    """Of each account the sync that was asked for last."""

    async def ask(self, send: Claimed, now: datetime) -> None:
        """Ask for a sync after a refusal of this; once in a while, whichever process asks."""
        sync_id = fact_id(
            TemplateSyncRequested.type, send.waba_id, "send_refused", int(now.timestamp()) // SYNC_ONCE_IN
        )
        if self._asked.get(send.waba_id) == sync_id:
            return
        while len(self._asked) >= SYNCS_KEPT:
            del self._asked[next(iter(self._asked))]
        self._asked[send.waba_id] = sync_id
        request = TemplateSyncRequested(
            id=fact_id(TemplateSyncRequested.type, sync_id),
            time=now,
            org_id=send.org_id,
            waba_id=send.waba_id,
            sync_id=sync_id,
            reason="send_refused",
        )
        try:
            await self.publisher.publish([request])
        except (KafkaUnavailable, RecordRefused) as error:
            # The next refusal asks for it.
            self._asked.pop(send.waba_id, None)
            log.warning("no sync is asked for", action="sync_not_asked", error=type(error).__name__)
