"""What is in a webhook. Pure.

Source: Standard Webhooks 1.0, "Payload structure": `type`, `timestamp` and `data`; others may be added.
"""

from datetime import UTC

import orjson
from wabus_events import Event, encode

from wabus_subscriptions.telling.types import TOLD


def body_of(event: Event) -> bytes | None:
    """The same bytes at every attempt: the event's fields as they are in Kafka, and what is in its headers there."""
    if event.topic not in TOLD:
        return None
    payload = {
        "type": event.type,
        "timestamp": event.time.astimezone(UTC),
        "org_id": event.org_id,
        "source": event.source,
        "subject": event.subject,
        "data": orjson.Fragment(encode(event, event.source).value or b"{}"),
    }
    return orjson.dumps(payload, option=orjson.OPT_UTC_Z)
