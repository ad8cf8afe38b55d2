"""Publishes what became of sends, until Kafka has it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import structlog
from wabus_events import Event, fact_id
from wabus_events.models.sends import SendEvent
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.pauses import growing_pauses

SOURCE = "/wabus/sender"
PAUSES = (0.1, 5.0)  # seconds between attempts, and at most

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
