"""A webhook's JSON, exactly as Meta wrote it; changes that events can't carry are set apart. Pure.

In slices, so that whoever reads a large body can let others have their turn. No JSON library gives up the interpreter
while it works, in whichever thread: 3 MB of small objects would stop everything for 50 ms.
"""

import json
import json.decoder
import math
import re
from collections.abc import Generator
from typing import Any, cast

import orjson
from wabus_events.webhooks.items import SMALL_STEPS
from wabus_events.webhooks.values import Unwritable

# Numbers beyond 64 bits would come back rounded from the fast parser; so many digits in a row may stand for one.
# Looking for them this way takes a tenth of a regular expression's time.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_MAYBE_A_HUGE_NUMBER = b"0" * 19
_ZEROS = re.compile(rb"0+")
DEEPEST = 200  # levels that every JSON library on the way writes and reads
MOST_PARTS = 100_000  # objects and lists; 3 MB of Meta's smallest statuses have two thirds of it
AT_ONCE = 64 * 1024  # bytes of a body that is parsed at once, in some ms at most
WINDOW = 32 * 1024  # characters of a larger one that are parsed at once, at most
_FIRST_WINDOW = 1024  # characters at the beginning, and inside of what is longer than a window
_LONGEST_CUT = 4  # characters that may be missed where a number is cut, as in 1.5e-7

_decoding: Any = json.decoder  # what it has for one value at a place in a text is public but has no types
_SPACE = re.compile(r"[ \t\n\r]*")
_CUT: Any = object()

Slices = Generator[None, None, Any]
"""Each step is a slice of some ms at most; the last returns."""


class TooManyParts(ValueError):
    """More objects and lists than `MOST_PARTS`: no webhook of Meta's, and many seconds of work."""


def parsed(body: bytes) -> Slices:
    """The JSON of a body, with `Unwritable` for changes that could not be passed on.

    Raises ValueError, TypeError, LookupError or RecursionError where that is not all that could not.
    """
    parts = body.count(b"[") + body.count(b"{")
    if parts > MOST_PARTS:
        raise TooManyParts
    if len(body) > AT_ONCE:
        yield
        payload = yield from in_slices(body.decode())
        yield
    elif has_huge_number(body):
        payload = _lenient(body)
    else:
        try:
            payload = orjson.loads(body)
        except orjson.JSONDecodeError:  # a lone surrogate, perhaps: half an emoji, where somebody cut a name
            payload = _lenient(body)
        else:
            if parts <= DEEPEST:
                return payload
    if not _is_writable(payload):
        yield from _set_apart(payload)
    yield
    return payload


def in_slices(text: str, window: int = WINDOW) -> Slices:
    """The JSON of a text, of which so many characters are parsed at once. Raises ValueError or RecursionError."""
    return (yield from _Sliced(text, window).value(1))


def has_huge_number(body: bytes) -> bool:
    """Whether a number in it may have more than 64 bits; a long row of digits in a text counts as one.

    Not one after a dot: that is a fraction, which every parser rounds alike, or a business-scoped user id.
    """
    zeros = body.translate(_DIGITS_TO_ZERO)
    at = zeros.find(_MAYBE_A_HUGE_NUMBER)
    while at >= 0:
        if body[at - 1 : at] != b".":
            return True
        row = _ZEROS.match(zeros, at)
        at = zeros.find(_MAYBE_A_HUGE_NUMBER, row.end() if row else at + 1)
    return False


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError("no number of JSON, or one beyond a double")
    return float(number)


_decoder: Any = json.JSONDecoder(parse_float=_finite, parse_constant=_finite)


def _lenient(body: bytes) -> Any:
    return _decoder.decode(body.decode())


