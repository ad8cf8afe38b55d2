"""Values of Meta's webhook fields in the shapes of its reference pages, and what they become."""

from datetime import UTC, datetime
from typing import Any, TypeVar

from wabus_events import Event
from wabus_events.webhooks.about import About
from wabus_events.webhooks.changes import facts_in_field
from webhooks import PHONE, WABA

Json = dict[str, Any]

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
ENTRY_TIME = datetime(2026, 11, 2, 3, 4, tzinfo=UTC)
BUSINESS, CUSTOMER = "15550783881", "16505551234"
USER, PARENT = "US.13491208655302741918", "US.ENT.11815799212886844830"
E = TypeVar("E", bound=Event)

ABOUT = About(WABA, ENTRY_TIME, NOW, "acme")


def value_of(**parts: Any) -> Json:
    """A value about one business number."""
    return {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": BUSINESS, "phone_number_id": PHONE},
        **parts,
    }


def facts_of(field: str, value: Json, about: About = ABOUT) -> list[Event]:
    """The events of a change of this field."""
    return [event for event in facts_in_field(field, value, about) if event is not None]


def only_fact(kind: type[E], field: str, value: Json) -> E:
    """The one event of a change, of the kind that it must be."""
    (event,) = facts_of(field, value)
    assert isinstance(event, kind), event
    return event
