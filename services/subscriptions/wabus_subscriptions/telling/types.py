"""Which events may be subscribed to: those that docs/catalogue describes for other teams. Pure."""

from collections.abc import Sequence

from wabus_events import ACCOUNTS, CONVERSATIONS, EVENTS, HEALTH, INSIGHTS, MESSAGES, SENDS, TEMPLATES, Event, Topic

TOLD: Sequence[Topic] = (ACCOUNTS, TEMPLATES, MESSAGES, SENDS, CONVERSATIONS, HEALTH, INSIGHTS)
"""The topics that are told; what is private to wabus is in others."""


def name_of(event: type[Event] | Event) -> str:
    """An event's name, which no version changes.

    >>> from wabus_events import HealthChanged
    >>> name_of(HealthChanged)
    'HealthChanged'
    """
    return event.type.split(".")[1]


NAMES = frozenset(name_of(event) for event in EVENTS.values() if event.topic in TOLD)
"""What can be subscribed to."""


def unknown(names: Sequence[str]) -> list[str]:
    """Those of these names that no event has."""
    return sorted(set(names) - NAMES)


def wants(names: Sequence[str] | None, event: Event) -> bool:
    """Whether who has subscribed to these names is told of an event; None is all of them."""
    return event.topic in TOLD and (names is None or name_of(event) in names)
