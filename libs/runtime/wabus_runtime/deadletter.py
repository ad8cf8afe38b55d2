"""Dead letters: a record that can't be handled is kept as it was, with its origin and the reason, and the rest goes on.

A limit stops the consumer instead when too much of what it reads would end here: a bad deploy must not drain a
topic into the dead letters (arroyo's `DlqLimit` has the same reason).
"""

import hashlib
import time
import traceback
from collections import deque
from typing import Any

import structlog
from prometheus_client import Counter
from wabus_events import DEADLETTER, Event, Record, encode

from wabus_runtime.publisher import Publisher
from wabus_runtime.settings import KafkaSettings

WINDOW_SECONDS = 600
MOST_IN_WINDOW = 100

DEAD = Counter("wabus_dead_letters_total", "Records set aside.", ["consumer", "reason"])

log = structlog.get_logger()


class TooManyDeadLetters(Exception):
    """More records than plausible could not be handled: look at the consumer, not at the records."""


class DeadLetters:
    """One consumer's way to the dead-letter topic. Connects when it is first needed."""

    def __init__(self, settings: KafkaSettings, consumer: str) -> None:
        self._publisher = Publisher(settings, f"/wabus/{consumer}")
        self._consumer = consumer
        self._started = False
        self._times: deque[float] = deque()

    async def close(self) -> None:
        if self._started:
            await self._publisher.stop()

    async def put(self, record: Any, topic: str, error: Exception) -> None:
        """Set a consumed record aside; returns once Kafka has it. Raises `TooManyDeadLetters`, `KafkaUnavailable`."""
        await self._put(
            record.key or b"", record.value, list(record.headers), (topic, record.partition, record.offset), error
        )

    async def put_event(self, event: Event, origin: tuple[str, int, int], error: Exception) -> None:
        """The same for a record that was decoded already."""
        record = encode(event, event.source)
        await self._put(record.key, record.value, record.headers, origin, error)

    async def _put(
        self,
        key: bytes,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
        origin: tuple[str, int, int],
        error: Exception,
    ) -> None:
        topic, partition, offset = origin
        reason = type(error).__name__
        self._count(reason)
        log.error(
            "a record was set aside",
            action="dead_letter",
            consumer=self._consumer,
            topic=topic,
            partition=partition,
            offset=offset,
            reason=reason,
        )
        stack = "".join(traceback.format_tb(error.__traceback__))
        about = {
            "wabus_dead_consumer": self._consumer,
            "wabus_dead_topic": topic,
            "wabus_dead_partition": str(partition),
            "wabus_dead_offset": str(offset),
            "wabus_dead_reason": reason,
            "wabus_dead_stack": hashlib.sha256(stack.encode()).hexdigest()[:16],
        }
        if not self._started:
            await self._publisher.start()
            self._started = True
        letter = Record(DEADLETTER.name, key, value, headers + [(name, text.encode()) for name, text in about.items()])
        await self._publisher.publish_records([letter])

    def _count(self, reason: str) -> None:
        now = time.monotonic()
        self._times.append(now)
        while self._times[0] < now - WINDOW_SECONDS:
            self._times.popleft()
        DEAD.labels(self._consumer, reason).inc()
        if len(self._times) > MOST_IN_WINDOW:
            raise TooManyDeadLetters(
                f"{self._consumer}: more than {MOST_IN_WINDOW} dead letters in {WINDOW_SECONDS // 60} minutes"
            )
