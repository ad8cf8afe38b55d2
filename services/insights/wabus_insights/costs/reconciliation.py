"""What Meta says that an account cost beside what we make of its messages, and why the two differ. Pure.

Meta's numbers are approximate by its own word, and its statuses may come days late, so that both sides move for a
while. Source: Meta, "Analytics" (Business Management API), Pricing analytics; "Pricing", Volume tiers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from typing import Literal, NamedTuple

SETTLES_IN = timedelta(days=3)
"""So old a day is before what is missing of it is not put down to statuses and analytics that come late."""
TOLERANCE = Decimal("0.005")
"""Of Meta's amount: so much two amounts may differ and agree, for Meta gives approximate ones."""
CENT = Decimal("0.01")
VOLUME_TOLERANCE = Decimal("0.001")
"""Of the messages, and none where there are fewer than a thousand."""
STEADY_DAYS = 3
"""Days with the same ratio that make it the card's doing and not chance."""
STEADY_WITHIN = Decimal("0.01")
"""How far the ratios of days may be from the middle one."""
LARGEST_RATIO = 20
"""Beyond it something else is wrong, and nothing is corrected by it."""

Explanation = Literal[
    "agrees", "late_statuses", "other_systems", "wrong_card", "wrong_tier", "unpriced", "amount_untold", "unknown"
]
WORDS: dict[Explanation, str] = {
    "agrees": "Both say the same.",
    "late_statuses": "The day is so recent that statuses, or Meta's own numbers, may still be missing.",
    "other_systems": "Meta counts messages of which no status reached us: another system sends from this account, or "
    "webhooks were lost.",
    "wrong_card": "Meta charges another price for the same messages, day after day: import the present rate card.",
    "wrong_tier": "Meta charges the price of another volume tier: other accounts of the portfolio, which are not "
    "connected here, may have raised it.",
    "unpriced": "There is no price for these messages here: import the rate card of this currency.",
    "amount_untold": "Meta tells no amounts for this account, as for those on a partner's credit line: only the "
    "messages were compared.",
    "unknown": "The two differ, and nothing that is known here explains it.",
}


class Kind(NamedTuple):
    """Messages that have one price, tiers aside."""

    country: str
    """ISO 3166-1 alpha-2; empty where it is not known."""
    category: str
    """In small letters, such as `authentication_international`."""
    pricing_type: str
    """`regular`, `free_customer_service` or `free_entry_point`."""


class Ours(NamedTuple):
    """What our fold has of an account's day."""

    day: date
    kind: Kind
    volume: int
    amount: Decimal
    """Of those that have a price."""
    unpriced: int = 0
    """Messages among them without one."""


class Metas(NamedTuple):
    """What Meta tells of the same."""

    day: date
    kind: Kind
    volume: int
    amount: Decimal | None
    """None where Meta tells none."""
    tier: str = ""
    """The volume tier that applied, as `0:750000`; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A day and a kind of messages on both sides."""

    day: date
    kind: Kind
    volume: int
    metas_volume: int
    amount: Decimal
    metas_amount: Decimal | None
    unpriced: int
    explained_by: Explanation

    @property
    def difference(self) -> Decimal | None:
        """Meta's amount less ours."""
        return None if self.metas_amount is None else self.metas_amount - self.amount


def kind_of(country: str | None, category: str | None, pricing_type: str | None) -> Kind:
    """The kind by Meta's words, which are in capitals here and in small letters there.

    >>> kind_of("in", "AUTHENTICATION-INTERNATIONAL", "REGULAR")
    Kind(country='IN', category='authentication_international', pricing_type='regular')
    """
    return Kind((country or "").upper(), _word(category), _word(pricing_type))


def reconcile(ours: Iterable[Ours], metas: Iterable[Metas], today: date) -> list[Reconciled]:
    """Every day and kind that either side has, the oldest first, each with what explains it."""
    mine: dict[tuple[date, Kind], Ours] = {}
    for row in ours:
        key = (row.day, row.kind)
        had = mine.get(key)
        mine[key] = row if had is None else _added(had, row)
    told: dict[tuple[date, Kind], list[Metas]] = {}
    for point in metas:
        told.setdefault((point.day, point.kind), []).append(point)
    pairs = [(key, mine.get(key), told.get(key, [])) for key in sorted(mine.keys() | told.keys())]
    ratios = _ratios((key, left, right) for key, left, right in pairs if left and right)
    return [_reconciled(key, left, right, ratios, today) for key, left, right in pairs]


