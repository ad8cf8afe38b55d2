"""Which volume tier each message of a month is in: they are counted in the order in which they were delivered. Pure.

Source: Meta, "Pricing on the WhatsApp Business Platform", volume tiers, tiering webhooks. Meta counts what others send
for the portfolio too, and tells when a tier is reached: from then on a message is in no lower one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from wabus_whatsapp.prices.card import TIERED, Bands, band_of, column_of
from wabus_whatsapp.prices.markets import market_named


class Second(NamedTuple):
    """Messages of one cell that were delivered in one second, in the order in which they are counted."""

    at: datetime
    cell_id: UUID
    messages: int


class Placed(NamedTuple):
    """Those of them that are in one band."""

    at: datetime
    cell_id: UUID
    band: int
    messages: int


class Floor(NamedTuple):
    """From a moment on the next message is at least this one of the month."""

    at: datetime
    first: int


class Reached(NamedTuple):
    """What Meta tells of a volume tier that a portfolio has reached."""

    market: str
    category: str
    month: date
    floor: Floor


def placed(
    before: int, seconds: Iterable[Second], bands: Mapping[UUID, Bands], floors: Sequence[Floor] = ()
) -> list[Placed]:
    """In which bands messages are, of which the first follows `before` others of the month; `seconds` in any order.

    A second in which a band begins is split. `floors` are in the order of time.
    """
    found: list[Placed] = []
    position = before
    for second in sorted(seconds):
        own = bands.get(second.cell_id, ())
        lowest = floor_at(floors, second.at)
        left, done = second.messages, position
        while left > 0:
            band = band_of(own, max(done + 1, lowest))
            following = own[band + 1].first - 1 if band + 1 < len(own) else None
            # Those below a floor are all in its band, until they have come beyond it by themselves.
            fits = left if following is None else min(left, max(1, following - done))
            found.append(Placed(second.at, second.cell_id, band, fits))
            left, done = left - fits, done + fits
        position += second.messages
    return _merged(found)


def stays(before: int, after: int, firsts: Iterable[int]) -> bool:
    """Whether all that come after `before` others of a month, of `after` in all, are in one band, whichever came first.

    `firsts` are the messages at which bands begin.
    """
    return not any(before + 1 < first <= after for first in firsts)


def taken(had: Iterable[Placed], messages: int) -> list[Placed]:
    """Which of the messages of one second and cell are taken away, if so many are: as many as there are at most."""
    found: list[Placed] = []
    for each in sorted(had, reverse=True):
        if (some := min(each.messages, messages)) > 0:
            found.append(each._replace(messages=some))
            messages -= some
    return found


def floor_at(floors: Sequence[Floor], at: datetime) -> int:
    """Which message of the month the next one is at least at a moment, by what Meta has told."""
    # In the second itself nobody knows which of two messages it was; the one that reached the tier is counted.
    place = bisect_left(floors, at, key=lambda floor: floor.at)
    return max((floor.first for floor in floors[:place]), default=1)


def reached(value: Mapping[str, Any]) -> Reached | None:
    """The volume tier that an `account_update` tells of; None where it tells of none.

    >>> told = {"tier_update_time": 1764547200, "pricing_category": "UTILITY", "tier": "100001:200000"}
    >>> reached({"volume_tier_info": told | {"effective_month": "2025-12", "region": "INDIA"}}).floor.first
    100001
    """
    match value:
        case {
            "volume_tier_info": {
                "tier_update_time": int() | str() as moment,
                "pricing_category": str(category),
                "tier": str(tier),
                "effective_month": str(month),
                "region": str(region),
            }
        }:
            column, market = column_of(category), market_named(region)
            first = tier.partition(":")[0].strip()
            try:
                at, of = datetime.fromtimestamp(int(moment), UTC), date.fromisoformat(f"{month}-01")
            except (ValueError, OverflowError, OSError):
                return None
            if column is None or column.category not in TIERED or market is None or not _is_count(first):
                return None
            return Reached(market, TIERED[column.category], of, Floor(at, max(1, int(first))))
        case _:
            return None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def _merged(found: Sequence[Placed]) -> list[Placed]:
    """Neighbours of one second, cell and band as one."""
    merged: list[Placed] = []
    for each in found:
        if merged and merged[-1][:3] == each[:3]:
            each = each._replace(messages=each.messages + merged.pop().messages)
        merged.append(each)
    return merged
