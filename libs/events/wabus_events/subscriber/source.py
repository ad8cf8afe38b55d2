"""Where a subscriber's records come from: what Kafka (`wabus_events.kafka`) and the in-memory bus both do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Start = Literal["earliest", "latest"]
Headers = Sequence[tuple[str, bytes]]


class NoSuchTopic(Exception):
    """A topic that was asked for is not there: look at the topic prefix, or create the dead-letter topic."""


class KafkaAway(Exception):
    """Kafka did not answer in time."""


@dataclass(frozen=True, slots=True)
class Received:
    """A record as it came. `topic` is its full name, with the deployment's prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def place(self) -> str:
        """Where it is, for a log line: `wabus.accounts.v1/3@17`."""
        return f"{self.topic}/{self.partition}@{self.offset}"


class Reader(Protocol):
    """One member of a consumer group, reading committed records only."""

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come again; never so in Kafka."""
        ...

    async def next(self, timeout: float) -> Received | None:
        """The next record, or None if none came within `timeout` seconds."""
        ...

    def handled(self, received: Received) -> None:
        """Note that this record, and with it all before it in its partition, need not come again."""
        ...

    async def commit(self) -> None:
        """Make what is `handled` last, for the whole group. A partition lost meanwhile is its new owner's affair.

        It may fail: then the next one makes up for it. Costs nothing where there is nothing new.
        """
        ...

    async def put(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Write a record to a topic (its full name); returns once it is durable. Raises `KafkaAway`."""
        ...

    async def close(self) -> None:
        """Leave the group. What is handled but not committed comes again."""
        ...


class Source(Protocol):
    """A Kafka, or what stands in for one."""

    async def open(self, topics: Sequence[str], *, group: str, start: Start, writes: Sequence[str]) -> Reader:
        """Join `group` on `topics` (without prefix); `start` is where a new group begins.

        `writes` are the full names of topics that `put` will be given. Raises `NoSuchTopic`, `KafkaAway`.
        """
        ...
