"""Reading old versions: an upcaster turns the fields of one version of an event into those of the next.

Only the newest version of an event is a class. What older versions looked like lives in their upcasters, their
JSON Schemas and their golden records, so that no code but this ever sees an old version.
"""

from collections.abc import Callable, Iterable
from typing import Any

from wabus_events.models.event import EVENTS, Event

Fields = dict[str, Any]
Upcaster = Callable[[Fields], Fields]


class NewerVersion(Exception):
    """A record is of a newer version of its event than this `wabus_events` knows: upgrade it, then go on."""


UPCASTERS: dict[str, Upcaster] = {}
"""The upcasters by the type that they read: `wabus.TemplatesSynced.v1` → what makes v2's fields of v1's."""


def upcast(old_type: str) -> Callable[[Upcaster], Upcaster]:
    """Declare how to read a version that is published no more. Pure: no clock, no I/O, no randomness.

    The function gets the JSON value of the old version and returns that of the next one; steps are chained.

        class TemplatesSynced(WabaEvent, topic=TEMPLATES, version=2):
            counts: dict[str, int]

        @upcast("wabus.TemplatesSynced.v1")
        def _(old: Fields) -> Fields:
            return {**old, "counts": old["by_status"]}
    """
    following(old_type)

    def declare(upcaster: Upcaster) -> Upcaster:
        if old_type in UPCASTERS:
            raise TypeError(f"{old_type} has two upcasters")
        UPCASTERS[old_type] = upcaster
        return upcaster

    return declare


def following(event_type: str) -> str:
    """The type of the next version: `wabus.X.v2` after `wabus.X.v1`."""
    name, separator, version = event_type.rpartition(".v")
    if not separator or not version.isdecimal():
        raise ValueError(f"{event_type!r} is not of the form wabus.Name.v1")
    return f"{name}.v{int(version) + 1}"


def newest(event_type: str) -> type[Event] | None:
    """The class that a record of this type becomes, or None where no chain of upcasters leads to one."""
    while event_type not in EVENTS:
        if event_type not in UPCASTERS:
            return None
        event_type = following(event_type)
    return EVENTS[event_type]


def outgrown(event_type: str, kinds: Iterable[type[Event]]) -> bool:
    """Whether a type that nothing here reads is another version of one of these events."""
    name, separator, _ = event_type.rpartition(".v")
    return bool(separator) and any(kind.type.rpartition(".v")[0] == name for kind in kinds)


def upcasted(event_type: str, fields: Fields) -> Fields:
    """The fields of the newest version, made from those of an older one that `newest` knows."""
    while event_type not in EVENTS:
        fields = UPCASTERS[event_type](fields)
        event_type = following(event_type)
    return fields
