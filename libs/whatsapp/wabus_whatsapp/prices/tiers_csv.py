"""Meta's volume tiers as the CSV file that it publishes: for each category five columns side by side. Pure.

Source: Meta, "Pricing on the WhatsApp Business Platform", rate cards and volume tiers, the column "Volume tiers (CSV)".
Above the header stands over each group of columns From, To, Rate type, Rate, vs. List rate which category it is of; a
market's name stands in the first of its rows only. A file with a column Category in their place is read too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wabus_whatsapp.prices.card import TIERED, Band, Bands, Category
from wabus_whatsapp.prices.markets import market_key
from wabus_whatsapp.prices.rates_csv import raise_problems
from wabus_whatsapp.prices.reading import (
    FileRefused,
    Row,
    amount_of,
    category_of,
    currency_of,
    heading,
    rows_of,
    whole_number_of,
)


@dataclass(frozen=True, slots=True)
class _Group:
    """The columns of one category, or of the one that each row names."""

    category: Category | int
    """Which, or in which column it stands."""
    first: int
    last: int
    amount: int


def read_tiers(content: bytes, currency: str) -> Mapping[tuple[str, Category], Bands]:
    """Volume tiers in a currency, by market, as `market_key` has it, and category. Raises `FileRefused`."""
    rows = rows_of(content)
    at, market_column, currency_column, groups = _header(rows)
    bands: dict[tuple[str, Category], list[tuple[int, int | None, Band]]] = {}
    problems: list[str] = []
    name = ""
    for row in rows[at + 1 :]:
        if not any(row.cells):
            continue
        name = " ".join(_cell(row, market_column).replace("*", " ").split()) or name
        if not any(_cell(row, group.first) for group in groups):
            continue  # a note below the table
        if not name:
            problems.append(f"Line {row.line} has no market.")
            continue
        told = _cell(row, currency_column)
        if told and currency_of(told) != currency:
            problems.append(f"Line {row.line}: {name} is not in {currency}.")
        for group in groups:
            category = _category(row, group)
            if category is None:
                problems.append(f"Line {row.line}: {name} has tiers of no category that has any.")
                continue
            try:
                first, last = whole_number_of(_cell(row, group.first)), whole_number_of(_cell(row, group.last))
                amount = amount_of(_cell(row, group.amount))
            except ValueError as wrong:
                problems.append(f"Line {row.line}: a cell of {category} of {name} {wrong}.")
                continue
            if first is None and amount is None:
                continue
            if first is None or amount is None:
                problems.append(f"Line {row.line}: {category} of {name} has a rate or a beginning alone.")
                continue
            found = bands.setdefault((market_key(name), category), [])
            found.append((row.line, last, Band(max(first, 1), amount)))
    for (market, category), found in bands.items():
        problems += _gaps(f"{category} of {market}", found)
    if not bands and not problems:
        problems.append("There is no tier in it.")
    raise_problems(problems)
    return {key: tuple(band for _, _, band in found) for key, found in bands.items()}


def _gaps(what: str, bands: Sequence[tuple[int, int | None, Band]]) -> list[str]:
    """What is wrong with the order of tiers: each begins where the one before it ends, and only the last has no end."""
    wrong: list[str] = []
    expected: int | None = 1
    for line, last, band in bands:
        if band.first != expected:
            wrong.append(f"Line {line}: {what} does not begin where the tier before it ends.")
            break
        expected = None if last is None else last + 1
    return wrong


def _header(rows: Sequence[Row]) -> tuple[int, int, int, Sequence[_Group]]:
    """Where the header is, and its columns. Raises `FileRefused`."""
    for at, row in enumerate(rows):
        names = [heading(cell) for cell in row.cells]
        begins = [column for column, name in enumerate(names) if name == "from"]
        if "currency" not in names[1:] or not begins:
            continue
        market = _market_column(rows[: at + 1], names.index("currency", 1))
        groups: list[_Group] = []
        for begin, following in zip(begins, [*begins[1:], len(names)], strict=True):
            category = names.index("category") if "category" in names else _named_above(rows[:at], begin)
            inside = dict(zip(names[begin:following], range(begin, following), strict=False))
            if category is None or (isinstance(category, str) and category not in TIERED):
                raise FileRefused(f"What the columns {begin + 1} to {following} are of is no category with tiers.")
            if "to" not in inside or "rate" not in inside:
                raise FileRefused(f"There are not all of the columns From, To and Rate in line {row.line}.")
            groups.append(_Group(category, begin, inside["to"], inside["rate"]))
        return at, market, names.index("currency", 1), groups
    raise FileRefused("There is no header with Market, Currency, From, To and Rate.")


def _market_column(rows: Sequence[Row], currency: int) -> int:
    """Where markets stand: under their heading, which may be some rows above the others, else before the currency."""
    for row in reversed(rows):
        for column, cell in enumerate(row.cells):
            if heading(cell).split()[:1] == ["market"]:
                return column
    return currency - 1


def _category(row: Row, group: _Group) -> Category | None:
    """Which category the tiers in a row are of; None for one without tiers."""
    if isinstance(group.category, str):
        return group.category
    found = category_of(_cell(row, group.category))
    return found if found in TIERED else None


def _named_above(rows: Sequence[Row], column: int) -> Category | None:
    """The category over a column: the nearest that stands above it or, as a heading over several, left of it."""
    for row in reversed(rows):
        for cell in reversed(row.cells[: column + 1]):
            if found := category_of(cell):
                return found
    return None


def _cell(row: Row, column: int) -> str:
    return row.cells[column] if column < len(row.cells) else ""
