"""Whether a place is open at a moment, by its own clocks. The time zones are data."""

from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo

from wabus_events import BusinessHours, OpenHours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60  # minutes


def is_open(hours: BusinessHours, now: datetime, zones: Mapping[str, tzinfo]) -> bool:
    """Whether it is open now; of a zone that nobody knows it never is."""
    zone = zones.get(hours.zone)
    if zone is None:
        return False
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
    return any(_is_within(each, minute, today, yesterday) for each in hours.open)


def _is_within(hours: OpenHours, minute: int, today: str, yesterday: str) -> bool:
    begin, end = _minutes(hours.begin), _minutes(hours.end)
    if begin < end:
        return today in hours.days and begin <= minute < end
    # Over midnight.
    return (today in hours.days and minute >= begin) or (yesterday in hours.days and minute < end)


def _minutes(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return min(int(hour) * 60 + int(minute), _DAY)
