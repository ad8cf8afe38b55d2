"""For tests of other teams: events with every required field filled, and a bus in memory instead of Kafka.

    bus = MemoryBus()
    await bus.publish(an(TemplatesSynced, approved=3))
    await bus.end()
    async for event in subscribe(bus, TemplatesSynced, group="billing"):
        ...

The bus encodes, decodes and keeps offsets as Kafka does, so what a subscriber sees is what it would see there.
"""

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel

from wabus_events.models.event import EVENTS, Event, fact_id
from wabus_events.samples import SAMPLES
from wabus_events.subscriber.source import Headers, Received, Start
from wabus_events.wire.envelope import encode
from wabus_events.wire.upcasting import UPCASTERS

__all__ = ["MemoryBus", "an", "example", "only_here"]

E = TypeVar("E", bound=Event)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
"""The time of every built event that is not given another."""

_numbers = count(1)


def an(kind: type[E], /, **fields: Any) -> E:
    """An event with every required field filled with something plausible, and an id of its own.

    Raises TypeError for a field that the event does not have, so that a misspelt one does not go unnoticed.

    >>> an(TemplatesSynced, approved=3, org_id="acme").approved
    3
    """
    if unknown := sorted(fields.keys() - kind.model_fields.keys()):
        known = ", ".join(kind.model_fields)
        raise TypeError(f"{kind.__name__} has no field {', '.join(map(repr, unknown))}; there are: {known}")
    required = {
        name: _value(name, part.annotation, PLAUSIBLE) for name, part in kind.model_fields.items() if part.is_required()
    }
    own = {"id": fact_id(kind.type, "built for a test", next(_numbers)), "time": NOW, "org_id": "demo"}
    return kind.model_validate({**required, **own, "source": "/wabus/test", **fields})


def example(kind: type[E], /) -> E:
    """The same event each time, with the optional fields filled too: for documentation and golden records."""
    samples = PLAUSIBLE | SAMPLES
    every = {name: _value(name, part.annotation, samples, kind.__name__) for name, part in kind.model_fields.items()}
    own = {"id": fact_id(kind.type, "example"), "time": NOW, "org_id": "demo", "source": "/wabus/example"}
    return kind.model_validate({**every, **own, "traceparent": TRACEPARENT})


@contextmanager
def only_here() -> Generator[None]:
    """Event classes and upcasters declared inside are forgotten at the end."""
    events, upcasters = dict(EVENTS), dict(UPCASTERS)
    try:
        yield
    finally:
        for registry, before in ((EVENTS, events), (UPCASTERS, upcasters)):
            registry.clear()
            registry.update(before)  # pyright: ignore[reportArgumentType, reportCallIssue]


