"""Which sums make the sum over some days: whole months, and days that are added to them or taken away. Pure."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple


class Span(NamedTuple):
    """Some days, from the first to the last."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


class Spans(NamedTuple):
    """The sum over months, and over days that are added, less that over days that are taken away."""

    months: Span | None
    """By the first day of each."""
    added: tuple[Span, ...]
    removed: tuple[Span, ...]


def spans_of(first: date, last: date, today: date) -> Spans:
    """What to sum for these days. Of a month at the end, whichever is less is read: its days, or those left out.

    Nothing is later than tomorrow, so a month that has not ended counts as whole.

    >>> spans_of(date(2026, 1, 3), date(2026, 3, 31), date(2026, 3, 20))
    Spans(months=Span(first=datetime.date(2026, 1, 1), last=datetime.date(2026, 3, 1)), added=(), \
removed=(Span(first=datetime.date(2026, 1, 1), last=datetime.date(2026, 1, 2)),))
    """
    months: list[date] = []
    added: list[Span] = []
    removed: list[Span] = []
    for month in _months(first, last):
        end = month.replace(day=monthrange(month.year, month.month)[1])
        inside = Span(max(first, month), min(last, end))
        left_out = [Span(month, first - timedelta(days=1))] if first > month else []
        if last < end and last <= today:
            left_out.append(Span(last + timedelta(days=1), min(end, today + timedelta(days=1))))
        if sum(span.days for span in left_out) <= inside.days:
            months.append(month)
            removed += left_out
        else:
            added.append(inside)
    if not months:
        return Spans(None, tuple(added), tuple(removed))
    return Spans(Span(months[0], months[-1]), tuple(added), tuple(removed))


def _months(first: date, last: date) -> Iterator[date]:
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)
