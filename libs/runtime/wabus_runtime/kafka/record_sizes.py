"""How much of a record Kafka takes. Pure."""

from collections.abc import Iterable

from wabus_events import Record
from wabus_events.models.topics import MAX_RECORD_BYTES

_ROOM = 4096  # bytes for what Kafka puts around a record, and for a trace
_AROUND_HEADER = 20  # bytes at most


def about_bytes(record: Record) -> int:
    """What a record takes in a batch, roughly."""
    return len(record.value or b"") + 400


def fits(key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a record of these is one that the topics of wabus take (`MAX_RECORD_BYTES`)."""
    size = len(key or b"") + len(value or b"")
    for name, content in headers:
        size += 4 * len(name) + len(content) + _AROUND_HEADER
    return size <= MAX_RECORD_BYTES - _ROOM
