"""Records of events for people: chosen by their headers, read from a time on, put into words, exported, imported."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from wabus_events import (
    CONVERSATIONS,
    DEADLETTER,
    MESSAGES,
    PRIVATE_TOPICS,
    SENDS,
    TOPICS,
    Record,
    Topic,
    UndecodableRecord,
    decode,
)
from wabus_events.kafka import with_values
from wabus_events.wire.plain_names import plain_names
from wabus_runtime.kafka.clients import KafkaUnavailable, close_broken, new_consumer, poll, topic_name
from wabus_runtime.settings import KafkaSettings

PUBLIC = tuple(topic for topic in TOPICS if topic not in PRIVATE_TOPICS and topic != DEADLETTER)
"""The topics that these tools know. Credentials and dead letters are not among them, whatever is asked."""

PERSONAL = frozenset(
    {"value", "body", "contact", "wamid", "to", "recipient", "message", "metadata", "wa_id", "contacts", "text"}
)
ABOUT_PEOPLE = (MESSAGES, SENDS, CONVERSATIONS)
"""The topics that hold what people write, or is written to them, and which of their fields say so.

A wamid has the customer's number in it (base64).
"""

NAMING = ("name", "language", "status", "code", "display_phone_number")
"""What tells one part of an event, such as a template or a reason, from another."""

START_TIMEOUT = 20.0  # seconds for Kafka to answer
POLL_MS = 300
QUIET_MOST = 60.0  # seconds of waiting for what Kafka is known to have


@dataclass(frozen=True, slots=True)
class Found:
    """A record with its place. `topic` has no prefix."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"

    def header(self, name: str) -> str | None:
        """A header's text, or None where the record lacks it."""
        value = dict(self.headers).get(name)
        return None if value is None else value.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records. Empty means any; an event about no WABA has none to ask for."""

    types: tuple[str, ...] = ()
    org: str | None = None
    waba: str | None = None
    event_id: str | None = None

    def __contains__(self, found: Found) -> bool:
        return (
            (not self.types or found.header("ce_type") in self.types)
            and self.org in (None, found.header("ce_orgid"))
            and self.waba in (None, found.header("ce_subject"))
            and self.event_id in (None, found.header("ce_id"))
        )


async def read(
    settings: KafkaSettings,
    topics: Sequence[Topic],
    *,
    since: datetime | None,
    until: datetime | None = None,
    follow: bool = False,
    at: tuple[int, int] | None = None,
) -> AsyncGenerator[Found, None]:
    """Committed records: since a time (None: only new ones), until another or the end; `follow` goes on with new ones.

    What is there at the start comes in the order it was logged, over all topics; what follows, as it comes. `at` is
    the partition and offset of the only record to read. Raises `KafkaUnavailable` where Kafka does not answer at
    first, or a topic is not there.
    """
    consumer = new_consumer(settings, fetch_max_wait_ms=100)
    try:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await consumer.start()
                ends = await _assign(consumer, settings, topics, since, at)
        except (KafkaError, TimeoutError, OSError) as error:
            where = settings.kafka_bootstrap_servers
            raise KafkaUnavailable(f"Kafka at {where} could not be read: {type(error).__name__}") from error
        until_ms = None if until is None else until.timestamp() * 1000
        async for record in history(consumer, ends):
            if (until_ms is None or record.timestamp < until_ms) and (found := _found(settings, record)):
                yield found
        while follow:
            fetched = await poll(consumer, timeout_ms=POLL_MS)
            for batch in fetched.values():
                for record in batch:
                    if found := _found(settings, record):
                        yield found
    finally:
        await close_broken(consumer.stop())


async def _assign(
    consumer: AIOKafkaConsumer,
    settings: KafkaSettings,
    topics: Sequence[Topic],
    since: datetime | None,
    at: tuple[int, int] | None,
) -> dict[TopicPartition, int]:
    """Take all partitions, seek to where to begin, and return where they end now."""
    there = await consumer.topics()
    if missing := [name for topic in topics if (name := topic_name(settings, topic)) not in there]:
        raise KafkaUnavailable(f"there is no topic {missing[0]} (TOPIC_PREFIX is {settings.topic_prefix!r})")
    numbers = [(topic, number) for topic in topics for number in range(topic.partitions) if not at or number == at[0]]
    places = [TopicPartition(topic_name(settings, topic), number) for topic, number in numbers]
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    if at is not None:
        ends = {place: at[1] + 1 for place, end in ends.items() if at[1] < end}
        for place in places:
            consumer.seek(place, at[1])
        return ends
    starts: dict[TopicPartition, Any] = {}
    if since is not None:
        starts = await consumer.offsets_for_times(dict.fromkeys(places, int(since.timestamp() * 1000)))
    for place in places:
        consumer.seek(place, starts[place].offset if starts.get(place) else ends[place])
    return ends


async def history(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], quiet_most: float = QUIET_MOST
) -> AsyncGenerator[ConsumerRecord[bytes, bytes], None]:
    """Each record before `ends` by the time it was logged. One batch a partition is in memory, however long it is.

    Times of a partition may go back; records of a partition never change places. Left over is what came after `ends`:
    the consumer is put back to `ends`. Raises `KafkaUnavailable` where Kafka gives nothing more of it.
    """
    batches: dict[TopicPartition, deque[ConsumerRecord[bytes, bytes]]] = {place: deque() for place in ends}
    waited = 0.0
    while batches:
        empty = [place for place, batch in batches.items() if not batch]
        over = [place for place in empty if await consumer.position(place) >= ends[place]]
        for place in over:
            consumer.seek(place, ends[place])
            del batches[place]
        if wanting := [place for place in empty if place not in over]:
            fetched = await poll(consumer, *wanting, timeout_ms=POLL_MS)
            waited = 0.0 if fetched else waited + POLL_MS / 1000
            if waited > quiet_most:
                raise KafkaUnavailable(f"Kafka has given nothing for {quiet_most:.0f} s")
            for place, batch in fetched.items():
                batches[place].extend(record for record in batch if record.offset < ends[place])
        elif batches:
            yield min(batches.values(), key=lambda batch: batch[0].timestamp).popleft()


def _found(settings: KafkaSettings, record: ConsumerRecord[bytes, bytes]) -> Found | None:
    if record.value is None:
        return None
    topic = record.topic.removeprefix(settings.topic_prefix)
    headers = tuple(with_values(record.headers))
    return Found(topic, record.partition, record.offset, record.timestamp, record.key or b"", record.value, headers)


def as_cloudevent(found: Found, *, content: bool) -> dict[str, Any]:
    """The event as CloudEvents JSON ("JSON Event Format"); without `content` nothing personal of a message."""
    attributes = {name.removeprefix("ce_"): found.header(name) for name, _ in found.headers if name.startswith("ce_")}
    return {**attributes, "data": _data(found, content), "place": found.place}


def in_words(found: Found, *, content: bool, whole: bool = False) -> str:
    """One line: when, what, whose, and the plain fields; `whole` adds every header and field below."""
    event = as_cloudevent(found, content=content)
    kind = str(event.get("type", "?")).removeprefix("wabus.").removesuffix(".v1")
    data = event["data"] if isinstance(event["data"], dict) else {}
    brief = {name: _brief(part) for name, part in data.items() if name not in ("waba_id", "value", "raw")}
    summary = " ".join(f"{name}={part}" for name, part in brief.items() if part)
    about = f"org={event.get('orgid') or '-'}  waba={data.get('waba_id') or '-'}"
    line = f"{_clock(str(event.get('time')))}  {kind:24} {about}  {summary}".rstrip()
    if not whole:
        return line
    headers = "\n".join(f"  {name}: {found.header(name)}" for name, _ in found.headers)
    body = json.dumps(event["data"], indent=2, ensure_ascii=False)
    return f"{line}\n  at {found.place}, logged {_logged(found)}\n{headers}\n{body}"


def exported(found: Found) -> bytes:
    """A record as a line of an export: everything that putting it back needs. Raises ValueError where it is no JSON."""
    data = orjson.loads(found.value)
    names = plain_names(data) if isinstance(data, dict) else ()
    record = {
        "topic": found.topic,
        "partition": found.partition,
        "offset": found.offset,
        "timestamp_ms": found.timestamp_ms,
        "key": found.key.decode(errors="replace"),
        "headers": {name: value.decode(errors="replace") for name, value in found.headers},
        "value": {**data, **dict.fromkeys(names)} if names else orjson.Fragment(found.value),
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def imported(line: bytes) -> Record:
    """The record of an export's line, with its ids and its time. Raises ValueError saying why it can't be put back."""
    try:
        fields = orjson.loads(line)
        topic, key, timestamp = str(fields["topic"]), str(fields["key"]).encode(), int(fields["timestamp_ms"])
        headers = [(str(name), str(text).encode()) for name, text in fields["headers"].items()]
        value = orjson.dumps(fields["value"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("is no record of an export") from None
    if topic not in {public.name for public in PUBLIC}:
        raise ValueError(f"is of the topic {topic!r}, which can't be replayed")
    try:
        event = decode(headers, value)
    except UndecodableRecord as error:
        raise ValueError(f"can't be read: {error}") from None
    if event.topic.name != topic:
        raise ValueError(f"is a {event.type}, which does not belong into {topic}")
    return Record(topic, key, value, headers, timestamp)


def _data(found: Found, content: bool) -> Any:
    try:
        data = orjson.loads(found.value)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict):
        return data
    data |= dict.fromkeys(plain_names(data))
    if content or found.topic not in (topic.name for topic in ABOUT_PEOPLE):
        return data
    return {name: part for name, part in data.items() if name not in PERSONAL}


def _brief(part: object) -> str:
    """A field in a few words: of a template or a reason what names it, of a list each one's; nothing for no value."""
    match part:
        case None:
            return ""
        case dict():
            names = (part.get(name) for name in NAMING)
            return _short("/".join(name for name in names if isinstance(name, str)))
        case list():
            return _short(",".join(filter(None, map(_brief, part))))
        case _:
            return _short(str(part))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _clock(time: str) -> str:
    """An event's time to the millisecond, UTC, always as wide."""
    try:
        return f"{datetime.fromisoformat(time).astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:23]
    except ValueError:
        return f"{time[:23]:23}"


def _logged(found: Found) -> str:
    return datetime.fromtimestamp(found.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
