"""Records of `Unrecognised` that are in Kafka from before their field had a model, read as what they would be now.

Pure. A subscriber reads both alike:

async for event in subscribe(kafka, MessageEchoed, Unrecognised, group="inbox"):
    for each in [event] if isinstance(event, MessageEchoed) else from_unrecognised(event):
        match each:
            case MessageEchoed(): ...
"""

from collections.abc import Iterator

from wabus_events.models.event import Event
from wabus_events.models.messages.messages import Unrecognised
from wabus_events.webhooks.about import About
from wabus_events.webhooks.changes import SINCE_0_3, facts_in_field
from wabus_events.webhooks.items import LEFT
from wabus_events.webhooks.messages import FIELD, failure_beside
from wabus_events.webhooks.values import Json


def from_unrecognised(event: Unrecognised) -> Iterator[Event]:
    """What the gateway makes of the same part of a webhook now, with the same ids; nothing where that is no other.

    Drop ids that you have seen: with `TELL_UNRECOGNISED_TOO` the gateway publishes both.
    """
    field, value = event.field, event.value
    if field is None or not isinstance(value, dict):
        return
    content: Json = value
    about = _about(event)
    if field == FIELD and event.reason == LEFT:
        found = failure_beside(content, about)
        made = iter((found,) if found else ())
    elif field in SINCE_0_3 or field == FIELD:
        made = facts_in_field(field, content, about)
    else:
        return
    for each in made:
        if each is not None and not isinstance(each, Unrecognised):
            yield each.model_copy(update={"source": event.source, "traceparent": event.traceparent})


def _about(event: Unrecognised) -> About:
    """Whom it is about, and whether its time is its entry's: the id says so, for it was made of that."""
    entry = About(event.waba_id, event.time, event.time, event.org_id, portfolio_id=event.portfolio_id)
    if event.id == entry.id_of_unrecognised(event.value, event.field):
        return entry
    return About(event.waba_id, None, event.time, event.org_id, portfolio_id=event.portfolio_id)
