"""Meta's rate card as the CSV file that it publishes: lines of preamble, a header, a row for each market. Pure.

Source: Meta, "Pricing on the WhatsApp Business Platform", rate cards and volume tiers, the column "Rates (CSV)".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from wabus_whatsapp.prices.card import Category
from wabus_whatsapp.prices.markets import OTHER, market_key, market_named
from wabus_whatsapp.prices.reading import (
    FileRefused,
    Row,
    amount_of,
    category_of,
    currency_of,
    heading,
    rows_of,
)

MOST_PROBLEMS = 10  # named of one file


@dataclass(frozen=True, slots=True)
class Rates:
    """What the file says."""

    rates: Mapping[tuple[str, Category], Decimal]
    """By market, as `market_key` has it, and category; where the file has `n/a` there is nothing."""
    names: Mapping[str, str]
    """How the file writes each market, by its key."""
    categories: frozenset[Category]
    """The columns that it has."""
    preamble: str
    """What stands before the header."""
    warnings: Sequence[str]
    """What was left out, or is worth a look."""


class _Columns(NamedTuple):
    """Where the columns are."""

    market: int
    currency: int
    of: Mapping[Category, int]


def read_rates(content: bytes, currency: str) -> Rates:
    """A rate card in a currency. Raises `FileRefused` with all that is wrong, by line; it quotes no cell but names."""
    rows = rows_of(content)
    at, columns, unknown = _header(rows)
    warnings = [f"The column “{name}” is unknown, and is left out." for name in unknown]
    rates: dict[tuple[str, Category], Decimal] = {}
    names: dict[str, str] = {}
    problems: list[str] = []
    for row in rows[at + 1 :]:
        if not any(row.cells):
            continue
        if not any(cell for n, cell in enumerate(row.cells) if n != columns.market):
            warnings.append(f"Line {row.line} is no market, and is left out.")
            continue
        name = " ".join(_cell(row, columns.market).replace("*", " ").split())
        market = market_key(name)
        if not name:
            problems.append(f"Line {row.line} has no market.")
            continue
        if any(row.cells[len(rows[at].cells) :]):
            problems.append(f"Line {row.line}: {name} has more cells than the header.")
            continue
        if len(row.cells) < len(rows[at].cells):
            problems.append(f"Line {row.line}: {name} has fewer cells than the header, as when a file is not whole.")
            continue
        if market in names:
            problems.append(f"Line {row.line}: {name} was there before.")
        names[market] = name
        if currency_of(_cell(row, columns.currency)) != currency:
            problems.append(f"Line {row.line}: {name} is not in {currency}.")
        for category, column in columns.of.items():
            try:
                amount = amount_of(_cell(row, column))
            except ValueError as wrong:
                problems.append(f"Line {row.line}: {category} of {name} {wrong}.")
                continue
            if amount is not None:
                rates[market, category] = amount
    if not rates and not problems:
        problems.append("There is no rate in it.")
    raise_problems(problems)
    strange = sorted(name for name in names.values() if market_named(name) is None)
    warnings += [f"No number is known to be in {name}: nothing will be charged at its rates." for name in strange]
    if market_key(OTHER) not in names:
        warnings.append("It has no row for all other countries (Other): their messages will have no rate.")
    preamble = " ".join(cell for row in rows[:at] for cell in row.cells if cell)
    return Rates(rates, names, frozenset(columns.of), preamble, warnings)


def raise_problems(problems: Sequence[str]) -> None:
    """Raises `FileRefused` if there are problems, with the first of them."""
    if problems:
        more = [f"… and {len(problems) - MOST_PROBLEMS} more."] if len(problems) > MOST_PROBLEMS else []
        raise FileRefused(*problems[:MOST_PROBLEMS], *more)


def _header(rows: Sequence[Row]) -> tuple[int, _Columns, Sequence[str]]:
    """Which row is the header, where the columns are, and which are unknown. Raises `FileRefused`."""
    for at, row in enumerate(rows):
        names = [heading(cell) for cell in row.cells]
        of: dict[Category, int] = {}
        markets, unknown = [n for n, name in enumerate(names) if name.split()[:1] == ["market"]], []
        for column, (name, cell) in enumerate(zip(names, row.cells, strict=True)):
            category = category_of(name)
            if category in of:
                raise FileRefused(f"Line {row.line} has the column “{name}” twice.")
            if category:
                of[category] = column
            elif name and name != "currency" and column not in markets[:1]:
                unknown.append(" ".join(cell.split())[:60])
        if markets and "currency" in names and of:
            return at, _Columns(markets[0], names.index("currency"), of), unknown
    raise FileRefused("There is no header with Market, Currency and a category, such as Marketing.")


def _cell(row: Row, column: int) -> str:
    return row.cells[column] if column < len(row.cells) else ""
