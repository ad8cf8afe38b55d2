"""What messages that were charged alike are counted in: a cell for each day, account, country, category, … Pure.

A cell is named by what is known of its messages and never by what follows from prices, so that a rate card that comes
late changes what a cell costs and not which one it is.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import TIERED, Bands, Column, column_of
from wabus_whatsapp.prices.message import PLACES, Basis, Known, Pricing, basis

from wabus_insights.costs.billing import Billing
from wabus_insights.costs.charges import Charge


class Cell(NamedTuple):
    """Messages that cost the same, but for volume tiers."""

    org_id: str
    waba_id: str
    phone_number_id: str
    country: str
    sure: bool
    """Whether the market is that of the recipients' numbers, and the day that of the account's own zone."""
    category: str
    """As Meta tells it; empty where it told none."""
    pricing_type: str
    template_id: str
    campaign: str
    day: date
    currency: str
    """Empty where it is not known."""
    basis: Basis
    scope: str

    @property
    def cell_id(self) -> UUID:
        """The same for the same."""
        return _cell_id(self)

    @property
    def column(self) -> Column | None:
        """Where it stands on a rate card."""
        return column_of(self.category)

    @property
    def has_tiers(self) -> bool:
        """Whether what it costs may depend on how many were charged in the month before."""
        column = self.column
        return self.basis == "card" and column is not None and column.has_tiers and bool(self.country)


class Counted(NamedTuple):
    """What one message counts for."""

    cell: Cell
    at: datetime
    """To the second, as Meta tells it."""
    amount: Decimal
    """What Meta told that it cost; nothing where it did not."""


class Tier(NamedTuple):
    """What is counted together for volume tiers: of a portfolio, in a market, as a category, in a month."""

    scope: str
    market: str
    category: str
    month: date
    """Its first day, in the zone of each account."""

    @property
    def tier_id(self) -> UUID:
        """The same for the same."""
        return UUID(bytes=blake2b("\x1f".join(map(str, self)).encode(), digest_size=16).digest())


class Priced(NamedTuple):
    """What the messages of a cell, or those of one band of it, cost together."""

    amount: Decimal | None
    """None where it is not known."""
    known: Known


def counted(charge: Charge, billing: Billing) -> Counted | None:
    """What a message counts for; None while nothing tells that it was delivered."""
    at = charge.charged_at
    if at is None:
        return None
    pricing = charge.pricing or Pricing()
    follows_from = basis(pricing)
    zone = _zone(billing.zone)
    cell = Cell(
        charge.org_id,
        charge.waba_id,
        charge.phone_number_id,
        charge.place.country,
        charge.place.sure and zone is not None,
        pricing.category,
        pricing.type,
        charge.template_id,
        charge.campaign,
        at.astimezone(zone or UTC).date(),
        (pricing.currency if follows_from == "reported" else None) or billing.currency or "",
        follows_from,
        billing.scope,
    )
    return Counted(
        cell, at.replace(microsecond=0), (pricing.cost or Decimal(0)) if follows_from == "reported" else Decimal(0)
    )


def market_of(cell: Cell, book: PriceBook) -> str:
    """The market of a cell; empty where it is not known where its messages went."""
    return book.market(cell.country, cell.currency, cell.day) if cell.country else ""


def bands_of(cell: Cell, market: str, book: PriceBook) -> Bands:
    """What its messages cost by the rate card, by how many were charged in the month before; empty without a rate."""
    column = cell.column
    return book.bands(cell.currency, market, column, cell.day) if column and market else ()


def tier_of(cell: Cell, market: str) -> Tier | None:
    """As what its messages are counted for volume tiers; None where there are none for such messages."""
    column = cell.column
    if not cell.has_tiers or column is None:
        return None
    return Tier(cell.scope, market, TIERED[column.category], cell.day.replace(day=1))


def priced(
    cell: Cell, bands: Bands, band: int, volume: int, reported: Decimal, average: Decimal | None = None
) -> Priced:
    """What so many messages of a cell cost, by what it follows from.

    `average` is what Meta's own numbers say that such a message costs, which stands in for a rate that is not known.
    """
    match cell.basis:
        case "reported":
            return Priced(reported, "reported")
        case "free":
            return Priced(Decimal(0), "free")
        case "card" if bands:
            amount = bands[min(band, len(bands) - 1)].amount * volume
            return Priced(amount, "rated" if cell.sure else "estimated")
        case _ if average is not None and cell.category:
            return Priced((average * volume).quantize(PLACES), "estimated")
        case _:
            return Priced(None, "unknown")


def earliest_in(day: date) -> datetime:
    """The first moment at which it may be this day somewhere."""
    return datetime.combine(day, time(), UTC) - timedelta(hours=14)


def average_of(days: Sequence[tuple[int, Decimal]]) -> Decimal | None:
    """What one message cost, by Meta's volumes and amounts of some days; None where there were none."""
    volume = sum(messages for messages, _ in days)
    return sum((amount for _, amount in days), Decimal(0)) / volume if volume else None


def _cell_id(cell: Cell) -> UUID:
    named = "\x1f".join(map(str, cell))
    found = _KNOWN.get(named)
    if found is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        found = _KNOWN[named] = UUID(bytes=blake2b(named.encode(), digest_size=16).digest())
    return found


_KNOWN: dict[str, UUID] = {}
_MOST_KNOWN = 50_000
_ZONES: dict[str, ZoneInfo | None] = {}


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    if name not in _ZONES:
        try:
            _ZONES[name] = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            _ZONES[name] = None
    return _ZONES[name]


Averages = Mapping[tuple[str, str, str, str, date], Decimal]
"""What Meta's own numbers say that a message cost: by account, country, category, currency and day."""
