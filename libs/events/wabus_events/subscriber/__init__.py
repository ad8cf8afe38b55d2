"""Subscribing to events: a loop over them, what happens when handling fails, and where records come from."""

from wabus_events.subscriber.loop import (
    DeadLetters,
    KafkaAway,
    NewerVersion,
    NoSuchTopic,
    Options,
    RecentIds,
    Retry,
    Seen,
    Subscription,
    TooManyDeadLetters,
    run,
    stop_on_signals,
    subscribe,
)

__all__ = [
    "DeadLetters", "KafkaAway", "NewerVersion", "NoSuchTopic", "Options", "RecentIds", "Retry", "Seen",
    "Subscription", "TooManyDeadLetters", "run", "stop_on_signals", "subscribe",
]  # fmt: skip
