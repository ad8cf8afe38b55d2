"""Reads from Meta's own webhook values what decides about health and has no typed field in the event."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from wabus_events import AccountAlerted, CapabilityChanged
from wabus_events.models.messaging_limit import people_a_day
from wabus_events.webhooks.values import object_of

from wabus_health_projector.health.state import AccountEvent, Alert, Restriction


def account_event(value: Mapping[str, Any], place: dict[str, Any]) -> AccountEvent:
    """Meta: "account_update webhook reference": `ban_info`, `restriction_info`, `violation_info`."""
    listed = value.get("restriction_info")
    restrictions = [object_of(each) for each in (cast(list[Any], listed) if isinstance(listed, list) else [listed])]
    return AccountEvent(
        **place,
        ban_state=_text(object_of(value.get("ban_info")).get("waba_ban_state")),
        restrictions=tuple(
            Restriction(kind=str(each["restriction_type"]).upper(), expires_at=_moment(each.get("expiration")))
            for each in restrictions
            if "restriction_type" in each
        ),
        violation=_text(object_of(value.get("violation_info")).get("violation_type")),
    )


def alert(event: AccountAlerted, place: dict[str, Any]) -> Alert:
    """Meta: "account_alerts webhook reference"; some senders leave out the `alert_info` object around the fields."""
    about = object_of(event.value.get("alert_info")) or event.value
    description = about.get("alert_description")
    return Alert(
        **place,
        kind=(event.alert_type or _text(about.get("alert_type")) or "UNKNOWN").upper(),
        severity=(event.severity or _text(about.get("alert_severity")) or "INFORMATIONAL").upper(),
        active=(_text(about.get("alert_status")) or "ACTIVE") == "ACTIVE",
        description=description if isinstance(description, str) else None,
    )


def capability_limit(event: CapabilityChanged) -> int | None:
    """People whom the business may write to first in a day. Releases before 0.3 left the newer name in the value."""
    limit = event.max_daily_conversations_per_business
    if limit is None:
        limit = people_a_day(event.value.get("max_daily_conversations_per_business"))
    return event.max_daily_conversation_per_phone if limit is None else limit


def _text(value: object) -> str | None:
    """A constant of Meta's in upper case; sometimes it comes as a list of one."""
    if isinstance(value, list) and value:
        value = cast(list[object], value)[0]
    return value.upper() if isinstance(value, str) else None


def _moment(value: object) -> datetime | None:
    """A time as ISO 8601 text or Unix seconds; None for anything else."""
    try:
        if isinstance(value, str) and not value.isdigit():
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, (int, float, str)):
            return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
