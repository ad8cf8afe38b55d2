"""How an account is charged at a moment, by all that was told of it: its portfolio, its clocks, its currency. Pure.

Meta tells what is so now and not since when. What is first known held before; what is told to be otherwise later holds
from then on: an account that moves leaves what it was charged for in the old portfolio's months.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any message."""


class Billing(NamedTuple):
    """How an account is charged. What is not known is None."""

    scope: str
    """The portfolio, or while that is not known the account: over it messages are counted for volume tiers."""
    zone: str | None
    """As IANA names it."""
    currency: str | None


class Told(NamedTuple):
    """What was told of an account at a moment; None where nothing was."""

    at: datetime
    portfolio_id: str | None
    time_zone: str | None
    currency: str | None

    @property
    def values(self) -> tuple[str | None, ...]:
        return self[1:]


def billing(waba_id: str, history: Sequence[Told], at: datetime) -> Billing:
    """How an account is charged at a moment; `history` is in the order of time."""
    portfolio_id, zone, currency = (_value(history, n, at) for n in range(3))
    return Billing(portfolio_id or waba_id, zone, currency)


def is_news(history: Sequence[Told], told: Told) -> bool:
    """Whether what is told differs from what was known at that moment."""
    before = [each for each in history if each.at <= told.at]
    return any(
        value is not None and value != next((each.values[n] for each in reversed(before) if each.values[n]), None)
        for n, value in enumerate(told.values)
    )


def changed_from(before: Sequence[Told], after: Sequence[Told]) -> datetime | None:
    """The first moment at which an account is charged otherwise by one history than by another; None if never."""
    moments: Iterable[datetime] = sorted({BEGINNING, *(each.at for each in (*before, *after))})
    return next((at for at in moments if billing("", before, at) != billing("", after, at)), None)


def _value(history: Sequence[Told], n: int, at: datetime) -> str | None:
    known = [each for each in history if each.values[n]]
    return next((each.values[n] for each in reversed(known) if each.at <= at), known[0].values[n] if known else None)
