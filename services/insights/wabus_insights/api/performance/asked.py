"""What is asked about templates, and the parts that every answer about them has."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from typing import Any

from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.answers import Problem

from wabus_insights.api.performance.models import EARLIEST, PeriodQuery
from wabus_insights.costs.budget import local_day
from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.summary import rates
from wabus_insights.tables.performance.reading import Asked

DAYS_MAX = 400
USUAL = 30  # days
FUTURE = timedelta(days=2)

NAMES = ("template_id", "waba_id", "name", "language", "category", "status", "quality", "removed_at")
Zones = AbstractSet[str | None]
"""Of accounts, as IANA names them; None of one whose zone is not known, whose days are those of UTC."""


def asked_of(org_id: str, query: PeriodQuery, now: datetime, zones: Zones) -> Asked:
    """What is asked of which organisation. Raises a problem where nothing can have been counted then."""
    last = query.last or today_in(zones, now)
    first = query.first or max(last, date.min + timedelta(days=USUAL)) - timedelta(days=USUAL - 1)
    if first > last:
        raise Problem(422, "invalid_period", "Unusable period", "`from` is after `to`.")
    check_length(first, last, DAYS_MAX, "at once")
    if last > (now + FUTURE).date() or first < EARLIEST:
        raise Problem(422, "invalid_period", "Unusable period", "Nothing was counted then: ask for days until today.")
    return Asked(org_id, query.number, query.country, first, last)


def today_in(zones: Zones, now: datetime) -> date:
    """The day that it is now, where it is latest."""
    return max((local_day(now, zone) for zone in zones), default=now.date())


def zones_of(directory: Directory, org_id: str) -> Zones:
    """The zones of all accounts of an organisation."""
    return {account.time_zone for account in directory.accounts_of(org_id)}


def check_length(first: date, last: date, most: int, how: str) -> None:
    """Raise a problem where more days are asked for, both ends included, than can be told."""
    if (last - first).days >= most:
        raise Problem(422, "period_too_long", "Too many days", f"At most {most} days can be asked for {how}.")


def period_of(asked: Asked, zones: Zones) -> dict[str, Any]:
    """A `Period`."""
    zone = next(iter(zones), None) or "UTC" if len(zones) <= 1 else None
    return {"from": asked.first, "to": asked.last, "time_zone": zone}


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """A `TemplateView`. Of a template that nobody has told of the words are empty."""
    return {name: row[name] if row[name] != "" else None for name in NAMES}


def counted(row: Mapping[str, Any]) -> dict[str, Any]:
    """`Counts`."""
    counts: dict[str, int] = {name: row[name] or 0 for name in COUNTS}
    return {**counts, **rates(counts)}
