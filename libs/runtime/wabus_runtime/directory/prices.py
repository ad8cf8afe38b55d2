"""What Meta charges, read from the topic of prices and followed."""

from collections.abc import Callable
from datetime import date
from typing import Any

from aiokafka import ConsumerRecord
from wabus_events import PRICES, PriceRulesPublished, RateCardPublished
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.published import card_of, rules_of

from wabus_runtime.kafka.replica import Replica, event_of
from wabus_runtime.settings import KafkaSettings


class Prices:
    """The rate cards and rules that were published; as complete as the topic was when it was last read."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._cards: dict[tuple[str, date], RateCardPublished] = {}
        self._rules: dict[date, PriceRulesPublished] = {}
        self._book: PriceBook | None = None
        self._replica = Replica(settings, PRICES, self._take)

    @property
    def book(self) -> PriceBook:
        """All that is published."""
        if self._book is None:
            self._book = PriceBook(
                (
                    card_of(card.currency, card.effective, (rate.model_dump(mode="json") for rate in card.rates))
                    for card in self._cards.values()
                ),
                (rules_of(rules.model_dump(mode="json")) for rules in self._rules.values()),
            )
        return self._book

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the topic for ever; `ready` is called once everything that was there at the start is in."""
        await self._replica.run(ready)

    def _take(self, record: ConsumerRecord[Any, Any]) -> None:
        event = event_of(record, "a price", "price_unreadable") if record.value is not None else None
        match event:
            case RateCardPublished():
                self._cards[event.currency, event.effective] = event
            case PriceRulesPublished():
                self._rules[event.effective] = event
            case _:
                return
        self._book = None
