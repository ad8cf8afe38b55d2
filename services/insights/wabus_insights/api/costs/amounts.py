"""Amounts of money as the API tells them, each with how it is known."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from wabus_whatsapp.prices.message import Known

from wabus_insights.tables.costs.reading import Cost

Amount = Annotated[str, StringConstraints(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
"""An amount of money, as text: no reader rounds it."""
CurrencyCode = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
Recounting = Annotated[
    bool,
    Field(
        description="Whether some of these amounts are still to be counted anew, because something that they rest on "
        "became known late: they will be others in a while."
    ),
]


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


def cost_view(cost: Cost) -> dict[str, Any]:
    """A `CostView` of what was found."""
    last = cost.parts[-1]
    return {
        "key": cost.key,
        "currency": cost.currency or None,
        "volume": cost.volume,
        "amount": cost.amount,
        "known": last.known,
        "unpriced": last.volume if last.known == "unknown" else 0,
        "parts": [{"known": part.known, "volume": part.volume, "amount": part.amount} for part in cost.parts],
    }


def text_of(amount: Decimal | None) -> str | None:
    """An amount as text."""
    return None if amount is None else format(amount, "f")
