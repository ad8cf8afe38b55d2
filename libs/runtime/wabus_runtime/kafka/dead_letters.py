"""Dead letters: a record that can't be handled is kept as it was, with its origin and the reason, and the rest goes on.

A record that its topic refuses is kept in the same way by who would have published it.

A limit stops the consumer instead when too much of what it reads would end here: a bad deploy must not drain a
topic into the dead letters (arroyo's `DlqLimit` has the same reason). It counts for the life of the process, so a
consumer that starts again has no new allowance.

A letter is larger than its record by what it says about it. Where that is more than Kafka takes, it says only where the
record is: what has no letter would come again for ever.
"""

import asyncio
import hashlib
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog
from aiokafka import ConsumerRecord
from prometheus_client import Counter
from wabus_events import DEADLETTER, Record
from wabus_events.kafka import LEFT_OUT, SMALL_HEADER, with_values
from wabus_events.subscriber.policy import DeadLetterLimit, TooManyDeadLetters, dead_letter_notes

from wabus_runtime.kafka.partition_buffer import fits
from wabus_runtime.kafka.publisher import Publisher, RecordRefused
from wabus_runtime.settings import KafkaSettings

KEPT = ("ce_id", "ce_type")  # headers by which such a letter still tells which event it is about

DEAD = Counter("wabus_dead_letters_total", "Records set aside.", ["consumer", "reason"])

log = structlog.get_logger()


class DeadLetterRefused(Exception):
    """Kafka refuses a record for good, and its dead letter too: it can be kept nowhere."""


_limits: dict[tuple[str, str], DeadLetterLimit] = {}
"""By topic prefix and consumer."""


class DeadLetters:
    """One consumer's way to the dead-letter topic. Connects when it is first needed."""

    def __init__(self, settings: KafkaSettings, consumer: str) -> None:
        self._publisher = Publisher(settings, f"/wabus/{consumer}")
        self._consumer = consumer
        self._started = False
        self._starting = asyncio.Lock()
        self._limit = _limits.setdefault(
            (settings.topic_prefix, consumer),
            DeadLetterLimit(settings.dead_letters_allowed, settings.dead_letters_max_share),
        )

    async def close(self) -> None:
        if self._started:
            await self._publisher.stop()

    def handled(self, count: int) -> None:
        """So many records were handled as they should be: the share of dead letters is of all that were read."""
        self._limit.handled(count, time.monotonic())

    async def put(self, record: ConsumerRecord[Any, Any], topic: str, error: Exception) -> None:
        """Set a record aside as it was consumed; `topic` has no prefix. Returns once Kafka has it.

        Raises `TooManyDeadLetters`, `KafkaUnavailable`.
        """
        partition, offset = record.partition, record.offset
        reason = type(error).__name__
        self._admit(reason, topic=topic, partition=partition, offset=offset)
        stack = "".join(traceback.format_tb(error.__traceback__))
        digest = hashlib.sha256(stack.encode()).hexdigest()[:16]
        notes = dead_letter_notes(self._consumer, topic, reason, partition=partition, offset=offset, stack=digest)
        await self._publish(_letter(record, notes))

    async def put_refused(self, record: Record, reason: str) -> None:
        """Set a record aside that its topic refuses for good, whole, for it is nowhere else.

        Raises `DeadLetterRefused`, `TooManyDeadLetters`, `KafkaUnavailable`.
        """
        self._admit(reason, topic=record.topic)
        headers = [*record.headers, *dead_letter_notes(self._consumer, record.topic, reason)]
        try:
            await self._publish(replace(record, topic=DEADLETTER.name, headers=headers))
        except RecordRefused as refused:
            raise DeadLetterRefused(f"{record.topic}: {reason}; {refused}") from refused

    def _admit(self, reason: str, **place: Any) -> None:
        if not self._limit.admits(time.monotonic()):
            at = " ".join(f"{name} {value}" for name, value in place.items())
            raise TooManyDeadLetters(f"{self._consumer}: more than plausible, the next would be of {at}")
        DEAD.labels(self._consumer, reason).inc()
        log.error("a record was set aside", action="dead_letter", consumer=self._consumer, **place, reason=reason)

    async def _publish(self, letter: Record) -> None:
        async with self._starting:
            if not self._started:
                await self._publisher.start()
                self._started = True
        await self._publisher.publish_records([letter])


def _letter(record: ConsumerRecord[Any, Any], notes: Sequence[tuple[str, bytes]]) -> Record:
    headers = [*with_values(record.headers), *notes]
    if fits(record.key, record.value, headers):
        return Record(DEADLETTER.name, record.key or b"", record.value, headers)
    size = len(record.key or b"") + len(record.value or b"")
    kept = [(name, content) for name, content in headers if name in KEPT and len(content) <= SMALL_HEADER]
    return Record(DEADLETTER.name, b"", None, [*kept, *notes, (LEFT_OUT, str(size).encode())])
