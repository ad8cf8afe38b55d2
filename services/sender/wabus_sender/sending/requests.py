"""What a request to send becomes: its lane, and until when it is worth sending."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from wabus_events.models.sends import Lane

LIVES: Mapping[Lane, timedelta] = {
    "authentication": timedelta(minutes=10),
    "service": timedelta(hours=1),
    "utility": timedelta(hours=12),
    "marketing": timedelta(hours=24),
}
"""How long a send is worth sending that does not say so. Meta itself keeps a one-time password for ten minutes, and a
notice for twelve hours (Meta: "Template time-to-live")."""

LONGEST = timedelta(days=28)
"""From the request to the last moment at which it may be sent: while the log has the request it has each claim."""

_LANES: Mapping[str, Lane] = {"AUTHENTICATION": "authentication", "UTILITY": "utility", "MARKETING": "marketing"}


def lane_of(kind: str, category: str | None) -> Lane:
    """What goes before it: a template by its category, one that is not known as a notice; all else is an answer."""
    return _LANES.get(category or "", "utility") if kind == "template" else "service"


def expires(lane: Lane, requested_at: datetime, not_before: datetime | None, wanted: datetime | None) -> datetime:
    """When it is not worth sending any more: what begins as late as it may has its time all the same."""
    begins = max(requested_at, not_before or requested_at)
    usual = begins + LIVES[lane]
    return min(wanted or usual, max(requested_at + LONGEST, usual))


def unstorable(value: Any) -> bool:
    """Whether JSON has something in it that tables can't hold: NUL, half a character, a number out of range."""
    match value:
        case str():
            if value.isascii():
                return "\x00" in value
            return "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value)
        case bool() | None:
            return False
        case int():
            return not -(2**63) <= value < 2**63
        case float():
            return value != value or value in (float("inf"), float("-inf"))
        case dict():
            return any(unstorable(key) or unstorable(part) for key, part in value.items())
        case list():
            return any(map(unstorable, value))
        case _:
            return True
