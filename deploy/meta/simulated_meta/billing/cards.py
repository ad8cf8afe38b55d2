"""Rate cards and volume tiers: one for a currency and a date, read and written as Meta publishes them. Pure.

Sources: "Pricing", Rate cards and volume tiers, Pricing calendar, and the cards of July 1 and October 1, 2026 in US
dollars and euros as public readers of Meta's files have them. Where no reader had a figure, it is worked out from the
same row in the other currency, and what is missing in both is `n/a`. A witness needs that everybody reads the same
card, not that a card is Meta's to the last row. Cards of Meta's other currencies are those in dollars, converted.
"""

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from itertools import pairwise

COLUMNS = ("marketing", "utility", "authentication", "authentication-international", "service")
TIERED = ("utility", "authentication", "authentication-international")
RATE_STEP = Decimal("0.0001")  # to which Meta publishes rates
SYMBOLS = {"USD": "$US", "INR": "₹"}
"""What the column Currency says of a currency that is not named by its ISO code there."""

Rates = dict[str, dict[str, Decimal | None]]
"""By market and column; None is `n/a`."""

DISCOUNTS = ((100_000, 5), (1_000_000, 10), (4_500_000, 15), (40_000_000, 20), (80_000_000, 25))
"""After so many charged messages, so many per cent less: the tiers of Rest of Africa and of Rest of Central & Eastern
Europe, as public readers of the volume tiers of October 1, 2026 have them; here of every market."""

CONVERTED = {
    "AED": "3.6717", "ARS": "1450", "AUD": "1.53", "BRL": "5.147", "CLP": "945", "COP": "4050", "GBP": "0.752",
    "IDR": "16450", "INR": "73.144", "MXN": "18.4", "MYR": "4.21", "PEN": "3.51", "SAR": "3.75", "SGD": "1.29",
}  # fmt: skip


class WrongCard(ValueError):
    """What was given is no rate card; says which line, and why."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The messages of a month from `lower` to `upper` (both inclusive, None without end) cost `rate` each."""

    lower: int
    upper: int | None
    rate: Decimal

    @property
    def name(self) -> str:
        """As pricing analytics and the webhook write it: "Analytics", Volume tier information."""
        return f"{self.lower}:{'MAX' if self.upper is None else self.upper}"


@dataclass(frozen=True, slots=True)
class RateCard:
    currency: str
    effective: date
    """In force from 12am of this day in each account's own time zone: "Pricing", Rate cards and volume tiers."""
    rates: Rates
    tiers: Mapping[str, Mapping[str, tuple[Tier, ...]]] = field(
        default_factory=dict[str, Mapping[str, tuple[Tier, ...]]]
    )
    """By market and column; a market or column that is not here has the list rate for all messages."""

    def rate(self, market: str, column: str) -> Decimal | None:
        return self.rates.get(market, {}).get(column)

    def tier(self, market: str, column: str, position: int) -> Tier | None:
        """The tier of the `position`-th charged message (from 1) of a month; None where there is no rate."""
        tiers = self.tiers.get(market, {}).get(column)
        if tiers:
            return tiers[bisect_right([each.lower for each in tiers], position) - 1]
        rate = self.rate(market, column)
        return None if rate is None else Tier(0, None, rate)


@dataclass(slots=True)
class Cards:
    """Every card there is, by currency, the oldest first."""

    by_currency: dict[str, list[RateCard]] = field(default_factory=dict[str, list[RateCard]])

    def put(self, card: RateCard) -> None:
        """Add a card, in the place of one of the same currency and date."""
        others = [each for each in self.by_currency.get(card.currency, []) if each.effective != card.effective]
        self.by_currency[card.currency] = sorted([*others, card], key=lambda each: each.effective)

    def on(self, currency: str, day: date) -> RateCard:
        """The card in force on a day, or the oldest. Raises KeyError for a currency without one."""
        cards = self.by_currency[currency]
        at = bisect_right([each.effective for each in cards], day)
        return cards[max(0, at - 1)]


def published() -> Cards:
    """The cards that a simulated Meta starts with."""
    cards = Cards()
    for card in _published():
        cards.put(card)
    return cards


@cache
def _published() -> tuple[RateCard, ...]:
    found: list[RateCard] = []
    for file in sorted(files("simulated_meta.billing").joinpath("cards").iterdir(), key=lambda each: each.name):
        currency, _, effective = file.name.removesuffix(".csv").partition("-")
        card = RateCard(currency, date.fromisoformat(effective), parse(file.read_text(encoding="utf-8")))
        found.append(discounted(card))
        if currency == "USD":
            found += [discounted(_converted(card, other, Decimal(rate))) for other, rate in CONVERTED.items()]
    return tuple(found)


