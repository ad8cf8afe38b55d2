"""What has changed since the same number of days before, said only where there is enough to say it of. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

from wabus_insights.performance.intervals import Interval, difference

ENOUGH = 100  # messages; fewer tell nothing about those who send on
READ_WITHIN = timedelta(days=7)  # by then those who read have read
Verdict = Literal["more", "less", "no difference shown", "too few", "new", "not known"]
"""`new`: nothing was sent before. `not known`: an amount of before or now is not known whole."""


class CountChange(NamedTuple):
    """What has changed of a number of messages."""

    before: int
    change: float | None
    """How much more it is, as a part of what it was; None where that can't be said."""
    verdict: Verdict


class CostChange(NamedTuple):
    """What has changed of an amount, None before where that is not known whole."""

    before: Decimal | None
    change: float | None
    verdict: Verdict


class RateChange(NamedTuple):
    """What has changed of a rate."""

    before: float | None
    difference: Interval | None
    verdict: Verdict


class Spent(NamedTuple):
    """What messages cost in one currency."""

    volume: int
    amount: Decimal | None
    """None where not all of it is known."""


class Earlier(NamedTuple):
    """The days before, and what is to be said of comparing with them."""

    first: date
    last: date
    comparable: bool
    growing: bool
    """Whether the days that are compared still get reads and replies, or even messages."""
    sentence: str


def days_before(first: date, last: date) -> tuple[date, date]:
    """As many days, just before.

    >>> [str(day) for day in days_before(date(2026, 11, 2), date(2026, 12, 1))]
    ['2026-10-03', '2026-11-01']
    """
    return first - (last - first) - timedelta(days=1), first - timedelta(days=1)


def earlier(
    first: date, last: date, accepted: int, counted_from: date | None, today: date, *, is_counted_anew: bool = False
) -> Earlier:
    """Whether days can be compared with those before them, of which so many messages are counted, and from when on."""
    before, until = days_before(first, last)
    days = (last - first).days + 1
    growing = last >= today - READ_WITHIN
    which = "the day before" if days == 1 else f"the {days} days before"
    if is_counted_anew:
        why = f"Not compared with {which}: messages are being counted anew, and not all of them are yet."
        return Earlier(before, until, False, growing, why)
    if counted_from is None or counted_from > before:
        since = f"messages are counted only since {_said(counted_from)}" if counted_from else "nothing was counted yet"
        why = f"Not compared with {which}, which began on {_said(before)}: {since}."
        return Earlier(before, until, False, growing, why)
    if accepted < ENOUGH:
        why = f"Not compared with {which}: fewer than {ENOUGH} messages were sent then, which tells too little."
        return Earlier(before, until, False, growing, why)
    when = _said(before) if days == 1 else f"{_said(before)} to {_said(until)}"
    late = ""
    if growing:
        over = "Today is not over, and what" if last >= today else "What"
        late = f" {over} was sent in the last week is still being read and answered, so less may become more."
    return Earlier(before, until, True, growing, f"Compared with {which}, {when}.{late}")


def count(now: int, then: int, sent_then: int) -> CountChange:
    """What has changed of a count of messages, of which so many were sent before."""
    if not sent_then:
        return CountChange(then, None, "new")
    if then < ENOUGH:
        return CountChange(then, None, "too few")
    return CountChange(then, (now - then) / then, _more_or_less(now - then))


def rate(part: int, whole: int, part_then: int, whole_then: int, sent_then: int) -> RateChange:
    """What has changed of a rate; by chance alone it does so too, within the interval."""
    before = part_then / whole_then if whole_then else None
    if not sent_then:
        return RateChange(before, None, "new")
    found = difference(part, whole, part_then, whole_then)
    if found is None or min(whole, whole_then) < ENOUGH:
        return RateChange(before, None, "too few")
    return RateChange(before, found, found.verdict)


def costs(now: Mapping[str, Spent], then: Mapping[str, Spent]) -> dict[str, CostChange]:
    """What has changed of what messages cost, by currency."""
    nothing = Spent(0, Decimal(0))
    return {each: _cost(now.get(each, nothing), then.get(each, nothing)) for each in sorted({*now, *then})}


def _cost(now: Spent, then: Spent) -> CostChange:
    if not then.volume:
        return CostChange(then.amount, None, "new")
    if now.amount is None or then.amount is None:
        return CostChange(then.amount, None, "not known")
    if then.volume < ENOUGH:
        return CostChange(then.amount, None, "too few")
    share = float((now.amount - then.amount) / then.amount) if then.amount else None
    return CostChange(then.amount, share, _more_or_less(now.amount - then.amount))


def _more_or_less(difference: int | Decimal) -> Verdict:
    return "more" if difference > 0 else "less" if difference < 0 else "no difference shown"


def _said(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
