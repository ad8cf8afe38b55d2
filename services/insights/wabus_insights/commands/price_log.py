"""The prices that the log has, and how another is put into it: for the commands, which have no database."""

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord
from wabus_events import PRICES, Event, PriceRulesPublished, RateCardPublished
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.replica import Replica, event_of, following
from wabus_runtime.settings import KafkaSettings

SOURCE = "/wabus/cli"


class Published(NamedTuple):
    """What was published last of each card and of each day's rules, withdrawn cards too."""

    cards: dict[tuple[str, date], RateCardPublished]
    """By currency and the day from which they hold."""
    rules: dict[date, PriceRulesPublished]


async def published(settings: KafkaSettings) -> Published:
    """All that the log has now. Raises `KafkaUnavailable`."""
    await ensure_topics(settings)
    found = Published({}, {})

    def take(record: ConsumerRecord[Any, Any]) -> None:
        match event_of(record, "a price", "price_unreadable") if record.value is not None else None:
            case RateCardPublished() as card:
                found.cards[card.currency, card.effective] = card
            case PriceRulesPublished() as rules:
                found.rules[rules.effective] = rules
            case _:
                pass

    async with following(Replica(settings, PRICES, take).run):
        return found


async def publish(settings: KafkaSettings, events: Sequence[Event]) -> None:
    """Put them into the log; returns when Kafka has them."""
    publisher = Publisher(settings, SOURCE)
    await publisher.start()
    try:
        await publisher.publish(events)
    finally:
        await publisher.stop()
