"""Subscribing: typed events in a loop, each committed once the loop asks for the next.

    async for event in subscribe(Kafka.from_environment(), TemplatesSynced, AccountConnected, group="billing"):
        ...

A crash between an event and the next one brings that event again: at least once, in the order of each partition.
"""

import asyncio
import logging
import random
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import Any, Generic, Required, TypedDict, TypeVar, Unpack, overload

from wabus_events.models.credentials import PRIVATE_TOPICS
from wabus_events.models.event import EVENTS, Event
from wabus_events.subscriber.policy import DeadLetters, RecentIds, Retry, Seen, TooManyDeadLetters
from wabus_events.subscriber.source import KafkaAway, NoSuchTopic, Reader, Received, Source, Start
from wabus_events.wire.envelope import UndecodableRecord, decode
from wabus_events.wire.upcasting import NewerVersion, newest, outgrown

__all__ = [
    "DeadLetters", "KafkaAway", "NewerVersion", "NoSuchTopic", "RecentIds", "Retry", "Seen", "Subscription",
    "TooManyDeadLetters", "run", "stop_on_signals", "subscribe",
]  # fmt: skip

POLL = 0.5  # seconds until a subscriber that has nothing to do sees that it was stopped
COMMIT_AFTER = 1.0  # seconds after which handled events are committed even if there are fewer than `commit_every`

A = TypeVar("A", bound=Event)
B = TypeVar("B", bound=Event)
C = TypeVar("C", bound=Event)
D = TypeVar("D", bound=Event)
E = TypeVar("E", bound=Event)

log = logging.getLogger("wabus_events")


class Options(TypedDict, total=False):
    """The keyword arguments of `subscribe` and `run`; only `group` is required."""

    group: Required[str]
    """The Kafka consumer group: its members share the partitions, and it goes on where it left off."""
    org_id: str | Collection[str] | None
    """Only events of this organisation, or of these. Events of an account that nobody has connected have none."""
    deduplicate: bool | Seen
    """Drop events whose id was handled: True for the newest 100,000 ids in memory, or a store of your own."""
    dead_letters: DeadLetters | str | None
    """Where records go that can't be decoded or handled. Without it they raise, and nothing is passed over."""
    start: Start
    """Where a group begins that has committed nothing: `earliest` (default) or `latest`."""
    stop: asyncio.Event | None
    """Set it to end the loop after the event in hand; see `stop_on_signals`."""
    commit_every: int
    """Commit after so many events (default 1), or a second, or when idle. More is faster and repeats more."""


