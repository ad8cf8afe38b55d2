"""Which bytes of a medium a request asks for. RFC 9110, section 14."""

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,15})\s*-\s*([0-9]{1,15})?|-\s*([0-9]{1,15}))\s*", re.IGNORECASE)


class Part(NamedTuple):
    """From a byte to before another."""

    start: int
    end: int


class NotThere(Exception):
    """None of the bytes asked for exist: 416."""


def part_of(header: str | None, size: int) -> Part | None:
    """The part that a `Range` asks for; None for all of it. Raises `NotThere`.

    What is no range of bytes, or several at once, is answered with the whole, as section 14.2 allows.
    """
    found = _ONE_RANGE.fullmatch(header) if header is not None else None
    if not found:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last is not None else size
        if last is not None and int(last) < start:
            return None
    if start >= end:
        raise NotThere
    return Part(start, end)
