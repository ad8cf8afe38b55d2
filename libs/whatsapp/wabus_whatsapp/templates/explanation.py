"""What Meta says of a template beside its status: why it was rejected and what to do, and how long a pause lasts. Pure.

Sources: Meta, "message_template_status_update webhook reference" (`rejection_info`, `other_info`); for how long a pause
lasts "Template pausing". Graph lists none of it: the webhook alone has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from wabus_whatsapp.templates.state import status_after
from wabus_whatsapp.text.stored import storable

LONGEST = 2_000  # characters of a text of Meta's that are kept
PAUSES = {"FIRST_PAUSE": timedelta(hours=3), "SECOND_PAUSE": timedelta(hours=6)}
"""How long a pause lasts by its title. Any other, such as RATE_LIMITING_PAUSE, ends when Meta or a person ends it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one status webhook: the status, and what it said about that."""

    status: str
    told_at: datetime
    event_id: str
    reason: str | None = None
    """Of a rejection, in Meta's words."""
    recommendation: str | None = None
    """What Meta advises to do about it."""
    pause: str | None = None
    """FIRST_PAUSE, SECOND_PAUSE, RATE_LIMITING_PAUSE, …"""

    @property
    def ends_at(self) -> datetime | None:
        """When the pause ends by itself, where that is known."""
        lasts = PAUSES.get(self.pause or "")
        return self.told_at + lasts if lasts else None


def explanation_of(event: str, value: Mapping[str, Any], told_at: datetime, event_id: str) -> Explanation | None:
    """What a status webhook says beside the status; None of one that says nothing."""
    match status_after(event):
        case "REJECTED":
            why = value.get("rejection_info")
            reason, recommendation = _text(why, "reason"), _text(why, "recommendation")
            if reason or recommendation:
                return Explanation("REJECTED", told_at, event_id, reason=reason, recommendation=recommendation)
        case "PAUSED":
            if pause := _text(value.get("other_info"), "title"):
                return Explanation("PAUSED", told_at, event_id, pause=pause)
        case _:
            pass
    return None


def _text(part: object, name: str) -> str | None:
    text = cast(dict[str, Any], part).get(name) if isinstance(part, dict) else None
    return storable(text[:LONGEST]) if isinstance(text, str) and text else None