def _converted(card: RateCard, currency: str, rate: Decimal) -> RateCard:
    rates = {
        market: {column: None if each is None else _step(each * rate) for column, each in row.items()}
        for market, row in card.rates.items()
    }
    return RateCard(currency, card.effective, rates)


def discounted(card: RateCard) -> RateCard:
    """The card with the tiers that follow from `DISCOUNTS`."""
    tiers: dict[str, dict[str, tuple[Tier, ...]]] = {}
    for market, row in card.rates.items():
        for column in TIERED:
            if (rate := row.get(column)) is not None:
                steps = [(after, _step(rate * (100 - less) / 100)) for after, less in DISCOUNTS]
                tiers.setdefault(market, {})[column] = tiers_of([(0, rate), *steps])
    return RateCard(card.currency, card.effective, card.rates, tiers)


def tiers_of(steps: Iterable[tuple[int, Decimal]]) -> tuple[Tier, ...]:
    """From (how many messages come before a tier, its rate). Raises WrongCard unless they start with 0 and go up.

    >>> [tier.name for tier in tiers_of([(0, Decimal("0.004")), (100, Decimal("0.003"))])]
    ['0:100', '101:MAX']
    """
    given = [*steps]
    if not given or given[0][0] != 0 or any(one >= two for (one, _), (two, _) in pairwise(given)):
        raise WrongCard("tiers start after 0 messages, and each starts after more than the one before")
    ends: list[int | None] = [after for after, _ in given[1:]]
    return tuple(
        Tier(after + 1 if after else 0, end, rate) for (after, rate), end in zip(given, [*ends, None], strict=True)
    )


def parse(text: str) -> Rates:
    """The rates of a card as Meta publishes it: preamble, header, a row for each market. Raises WrongCard."""
    rows = [*csv.reader(io.StringIO(text))]
    header = next((at for at, row in enumerate(rows) if row and row[0].strip() == "Market"), None)
    if header is None:
        raise WrongCard("a rate card has a header that begins with Market")
    names = [re.sub(r"\s+", "", name).lower() for name in rows[header]]
    if missing := [name for name in COLUMNS if name not in names]:
        raise WrongCard(f"the header has no {', '.join(missing)}")
    rates: Rates = {}
    for number, row in enumerate(rows[header + 1 :], header + 2):
        if any(cell.strip() for cell in row):
            cells = dict(zip(names, row, strict=False))
            rates[cells["market"].strip()] = {name: _rate(cells.get(name, ""), number) for name in COLUMNS}
    if not rates:
        raise WrongCard("a rate card has at least one market")
    return rates


def _rate(cell: str, row: int) -> Decimal | None:
    if cell.strip().lower() == "n/a":
        return None
    try:
        rate = Decimal(cell.strip())
    except InvalidOperation:
        raise WrongCard(f"row {row} has a rate that is no number and not n/a") from None
    if not rate.is_finite() or rate < 0:
        raise WrongCard(f"row {row} has a rate that nobody can be charged")
    return rate


def as_csv(card: RateCard) -> str:
    """As Meta publishes it: a preamble of two lines, a quoted newline in the header, `n/a` where there is no rate."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    day = f"{card.effective:%B} {card.effective.day}, {card.effective.year}"
    title = f"Cost per message in {card.currency} on the WhatsApp Business Platform, effective {day}"
    note = "Note: Rates are in effect from 12am in the time zone of the WhatsApp Business account."
    empty = [""] * (len(COLUMNS) + 1)
    writer.writerows([[title, *empty], [note, *empty]])
    header = (
        "Market",
        "Currency",
        "Marketing",
        "Utility",
        "Authentication",
        "Authentication-\nInternational",
        "Service",
    )
    writer.writerow(header)
    symbol = SYMBOLS.get(card.currency, card.currency)
    for market, row in card.rates.items():
        shown = ["n/a" if (rate := row.get(column)) is None else f"{rate:.4f}" for column in COLUMNS]
        if any(rate is not None and rate != _step(rate) for rate in row.values()):  # more places than Meta's four
            shown = ["n/a" if (rate := row.get(column)) is None else f"{rate:f}" for column in COLUMNS]
        writer.writerow([market, symbol, *shown])
    return out.getvalue()


def tiers_as_csv(card: RateCard) -> str:
    """The volume tiers of a card. That Meta publishes them as CSV is documented; this form of it is ours."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("Market", "Currency", "Category", "From", "To", "Rate"))
    for market, columns in card.tiers.items():
        for column, tiers in columns.items():
            for tier in tiers:
                upper = "MAX" if tier.upper is None else tier.upper
                writer.writerow((market, card.currency, column, tier.lower, upper, f"{tier.rate:f}"))
    return out.getvalue()


def _step(rate: Decimal) -> Decimal:
    return rate.quantize(RATE_STEP, ROUND_HALF_UP)
