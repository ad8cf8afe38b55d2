"""Where a client is in a feed: how far the tables were when it had been sent all of it. Pure.

A partition's rows are written by one transaction at a time, together with how far it has come. So the offsets that the
tables have reached say exactly what was in them, although partitions commit in any order: nobody waits for somebody
else's transaction, and nothing that commits late is missed. They hold after a rebuild and on a replica.

Clients get them sealed (RFC 5297, AES-SIV): the traffic of others is none of their business, they can't make one up,
and one of another organisation, of who sees more or less of it, or of tables that were made anew since, can't be
opened.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

Place = tuple[str, int]
"""A topic, without prefix, and a partition."""
Reached = Mapping[Place, int]
"""The offset after the last record that is in the tables, of each partition that has any."""

KEY_BYTES = 32
LONGEST = 2048  # characters
_FORM = b"\x01"

ResetReason = Literal["expired", "epoch", "too_many"]
"""Why a client has to load anew what it shows: it was away too long; the tables are others than those that it knows;
more has changed than is told one by one."""


class UnknownCursor(Exception):
    """It is none of this organisation and these tables."""


@dataclass(frozen=True)
class Cursor:
    """How far the tables were, and when, by their database's clock in whole seconds."""

    at: datetime
    reached: Reached

    @cached_property
    def packed(self) -> bytes:
        """Its bytes, which are made once, and sealed for each organisation."""
        return _packed(self)


def sealed(cursor: Cursor, key: bytes, org_id: str, scope: str = "") -> str:
    """A cursor as its clients get it; the same cursor gives the same text.

    `scope` names what part of the organisation's its client sees, where that is not all.
    """
    encrypted = AESSIV(key).encrypt(_FORM + cursor.packed, _bound_to(org_id, scope))
    return base64.urlsafe_b64encode(encrypted).decode().rstrip("=")


def opened(text: str, key: bytes, org_id: str, scope: str = "") -> Cursor:
    """The cursor that a client gives back. Raises `UnknownCursor`."""
    if len(text) > LONGEST:
        raise UnknownCursor
    try:
        encrypted = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        plain = AESSIV(key).decrypt(encrypted, _bound_to(org_id, scope))
    except (ValueError, binascii.Error, InvalidTag):
        raise UnknownCursor from None
    if plain[:1] != _FORM:
        raise UnknownCursor
    return _unpacked(plain[1:])


def why_reset(cursor: Cursor, now: Cursor, kept: timedelta) -> ResetReason | None:
    """Why what was missed can't be told, if it can't; `kept` is how long changes are."""
    if cursor.at < now.at - kept:
        return "expired"
    if is_ahead(cursor.reached, now.reached):
        return "epoch"
    return None


def is_ahead(one: Reached, other: Reached) -> bool:
    """Whether there is a partition in which one has come further than the other."""
    return any(offset > other.get(place, 0) for place, offset in one.items())


def moved(since: Reached, until: Reached) -> dict[Place, tuple[int, int]]:
    """The offsets that came between two: of each partition the first, and the one after the last."""
    return {place: (since.get(place, 0), offset) for place, offset in until.items() if offset > since.get(place, 0)}


def _bound_to(org_id: str, scope: str) -> list[bytes]:
    return [org_id.encode(), scope.encode()] if scope else [org_id.encode()]


def _packed(cursor: Cursor) -> bytes:
    """Moment, then of each topic its name and the offsets of its partitions, as LEB128 numbers."""
    packed = bytearray()
    _put(packed, int(cursor.at.timestamp()))
    places = sorted(cursor.reached)
    for topic, of_topic in groupby(places, key=lambda place: place[0]):
        name, partitions = topic.encode(), [partition for _, partition in of_topic]
        _put(packed, len(name))
        packed += name
        _put(packed, len(partitions))
        for partition in partitions:
            _put(packed, partition)
            _put(packed, cursor.reached[topic, partition])
    return bytes(packed)


def _unpacked(packed: bytes) -> Cursor:
    numbers = _Reader(packed)
    at = datetime.fromtimestamp(numbers.number(), UTC)
    reached: dict[Place, int] = {}
    while not numbers.is_over:
        topic = numbers.text(numbers.number())
        for _ in range(numbers.number()):
            partition = numbers.number()
            reached[topic, partition] = numbers.number()
    return Cursor(at, reached)


def _put(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


class _Reader:
    """Reads what was packed: it was sealed by us, so it is whole."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._packed)

    def number(self) -> int:
        return sum((byte & 0x7F) << shift for shift, byte in self._bytes_of_number())

    def text(self, length: int) -> str:
        self._at += length
        return self._packed[self._at - length : self._at].decode()

    def _bytes_of_number(self) -> Iterator[tuple[int, int]]:
        shift = 0
        while True:
            byte = self._packed[self._at]
            self._at += 1
            yield shift, byte
            if byte < 0x80:
                return
            shift += 7