class MemoryBus:
    """Stands in for Kafka in `subscribe` and `run`: one partition a topic, any number of groups, no clock."""

    def __init__(self) -> None:
        self._topics: dict[str, list[Received]] = {}
        self._committed: dict[tuple[str, str], int] = {}
        self._changed = asyncio.Condition()
        self._ended = False

    async def publish(self, *events: Event) -> None:
        """Append events to their topics, as `wabus` would."""
        for event in events:
            record = encode(event, event.source or "/wabus/test")
            await self.put(record.topic, record.key, record.value, record.headers)

    async def put(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Append a raw record, such as a broken one."""
        async with self._changed:
            log = self._topics.setdefault(topic, [])
            log.append(Received(topic, 0, len(log), key, value, tuple(headers)))
            self._changed.notify_all()

    async def end(self) -> None:
        """Nothing more will come: a loop ends once it has handled everything."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def caught_up(self, group: str, timeout: float = 5.0) -> None:
        """Wait until a group has committed everything in the topics that it reads. Raises TimeoutError."""

        def done() -> bool:
            read = {topic: offset for (owner, topic), offset in self._committed.items() if owner == group}
            return bool(read) and all(offset == len(self._topics.get(topic, [])) for topic, offset in read.items())

        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(done)

    def records(self, topic: str) -> Sequence[Received]:
        """What is in a topic (name without prefix, or that of a dead-letter topic)."""
        return tuple(self._topics.get(topic, ()))

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    async def wait_for_more(self, timeout: float) -> None:
        """Return when something happens on the bus, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return

    def committed(self, group: str, topic: str) -> int:
        """The offset that a group goes on from."""
        return self._committed.get((group, topic), 0)

    async def commit(self, group: str, offsets: Mapping[str, int]) -> None:
        """Set where a group goes on from."""
        async with self._changed:
            self._committed.update({(group, topic): offset for topic, offset in offsets.items()})
            self._changed.notify_all()

    async def open(self, topics: Sequence[str], *, group: str, start: Start, writes: Sequence[str]) -> "MemoryReader":
        """Join a group; see `Source.open`."""
        for topic in topics:
            self._committed.setdefault((group, topic), 0 if start == "earliest" else len(self.records(topic)))
        return MemoryReader(self, topics, group)


class MemoryReader:
    """The member of a group; see `Reader`."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], group: str) -> None:
        self._bus = bus
        self._group = group
        self._next = {topic: bus.committed(group, topic) for topic in topics}
        self._handled: dict[str, int] = {}
        self.put = bus.put

    @property
    def ended(self) -> bool:
        return self._bus.ended and not self._waiting()

    async def next(self, timeout: float) -> Received | None:
        if not self._waiting() and not self._bus.ended:
            await self._bus.wait_for_more(timeout)
        for topic in self._waiting():
            self._next[topic] += 1
            return self._bus.records(topic)[self._next[topic] - 1]
        return None

    def handled(self, received: Received) -> None:
        self._handled[received.topic] = received.offset + 1

    async def commit(self) -> None:
        await self._bus.commit(self._group, self._handled)

    async def close(self) -> None:
        pass

    def _waiting(self) -> list[str]:
        return [topic for topic, offset in self._next.items() if offset < len(self._bus.records(topic))]


TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WEBHOOK_VALUE = {"messaging_product": "whatsapp", "text": {"body": "Grüße 👋"}}

PLAUSIBLE: dict[str, Any] = {
    "waba_id": "102290129340398",
    "phone_number_id": "106540352242922",
    "display_phone_number": "+1 555 078 3881",
    "wamid": "wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdBMTIzNAA=",
    "contact": "16505551234",
    "template_id": "594425479261596",
    "name": "order_confirmation",
    "language": "en_US",
    "category": "UTILITY",
    "callback_url": "https://wabus.example.com/webhooks/whatsapp/102290129340398",
    "message_type": "text",
    "sync_id": "0d5a1f0e-8a55-4d0c-9d4f-1f3f8f8f2a10",
    "by_status": {"APPROVED": 3, "REJECTED": 1},
    "approved": 3,
    "total": 4,
    "value": WEBHOOK_VALUE,
    "raw": {"type": "BODY"},
    "MarketRate.category": "utility",
}  # fmt: skip


def _value(name: str, annotation: Any, samples: Mapping[str, Any], owner: str = "") -> Any:
    """Something that fits a field; by its name where we know better than its type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {key: _value(key, part.annotation, samples, annotation.__name__) for key, part in fields}
    for known in (f"{owner}.{name}", name):
        if known in samples:
            return samples[known]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return _value(name, next(part for part in arguments if part is not NoneType), samples, owner)
    if origin is Literal:
        return arguments[0]
    if origin in (list, tuple, set, frozenset):
        return [_value(name.removesuffix("s"), arguments[0], samples, owner)]
    if origin is dict:
        inner = dict(WEBHOOK_VALUE) if arguments[1] is Any else None
        return inner or {"a key": _value(name, arguments[1], samples, owner)}
    simple: dict[Any, Any] = {
        int: 3, float: 0.5, bool: True, datetime: NOW, AwareDatetime: NOW, date: NOW.date(), str: f"a {name}",
        Decimal: Decimal("12.5"),
    }  # fmt: skip
    return simple.get(annotation, f"a {name}")
