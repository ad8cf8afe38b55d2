"""Values that the commands are given: a currency, a day, a file."""

from datetime import date
from pathlib import Path
from typing import Any

import click
from wabus_whatsapp.prices.reading import currency_of

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Currency(click.ParamType[str]):
    """The code of a currency, or the sign by which Meta's files name it."""

    name = "currency"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return currency_of(str(value)) or self.fail(f"{value!r} is no code of a currency, such as EUR", param, ctx)


class Day(click.ParamType[date]):
    """A day as in 2026-10-01."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            return self.fail(f"{value!r} is no day like 2026-10-01", param, ctx)