class Subscription(Generic[E]):
    """Events of one consumer group, to be read with `async for`, once."""

    def __init__(
        self,
        source: Source | str,
        types: Sequence[type[E]],
        *,
        group: str,
        org_id: str | Collection[str] | None = None,
        deduplicate: bool | Seen = False,
        dead_letters: DeadLetters | str | None = None,
        start: Start = "earliest",
        stop: asyncio.Event | None = None,
        commit_every: int = 1,
    ) -> None:
        self._source = _kafka(source) if isinstance(source, str) else source
        public = (kind for kind in EVENTS.values() if kind.topic not in PRIVATE_TOPICS)
        self._types: frozenset[type[Event]] = frozenset(types or public)
        for kind in self._types:
            if kind.topic in PRIVATE_TOPICS:
                raise ValueError(f"{kind.__name__} is private to wabus: nobody subscribes to it")
        self._group = group
        self._orgs = {org_id} if isinstance(org_id, str) else None if org_id is None else set(org_id)
        self._seen: Seen | None = RecentIds() if deduplicate is True else deduplicate or None
        self._dead_letters = DeadLetters(dead_letters) if isinstance(dead_letters, str) else dead_letters
        self._start: Start = start
        self._stop = stop or asyncio.Event()
        self._commit_every = commit_every

    def stop(self) -> None:
        """End the loop, after the event in hand, with everything handled committed."""
        self._stop.set()

    def __aiter__(self) -> AsyncIterator[E]:
        # A generator: left by `break` or an exception, it closes its consumer as soon as nothing refers to it.
        return self._events()

    async def _events(self) -> AsyncGenerator[E, None]:
        async with aclosing(self._deliveries()) as deliveries:
            async for _, event, _ in deliveries:
                yield event

    async def _deliveries(self) -> AsyncGenerator[tuple[Received, E, Reader], None]:
        """Each wanted event with its record; asking for the next one means that it was handled."""
        topics = sorted({kind.topic.name for kind in self._types})
        writes = [self._dead_letters.topic] if self._dead_letters else []
        reader = await self._source.open(topics, group=self._group, start=self._start, writes=writes)
        now = asyncio.get_running_loop().time
        handled, committed_at = 0, now()
        try:
            while not self._stop.is_set():
                received = await reader.next(POLL)
                if received is not None:
                    event = await self._wanted(received, reader)
                    if event is not None:
                        yield received, event, reader
                        handled += 1
                        if self._seen is not None:
                            await self._seen.add(event.id)
                    reader.handled(received)
                elif reader.ended:
                    break
                # Also where nothing was handled since: the commit before may have failed, and the reader knows.
                late = received is None or now() - committed_at >= COMMIT_AFTER
                if handled >= self._commit_every or late:
                    await reader.commit()
                    handled, committed_at = 0, now()
            await reader.commit()
        finally:
            await reader.close()

    async def _wanted(self, received: Received, reader: Reader) -> E | None:
        """The event of a record, or None where it is not asked for, seen already, or was set aside."""
        headers = dict(received.headers)
        event_type = headers.get("ce_type", b"").decode(errors="replace")
        kind = newest(event_type)
        newer = kind is None and outgrown(event_type, self._types)
        passed_by = (kind is None and "ce_type" in headers and not newer) or (kind and kind not in self._types)
        if received.value is None or passed_by:
            return None
        if self._orgs is not None and headers.get("ce_orgid", b"").decode(errors="replace") not in self._orgs:
            return None
        if newer:
            # Not the record is at fault: to pass it over, or to set it aside, would lose it.
            raise NewerVersion(f"{event_type} at {received.place} is newer than this wabus-events: upgrade it")
        try:
            event: Any = decode(received.headers, received.value)
        except UndecodableRecord as error:
            await self._set_aside(received, reader, error)
            return None
        if self._seen is not None and await self._seen.has(event.id):
            return None
        return event

    async def _set_aside(self, received: Received, reader: Reader, error: Exception) -> None:
        log.error(
            "an event could not be handled: %s at %s",
            type(error).__name__,
            received.place,
            extra={"action": "dead_letter", "place": received.place, "error": type(error).__name__},
        )
        if self._dead_letters is None:
            error.add_note(f"at {received.place}")
            raise error
        await self._dead_letters.put(reader, received, self._group, error)

    async def handle(self, handler: Callable[[E], Awaitable[None]], retry: Retry) -> None:
        """Give each event to `handler`; see `run`."""
        async with aclosing(self._deliveries()) as deliveries:
            async for received, event, reader in deliveries:
                error = await self._attempts(handler, event, received, retry)
                if error is not None:
                    await self._set_aside(received, reader, error)

    async def _attempts(
        self, handler: Callable[[E], Awaitable[None]], event: E, received: Received, retry: Retry
    ) -> Exception | None:
        delays = retry.delays(random.Random())  # noqa: S311
        while True:
            try:
                async with asyncio.timeout(retry.timeout):
                    await handler(event)
                return None
            except Exception as error:
                delay = next(delays, None)
                if delay is None or isinstance(error, retry.never):
                    return error
                log.warning(
                    "an event is tried again in %.1f s: %s at %s",
                    delay,
                    type(error).__name__,
                    received.place,
                    extra={"action": "retry", "place": received.place, "error": type(error).__name__},
                )
            await asyncio.sleep(delay)


@overload
def subscribe(source: Source | str, a: type[A], /, **options: Unpack[Options]) -> Subscription[A]: ...
@overload
def subscribe(source: Source | str, a: type[A], b: type[B], /, **options: Unpack[Options]) -> Subscription[A | B]: ...
@overload
def subscribe(
    source: Source | str, a: type[A], b: type[B], c: type[C], /, **options: Unpack[Options]
) -> Subscription[A | B | C]: ...
@overload
def subscribe(
    source: Source | str, a: type[A], b: type[B], c: type[C], d: type[D], /, **options: Unpack[Options]
) -> Subscription[A | B | C | D]: ...
@overload
def subscribe(source: Source | str, /, *types: type[E], **options: Unpack[Options]) -> Subscription[E]: ...
def subscribe(source: Source | str, /, *types: Any, **options: Unpack[Options]) -> Subscription[Any]:
    """Events of these types (all public ones if none is named), each committed when the loop asks for the next.

    `source` is a `wabus_events.kafka.Kafka`, the address of a broker, or a `wabus_events.testing.MemoryBus`.
    To end: set `stop`, or call `.stop()` in the loop; then everything handled is committed. After `break` or an
    exception the event in hand comes again. See `Options` for the arguments.

    Iterating raises `NoSuchTopic`, `KafkaAway`, `NewerVersion`; without `dead_letters` also `UndecodableRecord`, with
    it `TooManyDeadLetters`.
    """
    return Subscription(source, types, **options)


async def run(
    handler: Callable[[E], Awaitable[None]],
    source: Source | str,
    /,
    *types: type[E],
    retry: Retry | None = None,
    **options: Unpack[Options],
) -> None:
    """Give each event to `handler` until stopped; retry what it raises, then set the event aside.

    While an event is being retried the rest of its consumer waits, so that order holds. After the last attempt it
    goes to `dead_letters`; without that its error is raised, and the event comes again at the next start.
    """
    await Subscription(source, types, **options).handle(handler, retry or Retry())


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets: pass it as `stop`, and the event in hand is finished before the end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _kafka(bootstrap_servers: str) -> Source:
    from wabus_events.kafka import Kafka

    return Kafka(bootstrap_servers)