def corrections(reconciled: Iterable[Reconciled]) -> dict[tuple[str, str], Decimal]:
    """By country and category, what our prices have to be multiplied by to be Meta's.

    It is for what is expected; what has been is never changed by it.
    """
    steady: dict[tuple[str, str], list[Reconciled]] = {}
    for row in reconciled:
        if row.explained_by in ("wrong_card", "wrong_tier"):
            steady.setdefault((row.kind.country, row.kind.category), []).append(row)
    found: dict[tuple[str, str], Decimal] = {}
    for key, rows in steady.items():
        metas = sum((row.metas_amount or Decimal(0) for row in rows), Decimal(0))
        own = sum((row.amount for row in rows), Decimal(0))
        if own > 0 and metas > 0 and 1 / Decimal(LARGEST_RATIO) < metas / own < LARGEST_RATIO:
            found[key] = (metas / own).quantize(Decimal("0.0001"))
    return found


def _word(text: str | None) -> str:
    return (text or "").lower().replace("-", "_")


def _added(left: Ours, right: Ours) -> Ours:
    return Ours(
        left.day,
        left.kind,
        left.volume + right.volume,
        left.amount + right.amount,
        left.unpriced + right.unpriced,
    )


def _total(points: Sequence[Metas]) -> Decimal | None:
    amounts = [point.amount for point in points]
    return None if None in amounts or not amounts else sum((one for one in amounts if one is not None), Decimal(0))


def _price_ratio(left: Ours, right: Sequence[Metas]) -> Decimal | None:
    """Meta's price of one message over ours; None where one side has none."""
    amount, volume = _total(right), sum(point.volume for point in right)
    priced = left.volume - left.unpriced
    if not amount or amount <= 0 or left.amount <= 0 or priced <= 0 or volume <= 0:
        return None
    return (amount / volume) / (left.amount / priced)


def _ratios(pairs: Iterable[tuple[tuple[date, Kind], Ours, Sequence[Metas]]]) -> dict[tuple[Kind, str], list[Decimal]]:
    """For each kind and tier the ratios of its days."""
    found: dict[tuple[Kind, str], list[Decimal]] = {}
    for (_, kind), left, right in pairs:
        ratio = _price_ratio(left, right)
        if ratio is not None:
            found.setdefault((kind, _tiers(right)), []).append(ratio)
    return found


def _lost_by_rounding(points: Sequence[Metas]) -> Decimal:
    """By how much a total may be off because its parts are told in whole cents; nothing where they are told finer."""
    amounts = [point.amount for point in points if point.amount is not None]
    return CENT / 2 * len(amounts) if all(amount % CENT == 0 for amount in amounts) else Decimal(0)


def _tiers(points: Sequence[Metas]) -> str:
    return " ".join(sorted({point.tier for point in points}))


def _is_lowest(tier: str) -> bool:
    """Whether it is the tier that everybody begins with, or none at all."""
    return not tier or all(one.partition(":")[0] in ("", "0", "1") for one in tier.split())


def _reconciled(
    key: tuple[date, Kind],
    left: Ours | None,
    right: Sequence[Metas],
    ratios: dict[tuple[Kind, str], list[Decimal]],
    today: date,
) -> Reconciled:
    day, kind = key
    own = left or Ours(day, kind, 0, Decimal(0))
    volume, amount = sum(point.volume for point in right), _total(right) if right else Decimal(0)
    explained = _explained(own, volume, amount, right, ratios, today)
    return Reconciled(day, kind, own.volume, volume, own.amount, amount, own.unpriced, explained)


def _explained(
    own: Ours,
    volume: int,
    amount: Decimal | None,
    right: Sequence[Metas],
    ratios: dict[tuple[Kind, str], list[Decimal]],
    today: date,
) -> Explanation:
    same_volume = abs(volume - own.volume) <= max(volume, own.volume) * VOLUME_TOLERANCE
    if not same_volume:
        if today - own.day < SETTLES_IN:
            return "late_statuses"
        return "other_systems" if volume > own.volume else "unknown"
    if amount is None:
        return "amount_untold"
    if abs(amount - own.amount) <= max(
        abs(amount) * TOLERANCE, Decimal("0.000001") * max(volume, 1), _lost_by_rounding(right)
    ):
        return "agrees"
    if own.unpriced:
        return "unpriced"
    tier = _tiers(right)
    days = ratios.get((own.kind, tier), [])
    middle = Decimal(median(days)) if days else None
    this = _price_ratio(own, right)
    steady = [ratio for ratio in days if middle and abs(ratio - middle) <= middle * STEADY_WITHIN]
    if this is not None and this in steady and len(steady) >= STEADY_DAYS:
        if _is_lowest(tier):
            return "wrong_card"
        lowest = [
            ratio for (kind, at), found in ratios.items() if kind == own.kind and _is_lowest(at) for ratio in found
        ]
        # Right at the first tier and wrong at another: the card is right, and where we think to be on it is not.
        wrong_from_the_first = lowest and abs(Decimal(median(lowest)) - 1) > TOLERANCE
        return "wrong_card" if wrong_from_the_first else "wrong_tier"
    if today - own.day < SETTLES_IN:
        return "late_statuses"
    return "unknown"