class _Sliced:
    """Reads a long text: what fits into a window in C, and what does not part by part.

    What goes on after the window is parsed in vain, and again. So a window is small until it is known that what begins
    there is, and it is not tried where it has less room than the last value took.
    """

    def __init__(self, text: str, most: int) -> None:
        self._text = text
        self._most = most
        self._at = 0
        self._steps = 0
        self._open_window(_FIRST_WINDOW)

    def value(self, depth: int) -> Slices:
        """What begins here; `depth` counts from 1, where nothing may follow."""
        if depth > DEEPEST:
            raise RecursionError
        self._steps += 1
        if self._steps % SMALL_STEPS == 0:
            yield
        mark = self._mark()
        found = self._in_window()
        if found is _CUT and self._at > self._start:
            used = self._at - self._start
            self._open_window(2 * self._size if 2 * used > self._size else self._size)
            yield
            found = self._in_window()
        if found is _CUT:
            self._open_window(_FIRST_WINDOW)
            if mark == "{":
                found = yield from self._object(depth)
            elif mark == "[":
                found = yield from self._list(depth)
            elif mark == '"':
                found, self._at = _decoding.scanstring(self._text, self._at + 1)
                yield
            else:
                raise ValueError("no JSON")
        if depth == 1 and self._mark():
            raise ValueError("something follows")
        return found

    def _open_window(self, size: int) -> None:
        self._size = min(size, self._most)
        self._window, self._start = self._text[self._at : self._at + self._size], self._at
        self._expected = 0  # characters that the next value has, if it is like the last

    def _in_window(self) -> Any:
        """What begins here, or _CUT where it goes on after the window, or is no JSON at all."""
        at = self._at - self._start
        if at + self._expected >= len(self._window):
            return _CUT
        try:
            found, end = _decoder.scan_once(self._window, at)
        except (StopIteration, ValueError):
            return _CUT
        if end + _LONGEST_CUT > len(self._window) and self._start + len(self._window) < len(self._text):
            return _CUT
        self._at = self._start + end
        self._expected = end - at
        return found

    def _object(self, depth: int) -> Slices:
        found: dict[str, Any] = {}
        self._at += 1
        if self._mark() == "}":
            self._at += 1
            return found
        while True:
            if self._mark() != '"':
                raise ValueError("no name of a member")
            name = yield from self.value(depth + 1)
            self._take(":")
            found[name] = yield from self.value(depth + 1)
            if self._take(",}") == "}":
                return found

    def _list(self, depth: int) -> Slices:
        found: list[Any] = []
        self._at += 1
        if self._mark() == "]":
            self._at += 1
            return found
        while True:
            found.append((yield from self.value(depth + 1)))
            if self._take(",]") == "]":
                return found

    def _mark(self) -> str:
        """The next character that is no white space; empty at the end."""
        text, at = self._text, self._at
        if text[at : at + 1] in " \t\n\r":
            found = _SPACE.match(text, at)
            self._at = at = found.end() if found else at
        return text[at : at + 1]

    def _take(self, marks: str) -> str:
        """The next one, which must be one of `marks`."""
        mark = self._mark()
        if not mark or mark not in marks:
            raise ValueError("no JSON")
        self._at += 1
        return mark


def _set_apart(payload: Any) -> Slices:
    """Make what events can't carry `Unwritable`, so that one change of it, or one message of a history, goes alone."""
    for entry in payload["entry"]:
        changes = entry["changes"]
        for number, change in enumerate(changes):
            if not _is_writable(change):
                yield from _messages_set_apart(change)
                if not _is_writable(change):
                    changes[number] = yield from _unwritable(change, change)
                yield
            elif number % SMALL_STEPS == 0:
                yield
    orjson.dumps(payload, default=_none, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _messages_set_apart(change: Any) -> Slices:
    """The same for each message of a history, which holds those of half a year of many people."""
    match change:
        case {"field": "history", "value": {"history": [*chunks]}}:
            threads = [thread for chunk in chunks if isinstance(chunk, dict) for thread in _list_in(chunk, "threads")]
        case _:
            return
    looked_at = 0
    for thread in threads:
        messages = _list_in(thread, "messages")
        for number, message in enumerate(messages):
            if not _is_writable(message):
                messages[number] = yield from _unwritable(change, message)
            looked_at += 1
            if looked_at % SMALL_STEPS == 0:
                yield


def _list_in(part: Any, name: str) -> list[Any]:
    found = cast(dict[str, Any], part).get(name) if isinstance(part, dict) else None
    return cast(list[Any], found) if isinstance(found, list) else []


def _unwritable(change: Any, part: Any) -> Slices:
    field = cast(dict[str, Any], change).get("field") if isinstance(change, dict) else None
    pieces: list[str] = []
    for piece in json.JSONEncoder(default=_none).iterencode(part):
        pieces.append(piece)
        if len(pieces) % (10 * SMALL_STEPS) == 0:
            yield
    return Unwritable(field if isinstance(field, str) and _is_writable(field) else None, "".join(pieces).encode())


def _is_writable(payload: Any) -> bool:
    try:
        # An event nests it a little deeper.
        orjson.dumps([[[[payload]]]], default=_none, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return False
    return True


def _none(part: Any) -> None:
    """What is set apart already is as good as nothing."""
    if not isinstance(part, Unwritable):
        raise TypeError(type(part).__name__)
