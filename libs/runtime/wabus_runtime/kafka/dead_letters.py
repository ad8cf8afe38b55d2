"""Dead letters: a record that can't be handled is kept as it was, with its origin and the reason, and the rest goes on.

A record that its topic refuses is kept in the same way by who would have published it.

Of each organisation only so much is kept (`dead_letter_limits`); what is more of one is skipped, for it is in its topic
still. Where many organisations have bad records the consumer is stopped instead: it is wrong, and not they. The limits
count for the life of the process, so a consumer that starts again has no new allowance.

A letter is larger than its record by what it says about it. Where that is more than Kafka takes, it says only where the
record is: what has no letter would come again for ever.
"""

import asyncio
import hashlib
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from aiokafka import ConsumerRecord
from prometheus_client import Counter
from wabus_events import DEADLETTER, Record
from wabus_events.kafka import LEFT_OUT, SMALL_HEADER, with_values
from wabus_events.subscriber.policy import TooManyDeadLetters, dead_letter_notes

from wabus_runtime.kafka.dead_letter_limits import NOBODY, Admission, DeadLetterLimits
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.record_sizes import fits
from wabus_runtime.settings import KafkaSettings

KEPT = ("ce_id", "ce_type")  # headers by which such a letter still tells which event it is about

LOGGED_AGAIN = 60.0  # seconds between two lines about one organisation's records that are skipped
LOGGED_MOST = 1_000  # organisations whose last line is remembered

DEAD = Counter("wabus_dead_letters_total", "Records set aside.", ["consumer", "reason"])
SKIPPED = Counter(
    "wabus_records_skipped_total",
    "Records that could not be handled and were not set aside, for there are enough of their organisation's.",
    ["consumer"],
)

log = structlog.get_logger()


class DeadLetterRefused(Exception):
    """Kafka refuses a record for good, and its dead letter too: it can be kept nowhere."""


class TooManyOfOne(TooManyDeadLetters):
    """There are enough dead letters of one organisation; others' are still kept."""


_limits: dict[tuple[str, str], DeadLetterLimits] = {}
"""By topic prefix and consumer."""


class DeadLetters:
    """One consumer's way to the dead-letter topic. Connects when it is first needed."""

    def __init__(self, settings: KafkaSettings, consumer: str, limited_as: str | None = None) -> None:
        """`limited_as` gives limits of its own to what sets aside for other reasons than the consumer of this name."""
        self._publisher = Publisher(settings, f"/wabus/{consumer}")
        self._consumer = consumer
        self._started = False
        self._starting = asyncio.Lock()
        self._limits = _limits.setdefault(
            (settings.topic_prefix, limited_as or consumer),
            DeadLetterLimits(settings.dead_letters_allowed, settings.dead_letters_max_share),
        )
        self._logged: dict[str, float] = {}

    async def close(self) -> None:
        if self._started:
            await self._publisher.stop()

    def handled(self, organisations: Iterable[str | None]) -> None:
        """Records of these organisations were handled: the share of dead letters is of all that were read."""
        self._limits.handled(organisations, time.monotonic())

    async def put(self, record: ConsumerRecord[Any, Any], topic: str, error: Exception) -> None:
        """Set a record aside as it was consumed; `topic` has no prefix. Returns once Kafka has it.

        It is skipped where there are enough of its organisation's. Raises `TooManyDeadLetters`, `KafkaUnavailable`.
        """
        partition, offset = record.partition, record.offset
        reason, whose = type(error).__name__, organisation_of(with_values(record.headers))
        place = {"topic": topic, "partition": partition, "offset": offset}
        if not self._admits(whose, reason, place):
            SKIPPED.labels(self._consumer).inc()
            self._log_skipped(whose, reason, place)
            return
        self._note(reason, place)
        stack = "".join(traceback.format_tb(error.__traceback__))
        digest = hashlib.sha256(stack.encode()).hexdigest()[:16]
        notes = dead_letter_notes(self._consumer, topic, reason, partition=partition, offset=offset, stack=digest)
        await self._publish(_letter(record, notes))

    async def keep(self, record: Record, reason: str, **place: int) -> None:
        """Set a record aside, whole, for it may be nowhere else; `place` is its partition and offset, if it has one.

        Raises `DeadLetterRefused`, `TooManyOfOne`, `TooManyDeadLetters`, `KafkaUnavailable`.
        """
        whose, at = organisation_of(record.headers), {"topic": record.topic, **place}
        if not self._admits(whose, reason, at):
            raise TooManyOfOne(f"{self._consumer}: enough of one organisation's, the next would be of {at}")
        self._note(reason, at)
        headers = [*record.headers, *dead_letter_notes(self._consumer, record.topic, reason, **place)]
        try:
            await self._publish(replace(record, topic=DEADLETTER.name, headers=headers))
        except RecordRefused as refused:
            raise DeadLetterRefused(f"{record.topic}: {reason}; {refused}") from refused

    def _admits(self, whose: str, reason: str, place: Mapping[str, Any]) -> bool:
        admission = self._limits.admit(whose, time.monotonic())
        if admission is Admission.STOP:
            at = " ".join(f"{name} {value}" for name, value in place.items())
            raise TooManyDeadLetters(f"{self._consumer}: of more organisations than plausible, {reason} at {at}")
        return admission is Admission.ASIDE

    def _note(self, reason: str, place: Mapping[str, Any]) -> None:
        DEAD.labels(self._consumer, reason).inc()
        log.error("a record was set aside", action="dead_letter", consumer=self._consumer, **place, reason=reason)

    def _log_skipped(self, whose: str, reason: str, place: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._logged.get(whose, -LOGGED_AGAIN) < LOGGED_AGAIN:
            return
        if len(self._logged) >= LOGGED_MOST:
            self._logged.clear()
        self._logged[whose] = now
        about = {"consumer": self._consumer, "org_id": whose or None, "reason": reason}
        log.error("records of an organisation are skipped", action="record_skipped", **about, **place)

    async def _publish(self, letter: Record) -> None:
        async with self._starting:
            if not self._started:
                await self._publisher.start()
                self._started = True
        await self._publisher.publish_records([letter])


def organisation_of(headers: Iterable[tuple[str, bytes]]) -> str:
    """Whose a record is, as its envelope says; `NOBODY` where it does not."""
    return dict(headers).get("ce_orgid", b"").decode(errors="replace") or NOBODY


def _letter(record: ConsumerRecord[Any, Any], notes: Sequence[tuple[str, bytes]]) -> Record:
    headers = [*with_values(record.headers), *notes]
    if fits(record.key, record.value, headers):
        return Record(DEADLETTER.name, record.key or b"", record.value, headers)
    size = len(record.key or b"") + len(record.value or b"")
    kept = [(name, content) for name, content in headers if name in KEPT and len(content) <= SMALL_HEADER]
    return Record(DEADLETTER.name, b"", None, [*kept, *notes, (LEFT_OUT, str(size).encode())])
