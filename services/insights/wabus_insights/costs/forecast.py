"""What a month will have cost when it is over: the profile of the weekdays over a level with a fading trend. Pure.

The level and its trend are Holt's, damped, of what each day cost once its weekday is taken out; the weekdays' weights
are those of the last weeks (seasonal-naive). How far it may be wrong is what it was wrong by before, at the same
distance from the end. Sources: Hyndman, Athanasopoulos, "Forecasting: Principles and Practice", 5.2 (seasonal naïve
method), 8.2 (damped trend); Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World" (ranks of past errors).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

LEVEL_WEIGHT = 0.15
"""How much a new day counts for the level."""
TREND_WEIGHT = 0.03
"""How much a new day counts for the trend."""
TREND_FADES = 0.9
"""What is left of the trend a day later: nobody grows for ever."""
WEEKS_OF_PROFILE = 8
DAYS_MIN = 14
"""Days that must be known before weekdays are told apart: each twice."""
WEIGHT_MIN = 0.1
"""A weekday on which next to nothing is sent says nothing of the level: the quotient would be noise."""
ORIGINS_MAX = 60
"""Days of the past from which it is looked how wrong a forecast would have been."""
ERRORS_MIN = 9
"""Errors of the past without which no interval is given: so many give 80 % between the outermost."""
COVERS = 0.8
"""The share of months that should end within the interval."""
CENT = Decimal("0.000001")


class PriceChange(NamedTuple):
    """From a day on messages of a kind cost something else."""

    market: str
    category: str
    effective: date
    before: Decimal | None
    """For one message; None where it was not charged, or it is not known."""
    after: Decimal


class Spent(NamedTuple):
    """What messages of a kind cost on one day."""

    day: date
    market: str
    category: str
    charged: int
    """Messages that were charged, or would be if they were not free by a rule that ends."""
    amount: Decimal
    country: str = ""
    """ISO 3166-1 alpha-2; empty where it does not matter."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a month is expected to cost, in the currency of what was spent."""

    spent: Decimal
    """Until now."""
    expected: Decimal
    """At the end of the month, what is spent included."""
    low: Decimal | None
    """`COVERS` of the months should end between this and `high`; None where too little is known of the past."""
    high: Decimal | None
    days: Mapping[date, Decimal]
    """What each day still to come is expected to cost, today by what is left of it."""
    known_days: int
    """Whole days of the past that it rests on."""


NO_CORRECTIONS: Mapping[tuple[str, str], Decimal] = {}


def at_prices_of(
    day: date,
    spent: Sequence[Spent],
    changes: Sequence[PriceChange],
    corrections: Mapping[tuple[str, str], Decimal] = NO_CORRECTIONS,
) -> dict[date, Decimal]:
    """By day, what all that was sent would have cost at the prices of one day.

    `corrections` are what our prices have to be multiplied by to be Meta's, by country and category.
    """
    by_kind: dict[tuple[str, str], list[PriceChange]] = {}
    for change in sorted(changes, key=lambda one: one.effective):
        by_kind.setdefault((change.market, change.category), []).append(change)
    found: dict[date, Decimal] = {}
    for row in spent:
        amount = row.amount * corrections.get((row.country, row.category), 1)
        for change in by_kind.get((row.market, row.category), ()):
            if row.day < change.effective <= day:
                amount = amount * change.after / change.before if change.before else row.charged * change.after
        found[row.day] = found.get(row.day, Decimal(0)) + amount
    return found


def forecast_month(
    spent: Sequence[Spent],
    changes: Sequence[PriceChange],
    *,
    first: date,
    last: date,
    today: date,
    elapsed: float,
    since: date | None = None,
    corrections: Mapping[tuple[str, str], Decimal] = NO_CORRECTIONS,
) -> Forecast:
    """The forecast of the month from `first` to `last`, as of `today`, of which the share `elapsed` is over.

    `since` is the first day of which all is known; without it, the first day on which something was spent. A day
    between, without anything, cost nothing. What is spent stays as it is, whatever the `corrections`.
    """
    actual = at_prices_of(date.min, spent, ())
    so_far = sum((amount for day, amount in actual.items() if first <= day <= min(today, last)), Decimal(0))
    begin = min([day for day in actual if day < today], default=None) if since is None else since
    known = (today - begin).days if begin else 0
    remaining = [today + timedelta(days=n) for n in range((last - today).days + 1)] if today >= first else []
    if not remaining or not known or begin is None:
        nothing_known = remaining and not known
        return Forecast(so_far, so_far, None if nothing_known else so_far, None if nothing_known else so_far, {}, known)

    prices: dict[tuple[date, ...], list[float]] = {}

    def history(day: date) -> list[float]:
        """What the past would have cost at the prices of a day."""
        regime = tuple(change.effective for change in changes if change.effective <= day)
        if regime not in prices:
            restated = at_prices_of(day, spent, changes, corrections)
            prices[regime] = [float(restated.get(begin + timedelta(days=n), 0)) for n in range(known)]
        return prices[regime]

    days: dict[date, Decimal] = {}
    for day in remaining:
        ahead = (day - today).days + 1
        share = max(0.0, 1 - elapsed) if day == today else 1.0
        days[day] = _money(_ahead(history(day), begin.weekday(), ahead)[-1] * share)
    to_come = sum(days.values(), Decimal(0))
    low, high = _interval(history(today), begin.weekday(), len(remaining), float(to_come))
    expected = so_far + to_come
    return Forecast(
        so_far,
        expected,
        None if low is None else so_far + _money(low),
        None if high is None else so_far + _money(high),
        days,
        known,
    )


