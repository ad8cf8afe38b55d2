"""All rate cards and price rules that were published: which of them hold on a day. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal

from wabus_whatsapp.prices.card import Band, Bands, Column, RateCard
from wabus_whatsapp.prices.markets import market_of
from wabus_whatsapp.prices.rules import BUILT_IN, PriceRules, rules_on


class PriceBook:
    """Which card and which rules hold when. What it was made of does not change."""

    def __init__(self, cards: Iterable[RateCard] = (), rules: Iterable[PriceRules] = ()) -> None:
        self._cards: dict[str, list[RateCard]] = {}
        for card in sorted(cards, key=lambda each: each.effective):
            if card.rates:  # a card without rates was withdrawn
                self._cards.setdefault(card.currency, []).append(card)
        published = {each.effective: each for each in (*BUILT_IN, *rules)}
        self._rules = tuple(sorted(published.values(), key=lambda each: each.effective))

    @property
    def rules(self) -> Sequence[PriceRules]:
        """All rules, the oldest first."""
        return self._rules

    def cards(self, currency: str) -> Sequence[RateCard]:
        """The cards of a currency, the oldest first."""
        return self._cards.get(currency, ())

    @property
    def currencies(self) -> Sequence[str]:
        """The currencies that there are cards of."""
        return sorted(self._cards)

    def card(self, currency: str | None, day: date) -> RateCard | None:
        """The card that holds on a day; None before the first one, and where there is none of the currency."""
        cards = self._cards.get(currency or "", [])
        place = bisect_right(cards, day, key=lambda card: card.effective)
        return cards[place - 1] if place else None

    def rules_on(self, day: date) -> PriceRules:
        """The rules that hold on a day of the account's."""
        return rules_on(day, self._rules)

    def market(self, country: str, currency: str | None, day: date) -> str:
        """The market that messages to a country are charged in on a day."""
        card = self.card(currency, day)
        return market_of(country, day, card.markets if card else ())

    def bands(self, currency: str | None, market: str, column: Column, day: date) -> Bands:
        """What messages of a kind cost on a day, by how many were charged in the month; empty where there is no rate.

        A service message costs what the rules say where the card has no rate for it.
        """
        card = self.card(currency, day)
        if card is None:
            return ()
        found = card.bands(market, column.category)
        if not found and column.category == "service":
            rules = self.rules_on(day)
            found = card.bands(market, rules.service_rate_of)[:1] if rules.service_charged else ()
        return found if column.has_tiers else found[:1]

    def rate(self, currency: str | None, market: str, column: Column, day: date, band: int = 0) -> Decimal | None:
        """What one message in this band of the month costs; None where there is no rate."""
        found = self.bands(currency, market, column, day)
        return found[min(band, len(found) - 1)].amount if found else None


def bands_from(pairs: Iterable[tuple[int, Decimal]]) -> Bands:
    """Bands in their order."""
    return tuple(sorted(Band(first, amount) for first, amount in pairs))
