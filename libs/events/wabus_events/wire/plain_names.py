"""Who asked for something, as releases before 0.3 wrote it: the platform's own id of a person, which nobody reads any
more. Pure.
"""

from collections.abc import Mapping

from wabus_events.models.erasures import BY_COMMAND, is_pseudonym

ASKED_BY = ("connected_by", "requested_by")
"""The fields of events that say who asked."""


def plain_names(fields: Mapping[str, object]) -> list[str]:
    """Which of an event's fields name a person plainly.

    >>> plain_names({"requested_by": "ann@example.com", "connected_by": "hmac:5f2b0c1d9e7a4f33"})
    ['requested_by']
    """
    return [name for name in ASKED_BY if name in fields and not _names_nobody(fields[name])]


def _names_nobody(name: object) -> bool:
    return name is None or name == BY_COMMAND or (isinstance(name, str) and is_pseudonym(name))
