"""What the files that Meta publishes its prices in have in common: cells, currencies, numbers. Pure."""

import csv
import io
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from wabus_whatsapp.prices.card import CATEGORIES, Category

MOST_BYTES = 1_000_000
"""Meta's own files have less than a hundredth of it."""
DECIMALS = 6
"""Places after the point of an amount, as tables keep it."""

NONE = frozenset(("", "n/a", "na", "-", "--", "–", "—"))
"""What stands in a cell for no rate, or for no end."""

_ISO_OF = {
    "$US": "USD", "US$": "USD", "$": "USD", "A$": "AUD", "AU$": "AUD", "GBD": "GBP", "£": "GBP", "€": "EUR", "₹": "INR",
    "RP": "IDR", "R$": "BRL", "RM": "MYR", "S$": "SGD", "S/": "PEN", "MX$": "MXN",
}  # fmt: skip
"""What Meta's files write for a currency, one of them a slip of theirs."""
_SYMBOLS = re.compile(r"^(?:[A-Z]{0,3}[$£€₹]|R\$|RP|RM|S/|[A-Z]{3})\s*", re.IGNORECASE)
_OTHER_SEPARATOR = re.compile(r"""currency["']?[ ]*[;\t]""", re.IGNORECASE)
_NUMBER = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?|\.[0-9]+")


class Row(NamedTuple):
    """A row of a file, and the line that it ends on."""

    line: int
    cells: Sequence[str]


class FileRefused(Exception):
    """A file that prices can't be read from. `problems` say what is wrong, in which line."""

    def __init__(self, *problems: str) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def rows_of(content: bytes) -> list[Row]:
    """The rows of a CSV file, their cells without space around them. Raises `FileRefused`."""
    if len(content) > MOST_BYTES:
        raise FileRefused(f"The file has more than {MOST_BYTES:,} bytes.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileRefused(f"The file is not UTF-8: see byte {error.start}.") from None
    if found := _OTHER_SEPARATOR.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise FileRefused(
            f"Line {line}: no commas stand between the cells, as when a spreadsheet has saved the file anew. It may "
            "have written amounts in another way too: import the file as Meta publishes it."
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [Row(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise FileRefused(f"The file is no CSV: {error}, in line {reader.line_num}.") from None


def heading(cell: str) -> str:
    """A heading as headings are compared: a line may be broken in the middle of one.

    >>> heading("Authentication-\\nInternational"), heading(" Market\\n(per rate card)")
    ('authentication international', 'market per rate card')
    """
    return " ".join(re.split(r"[^0-9a-z]+", cell.casefold())).strip()


def category_of(name: str) -> Category | None:
    """The category that a heading names."""
    found = heading(name).replace(" ", "_")
    if found in ("auth_intl", "auth_international", "authentication_intl"):
        return "authentication_international"
    return next((category for category in CATEGORIES if category == found), None)


def currency_of(cell: str) -> str | None:
    """The currency that a cell names (ISO 4217); None where it names none.

    >>> currency_of("$US"), currency_of("eur"), currency_of("Euro")
    ('USD', 'EUR', None)
    """
    found = _ISO_OF.get(cell.upper(), cell.upper())
    return found if re.fullmatch("[A-Z]{3}", found) else None


def amount_of(cell: str) -> Decimal | None:
    """The amount in a cell, None where it says that there is none. Raises ValueError with what is wrong.

    >>> amount_of("0.0456"), amount_of("$1,940.13"), amount_of("n/a")
    (Decimal('0.0456'), Decimal('1940.13'), None)
    """
    if cell.casefold() in NONE:
        return None
    digits = _SYMBOLS.sub("", cell)
    if not _NUMBER.fullmatch(digits):
        raise ValueError("is no amount")
    try:
        found = Decimal(digits.replace(",", ""))
    except InvalidOperation:
        raise ValueError("is no amount") from None
    if found != round(found, DECIMALS):
        raise ValueError(f"has more than {DECIMALS} places after the point")
    if found >= Decimal(10) ** 9:
        raise ValueError("is more than any message costs")
    return found


def whole_number_of(cell: str) -> int | None:
    """The number in a cell, None where it says that there is none, or no end. Raises ValueError with what is wrong."""
    if cell.casefold() in NONE or cell.casefold() == "max":
        return None
    digits = cell.replace(",", "").removesuffix("+")
    if not re.fullmatch("[0-9]{1,12}", digits):
        raise ValueError("is no whole number")
    return int(digits)
