"""Amounts of money as the API tells them, each with how it is known."""

from decimal import Decimal
from typing import Annotated, Any

import asyncpg
from pydantic import BaseModel, Field, StringConstraints
from wabus_whatsapp.prices.message import Known

Amount = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
"""An amount of money, as text: no reader rounds it."""
CurrencyCode = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
_LEAST_SURE = ("unknown", "estimated", "rated", "reported", "free")


class PartView(BaseModel):
    """Messages whose price is known in the same way."""

    known: Known
    volume: int
    amount: Amount | None = Field(description="Null where it is not known, which is never nothing.")


class CostView(BaseModel):
    """What messages cost together."""

    key: str = Field(description="A day, a category, a market, …: empty for what has none.")
    currency: CurrencyCode | None = Field(description="Null where the account's is not known.")
    volume: int = Field(description="Messages delivered, free ones too.")
    amount: Amount | None = Field(description="Of those whose price is known; null where none is.")
    known: Known = Field(description="How the least sure part of it is known.")
    unpriced: int = Field(description="Messages whose price is not known, which are not in `amount`.")
    parts: list[PartView]


def cost_view(row: asyncpg.Record) -> dict[str, Any]:
    """A `CostView` of a row of costs, which has amounts as text."""
    parts = [
        {
            "known": known,
            "volume": row[known],
            "amount": row[f"{known}_amount"] if known != "unknown" else None,
        }
        for known in reversed(_LEAST_SURE)
        if row[known]
    ]
    return {
        "key": row["key"],
        "currency": row["currency"] or None,
        "volume": row["volume"],
        "amount": row["amount"],
        "known": next(known for known in _LEAST_SURE if row[known]),
        "unpriced": row["unknown"],
        "parts": parts,
    }


def text_of(amount: Decimal | None) -> str | None:
    """An amount as text."""
    return None if amount is None else format(amount, "f")