def together(forecasts: Sequence[Forecast]) -> Forecast:
    """The forecast of several accounts, each of which is wrong by itself: their errors partly even out."""
    if len(forecasts) == 1:
        return forecasts[0]
    days: dict[date, Decimal] = {}
    below = above = Decimal(0)
    is_bounded = True
    for one in forecasts:
        for day, amount in one.days.items():
            days[day] = days.get(day, Decimal(0)) + amount
        if one.low is None or one.high is None:
            is_bounded = False
        else:
            below += (one.expected - one.low) ** 2
            above += (one.high - one.expected) ** 2
    spent = sum((one.spent for one in forecasts), Decimal(0))
    expected = sum((one.expected for one in forecasts), Decimal(0))
    low = max(spent, expected - below.sqrt()).quantize(CENT) if is_bounded else None
    high = (expected + above.sqrt()).quantize(CENT) if is_bounded else None
    known = max((one.known_days for one in forecasts), default=0)
    return Forecast(spent, expected, low, high, dict(sorted(days.items())), known)


def _ahead(past: Sequence[float], weekday: int, days: int) -> list[float]:
    """What the next days are expected to cost after a past whose first day was a weekday (0 is Monday)."""
    weights = _profile(past, weekday)
    placed = ((amount, weights[(weekday + n) % 7]) for n, amount in enumerate(past))
    level, trend = _holt([amount / weight for amount, weight in placed if weight > WEIGHT_MIN])
    found: list[float] = []
    grown, fade = 0.0, 1.0
    for n in range(days):
        fade *= TREND_FADES
        grown += fade * trend
        found.append(max(0.0, (level + grown) * weights[(weekday + len(past) + n) % 7]))
    return found


def _profile(past: Sequence[float], weekday: int) -> list[float]:
    """How much each weekday costs beside the mean of all, from Monday on; 1 for each while too little is known.

    One on which nothing was sent has weight 0.
    """
    recent = past[-7 * WEEKS_OF_PROFILE :]
    skipped = len(past) - len(recent)
    mean = sum(recent) / len(recent)
    if len(past) < DAYS_MIN or mean <= 0:
        return [1.0] * 7
    sums, counts = [0.0] * 7, [0] * 7
    for n, amount in enumerate(recent):
        place = (weekday + skipped + n) % 7
        sums[place] += amount
        counts[place] += 1
    return [total / count / mean for total, count in zip(sums, counts, strict=True)]


def _holt(values: Sequence[float]) -> tuple[float, float]:
    """Level and trend after the last value: Holt's linear method, damped, begun with the mean of the first week."""
    first = values[:7]
    level, trend = sum(first) / len(first), 0.0
    for value in values[len(first) :]:
        before = level
        level = LEVEL_WEIGHT * value + (1 - LEVEL_WEIGHT) * (level + TREND_FADES * trend)
        trend = TREND_WEIGHT * (level - before) + (1 - TREND_WEIGHT) * TREND_FADES * trend
    return level, trend


def _interval(
    past: Sequence[float], weekday: int, horizon: int, to_come: float
) -> tuple[float, float] | tuple[None, None]:
    """Between what the days to come should cost together, by the errors of the past over as many days.

    The errors are measured in means of the four weeks before each, so that those of a time when much less was sent
    count as they would today.
    """
    errors: list[float] = []
    for end in range(max(DAYS_MIN, len(past) - horizon - ORIGINS_MAX + 1), len(past) - horizon + 1):
        scale = _scale(past[:end])
        if scale > 0:
            guessed = sum(_ahead(past[:end], weekday, horizon))
            errors.append((sum(past[end : end + horizon]) - guessed) / scale)
    if len(errors) < ERRORS_MIN:
        return None, None
    errors.sort()
    tail = (1 - COVERS) / 2
    at = min(len(errors) - 1, math.ceil((len(errors) + 1) * (1 - tail)) - 1)
    # Errors over days that overlap know less than as many of days that don't.
    scale = _scale(past) * math.sqrt(1 + horizon / len(errors))
    return max(0.0, to_come + min(errors[-1 - at], 0.0) * scale), to_come + max(errors[at], 0.0) * scale


def _scale(past: Sequence[float]) -> float:
    recent = past[-28:]
    return sum(recent) / len(recent)


def _money(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(CENT)
