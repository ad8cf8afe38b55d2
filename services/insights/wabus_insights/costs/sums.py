"""Which sums make what some days cost: quarters, months, parts of months, and days. Pure.

A sum stands for its days only while it is settled: neither waits to be made anew, nor has a day that has changed since.
"""

from calendar import monthrange
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

PART, MONTH, QUARTER = 6, 31, 92
"""The most days of each kind of sum; what has more than one of them is made of the one before."""
_PART = 5
"""Days of each part of a month but the last, which has what is left of it."""
_DAY_WEIGHS = 2
"""Days are read from cells, which are wider than sums."""


class Span(NamedTuple):
    """Some days, from the first to the last."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


class Piece(NamedTuple):
    """A sum that is added, or taken away."""

    span: Span
    sign: int
    """1 or -1."""

    @property
    def weight(self) -> int:
        """How much there is to read of it, beside others."""
        return _DAY_WEIGHS if self.span.days == 1 else 1


def pieces(wanted: Span, unsettled: Collection[Span]) -> list[Piece]:
    """The sums that make the sum over some days, with as little to read as may be.

    `unsettled` are sums that wait to be made, and days that have changed since theirs were.

    >>> [str(piece.span.first) for piece in pieces(Span(date(2026, 9, 1), date(2026, 10, 6)), ())]
    ['2026-09-01', '2026-10-01', '2026-10-06']
    """
    spoilt = {each for span in unsettled for each in (span, *sums_with(span.first)) if each.days >= span.days}
    return [piece for quarter in _quarters(wanted) for piece in _cover(quarter, wanted, spoilt)]


@lru_cache(1024)
def sums_with(day: date) -> tuple[Span, Span, Span]:
    """The sums that have a day: of the quarter, the month, and the part of it."""
    quarter, month = _quarter_of(day), month_of(day)
    return quarter, month, next(part for part in _parts_of(month) if day <= part.last)


def month_of(day: date) -> Span:
    """The month that a day is of."""
    return Span(day.replace(day=1), day.replace(day=monthrange(day.year, day.month)[1]))


def _cover(span: Span, wanted: Span, spoilt: Collection[Span]) -> list[Piece]:
    inside = Span(max(span.first, wanted.first), min(span.last, wanted.last))
    if inside.first > inside.last:
        return []
    is_sum = span.days > 1 and span not in spoilt
    if span.days == 1 or (is_sum and inside == span):
        return [Piece(span, 1)]
    added = [piece for part in _smaller(span) for piece in _cover(part, wanted, spoilt)]
    if not is_sum:
        return added
    left_out = (Span(span.first, inside.first - timedelta(days=1)), Span(inside.last + timedelta(days=1), span.last))
    removed = [
        Piece(piece.span, -piece.sign)
        for rest in left_out
        for part in _smaller(span)
        for piece in _cover(part, rest, spoilt)
    ]
    return min(added, [Piece(span, 1), *removed], key=lambda found: sum(piece.weight for piece in found))


def _smaller(span: Span) -> list[Span]:
    """What the sum over some days is made of."""
    if span.days > MONTH:
        first = month_of(span.first)
        second = _next_month(first)
        return [first, second, _next_month(second)]
    if span.days > PART:
        return _parts_of(span)
    return [Span(day, day) for n in range(span.days) for day in (span.first + timedelta(days=n),)]


def _parts_of(month: Span) -> list[Span]:
    firsts = [month.first + timedelta(days=n) for n in range(0, month.days - 1, _PART)]
    lasts = [*(first - timedelta(days=1) for first in firsts[1:]), month.last]
    return [Span(*ends) for ends in zip(firsts, lasts, strict=True)]


def _quarter_of(day: date) -> Span:
    first = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return Span(first, month_of(first + timedelta(days=MONTH * 2)).last)


def _next_month(month: Span) -> Span:
    return month_of(month.last + timedelta(days=1))


def _quarters(wanted: Span) -> Iterator[Span]:
    quarter = _quarter_of(wanted.first)
    while quarter.first <= wanted.last:
        yield quarter
        quarter = _quarter_of(quarter.last + timedelta(days=1))
