"""When somebody is told that a budget is used up, or will be. Pure.

A budget is of one currency: what costs another is named, and never added. Its month is that of each account, by the
clocks of the account's place, so that for some hours two months are current.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wabus_events import fact_id

THRESHOLDS = (50, 80, 100)
"""Per cent at which somebody is told, where an organisation has chosen none."""
LATE_FOR = timedelta(days=3)
"""So long after its end a month is still looked at: what was delivered on its last day may be told later."""
KNOWN_DAYS_MIN = 7
"""Whole days of the past without which nobody is told of what is only expected."""

Kind = Literal["actual", "projected"]


class Month(NamedTuple):
    """A month of a calendar."""

    year: int
    number: int

    @property
    def first(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        return self.next.first - timedelta(days=1)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @classmethod
    def of(cls, day: date) -> "Month":
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """The month that `2026-12` stands for. Raises `ValueError`."""
        return cls.of(date.fromisoformat(f"{text}-01"))


@dataclass(frozen=True, slots=True)
class Budget:
    """What an organisation wants to spend at most in a month, for all its accounts or for one."""

    budget_id: str
    waba_id: str | None
    """None for all accounts of the organisation that are charged in the currency."""
    month: Month | None
    """The only month that it holds for; None for each month that has none of its own."""
    currency: str
    amount: Decimal
    thresholds: tuple[int, ...] = THRESHOLDS
    """Per cent, ascending."""
    set_at: datetime | None = None
    """Since when it is of this amount; None where that is not known, long ago."""

    def holds_in(self, month: Month) -> bool:
        return self.month is None or self.month == month


class Alerted(NamedTuple):
    """That somebody was told: of which part of which amount, in which month. It happens once."""

    budget_id: str
    month: str
    kind: Kind
    threshold: int
    amount: Decimal
    """The budget's own: who has another has another budget."""


@dataclass(frozen=True, slots=True)
class Spending:
    """How a budget stands in a month."""

    month: Month
    spent: Decimal
    projected: Decimal | None
    """What the month is expected to cost in all; None where it is over, or too little is known."""
    known_days: int = 0


def budget_id(org_id: str, waba_id: str | None, month: str | None, currency: str) -> str:
    """Which budget it is: of whom, for what and in which currency, whatever its amount."""
    return fact_id("wabus.Budget", org_id, waba_id or "", month or "", currency)


def alert_id(org_id: str, alerted: Alerted) -> str:
    """The id of the event: the same for whoever comes to tell it, so that it is told once."""
    amount = format(alerted.amount.normalize(), "f")
    return fact_id(
        "wabus.BudgetAlerted.v1", org_id, alerted.budget_id, alerted.month, alerted.kind, alerted.threshold, amount
    )


def due_alerts(budget: Budget, spending: Spending, told: Collection[Alerted]) -> list[Alerted]:
    """What is to be told now that nobody was told of, the lowest threshold first.

    What is expected is told of the whole budget only (or of the highest threshold, where all are lower), where enough
    is known of the past, and not once it has happened.
    """
    month = str(spending.month)

    def alert(kind: Kind, threshold: int) -> Alerted:
        return Alerted(budget.budget_id, month, kind, threshold, budget.amount)

    found: list[Alerted] = []
    for threshold in budget.thresholds:
        limit = budget.amount * threshold / 100
        if spending.spent >= limit:
            found.append(alert("actual", threshold))
        elif (
            spending.projected is not None
            and spending.known_days >= KNOWN_DAYS_MIN
            and threshold >= min(100, max(budget.thresholds))
            and spending.projected >= limit
        ):
            found.append(alert("projected", threshold))
    return [each for each in found if each not in told]


def in_force(budgets: Sequence[Budget], month: Month) -> list[Budget]:
    """The budgets that hold in a month: one of its own comes before that for each month."""
    own = {(each.waba_id, each.currency) for each in budgets if each.month == month}
    return [
        each
        for each in budgets
        if each.month == month or (each.month is None and (each.waba_id, each.currency) not in own)
    ]


def was_one_in(budget: Budget, month: Month, zones: Mapping[str, str | None]) -> bool:
    """Whether a budget was set before a month was over by the clocks of all that it is for; `zones` has each account's.

    Of a month that was over when they set it nobody wants to be told: it could not be kept any more.
    """
    set_at = budget.set_at
    own = zones.values() if budget.waba_id is None else [zones.get(budget.waba_id)]
    return set_at is None or any(local_day(set_at, zone) <= month.last for zone in own or (None,))


def local_day(now: datetime, zone: str | None) -> date:
    """Which day it is by the clocks of an account's place; by UTC where that is not known."""
    return now.astimezone(_zone(zone)).date()


def elapsed(now: datetime, zone: str | None) -> float:
    """The share of that day that is over, from 0 to 1."""
    local = now.astimezone(_zone(zone))
    return (local.hour * 3600 + local.minute * 60 + local.second) / 86_400


def current_months(now: datetime, zones: Collection[str | None]) -> list[Month]:
    """The months that have to be looked at: those that it is somewhere, and those just over."""
    found: set[Month] = set()
    for zone in zones or (None,):
        today = local_day(now, zone)
        found |= {Month.of(today), Month.of(today - LATE_FOR)}
    return sorted(found)


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
