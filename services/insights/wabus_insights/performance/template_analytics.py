"""What Meta itself counts of templates: whom it may be asked for, for which days, and what its answer says. Pure.

Source: Meta, "Analytics", Template analytics: at most 90 days and ten templates a question; reads and clicks are told
for seven days after sending, and as 0 from then on; nothing for the European Union, the United Kingdom and Japan.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple, cast

from wabus_events import TemplateDay

TEMPLATES_AT_ONCE = 10
LONGEST = timedelta(days=89)
AGAIN = timedelta(days=9)
"""So far back days are read again, for their counts still grow."""
NOT_ENABLED, UNAVAILABLE = 200007, 200005
"""Subcodes of Graph: nobody has asked Meta to count; it does not count there. Source: Meta, "Error codes", Template
insights errors."""
WITHOUT = frozenset((
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", "GB", "JP",
))  # fmt: skip
"""Countries of accounts for which Meta counts nothing."""
_MOST = 2**31 - 1
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Counted(NamedTuple):
    """Counts of a day as they are known."""

    sent: int | None = None
    delivered: int | None = None
    read: int | None = None
    clicked: int | None = None


def query(template_ids: Sequence[str], first: date, last: date, *, in_zone: bool) -> dict[str, str]:
    """The parameters of the question, by days of the account's own zone, which are dates, or by days of UTC.

    Of UTC `end` is the midnight after the last day.
    """
    if in_zone:
        days = {"start": first.isoformat(), "end": last.isoformat(), "use_waba_timezone": "true"}
    else:
        days = {"start": str(_midnight(first)), "end": str(_midnight(last + timedelta(days=1)))}
    return {
        **days,
        "granularity": "DAILY",
        "template_ids": f"[{','.join(template_ids)}]",
        "metric_types": "[SENT,DELIVERED,READ,CLICKED]",
        "limit": "100",
    }


def days_in(answer: Mapping[str, Any], zone: tzinfo = UTC) -> list[TemplateDay]:
    """What an answer says; what is not as Meta describes it is left out.

    `zone` is that of the account, for where Meta tells when a day begins as a moment and not as a date.
    """
    found: list[TemplateDay] = []
    for shown in _objects(answer.get("data")):
        for point in _objects(shown.get("data_points")):
            template_id, day = point.get("template_id"), _day(point.get("start"), zone)
            if template_id is None or day is None:
                continue
            clicks = point.get("clicked")
            # Who presses a link is counted beside how often it is pressed.
            pressed = [each for each in _objects(clicks) if each.get("type") != "unique_url_button"]
            clicked = [count for each in pressed if (count := _count(each.get("count"))) is not None]
            found.append(
                TemplateDay(
                    template_id=str(template_id),
                    day=day,
                    sent=_count(point.get("sent")),
                    delivered=_count(point.get("delivered")),
                    read=_count(point.get("read")) or None,
                    clicked=sum(clicked) or None,
                )
            )
    return found


def news(days: Iterable[TemplateDay], known: Mapping[tuple[str, date], Counted]) -> list[TemplateDay]:
    """The days of which more is told than is known: a 0 after a number is none."""
    return [day for day in days if _is_more(day, known.get((day.template_id, day.day)))]


def _is_more(day: TemplateDay, known: Counted | None) -> bool:
    told = Counted(day.sent, day.delivered, day.read, day.clicked)
    if known is None:
        return any(count is not None for count in told)
    return any(new is not None and (old is None or new > old) for new, old in zip(told, known, strict=True))


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())


def _day(start: Any, zone: tzinfo) -> date | None:
    if isinstance(start, str) and _DATE.fullmatch(start):
        try:
            return date.fromisoformat(start)
        except ValueError:
            return None
    moment = _count(start)
    return None if moment is None else datetime.fromtimestamp(moment, zone).date()


def _objects(value: Any) -> list[Mapping[str, Any]]:
    items = cast(list[Any], value) if isinstance(value, list) else []
    return [cast(Mapping[str, Any], each) for each in items if isinstance(each, dict)]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None
