"""What counts say: rates, the funnel, and how one version of a template does beside the one before. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from wabus_insights.performance.intervals import Interval, difference

Counts = Mapping[str, int]

RATES: Mapping[str, tuple[str, str]] = {
    "delivery_rate": ("delivered", "accepted"),
    "failure_rate": ("failed", "accepted"),
    "read_rate": ("read", "delivered"),
    "reply_rate": ("replied", "delivered"),
    "click_rate": ("clicked", "delivered"),
    "stop_rate": ("stopped", "delivered"),
}
"""Each rate, by the count that it is of and the count that it is a part of."""
FUNNEL = ("accepted", "sent", "delivered", "read", "replied")

_COMPARED = {
    "read_rate": "is read",
    "reply_rate": "is answered",
    "click_rate": "has its buttons pressed",
    "failure_rate": "fails",
    "stop_rate": "makes people stop",
}
Verdict = Literal["more", "less", "no difference shown", "too few"]


class Comparison(NamedTuple):
    """How one version does beside the one before it. Nobody was drawn by lot, so it may be for another reason."""

    version: int
    before: int
    rate: str
    interval: Interval | None
    verdict: Verdict
    sentence: str


def rates(counts: Counts) -> dict[str, float | None]:
    """Every rate, from 0 to 1; None where it is of nothing."""
    return {name: _share(counts[part], counts[whole]) for name, (part, whole) in RATES.items()}


def funnel(counts: Counts) -> list[dict[str, Any]]:
    """How many of those that were accepted have come how far. Whoever answers need not have sent a read receipt."""
    return [{"step": step, "count": counts[step], "share": _share(counts[step], counts["accepted"])} for step in FUNNEL]


def comparisons(by_version: Sequence[tuple[int, Counts]]) -> list[Comparison]:
    """Each version that is known beside the one before that was sent, by every rate that tells something."""
    known = sorted((version, counts) for version, counts in by_version if version and counts["accepted"])
    return [_compared(rate, newer, older) for older, newer in pairwise(known) for rate in _COMPARED]


def _compared(rate: str, newer: tuple[int, Counts], older: tuple[int, Counts]) -> Comparison:
    part, whole = RATES[rate]
    (version, now), (before, then) = newer, older
    found = difference(now[part], now[whole], then[part], then[whole])
    if found is None:
        sentence = f"Too little of version {version} or {before} was delivered to say how often it {_COMPARED[rate]}."
        return Comparison(version, before, rate, None, "too few", sentence)
    verdict = found.verdict
    if verdict == "no difference shown":
        sentence = (
            f"No difference shown in how often version {version} {_COMPARED[rate]}, beside version {before}: "
            f"it is {_points(found.low)} to {_points(found.high)} points."
        )
    else:
        low, high = sorted((abs(found.low), abs(found.high)))
        sentence = (
            f"Version {version} {_COMPARED[rate]} {_points(abs(found.value))} points {verdict} often than version "
            f"{before} (95 % interval {_points(low)} to {_points(high)}); they were sent at other times and to other "
            "people, which may be why."
        )
    return Comparison(version, before, rate, found, verdict, sentence)


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
