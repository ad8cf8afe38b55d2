"""Which prices change when, of what somebody sends. Pure."""

from collections.abc import Iterable
from datetime import date, timedelta

from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import column_of

from wabus_insights.costs.forecast import PriceChange, Spent


def price_changes(
    book: PriceBook, currency: str, spent: Iterable[Spent], since: date, until: date
) -> list[PriceChange]:
    """The changes after `since`, and until the end of a day, for all that was sent: by card, or by rule.

    The price of the first band stands for all of them: where tiers are reached they are cheaper in proportion.
    """
    days = {card.effective for card in book.cards(currency)} | {rules.effective for rules in book.rules}
    found: list[PriceChange] = []
    for market, category in sorted({(row.market, row.category) for row in spent}):
        column = column_of(category)
        if column is None:
            continue
        for day in sorted(day for day in days if since < day <= until):
            before = book.rate(currency, market, column, day - timedelta(days=1))
            after = book.rate(currency, market, column, day)
            if after is not None and after != before:
                found.append(PriceChange(market, category, day, before, after))
    return found
