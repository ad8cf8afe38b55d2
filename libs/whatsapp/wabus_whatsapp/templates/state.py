"""What Meta's words about a template mean, and which of several words stands. Pure: whoever keeps templates asks here.

Three kinds of events speak of a template:

- `TemplateChanged` and `TemplateRemoved` tell it whole. Of several the one with the greatest `place_of` stands.
- Meta's webhooks (`TemplateStatusChanged`, `TemplateQualityChanged`, `TemplateCategoryChanged`) tell one aspect each.
  Of several about one aspect the latest stands, over what is told whole, until Graph is asked after it:
  `is_overruled`.
- `TemplateConfirmed` and `TemplatesSynced` say that Graph was asked, and has what is told whole.
"""

from datetime import datetime

from wabus_events.models.templates import TemplateChanged, TemplateConfirmed, TemplateRemoved

DELETED = "DELETED"
NOTICES = frozenset({"FLAGGED", "LOCKED"})
"""Events of `message_template_status_update` that warn of a template and leave its status as it is."""

_APPROVED_AGAIN = frozenset({"REINSTATED", "UNPAUSED", "UNARCHIVED"})
_STATUS_UNTOUCHED = NOTICES | {"UNFLAGGED", "UNLOCKED"}

Place = tuple[int, datetime, str]
"""The version's number, 0 where it has none, the event's time and its id."""


def status_after(event: str) -> str | None:
    """The status that Graph lists after a status webhook with this `event`; None where it lists what it did before.

    Source: Meta, "message_template_status_update webhook reference".
    """
    kind = event.upper()
    if kind in _STATUS_UNTOUCHED:
        return None
    return "APPROVED" if kind in _APPROVED_AGAIN else kind


def notice_after(event: str) -> str | None:
    """What a template is warned of after a status webhook: FLAGGED, LOCKED, or None where any warning is over."""
    kind = event.upper()
    return kind if kind in NOTICES else None


def rejected_reason_after(event: str, reason: str | None) -> str | None:
    """The `rejected_reason` that Graph lists after a status webhook: it gives one of what is rejected alone."""
    return reason if status_after(event) == "REJECTED" and reason not in ("", "NONE") else None


def place_of(event: TemplateChanged | TemplateRemoved) -> Place | None:
    """Where an event stands among all that tell its template whole; None where it is no word of its own.

    What releases before 0.3 derived from webhooks has no number, and may have been told after what superseded it. The
    webhooks that it came from say the same better.
    """
    if not event.observed and event.version_number is None:
        return None
    return event.version_number or 0, event.time, event.id


def asked_at(event: TemplateChanged | TemplateRemoved | TemplateConfirmed) -> datetime | None:
    """When Graph was asked for the template, if the event came from that."""
    return event.time if isinstance(event, TemplateConfirmed) or event.observed else None


def is_overruled(told_at: datetime, asked: datetime | None) -> bool:
    """Whether Graph was asked after Meta told something by webhook.

    Meta's webhook times are whole seconds: one from the very second in which Graph was asked counts as newer.
    """
    return asked is not None and told_at < asked.replace(microsecond=0)
