"""Frames: what is sent to who follows, the same by both doors, and each encoded once however many get it. Pure.

Sources: WHATWG HTML, "Server-sent events"; RFC 6455, section 5.2; RFC 9112, section 7.1.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

import orjson

Door = Literal["sse", "chunked", "websocket"]
"""How a frame is written: as an event, as one in a chunk of its own (HTTP/1.1), as a text message."""

ByeReason = Literal["token_expired", "not_allowed", "draining", "slow"]

NOTHING: Mapping[str, Any] = {}


class Frame:
    """One frame; `about` says whose it is, for those who do not follow all of it.

    A cursor stands in it only for those who have been sent all that came before it: it is given when it is written.
    """

    def __init__(self, kind: str, content: Mapping[str, Any], about: Mapping[str, Any] = NOTHING) -> None:
        self.kind = kind
        self.about = about
        self._content = content
        self._written: dict[tuple[Door, str | None], bytes] = {}

    def written(self, door: Door, cursor: str | None) -> bytes:
        """The bytes of the frame, encoded the first time."""
        known = self._written.get((door, cursor))
        if known is None:
            known = self._written[door, cursor] = self._write(door, cursor)
        return known

    def _write(self, door: Door, cursor: str | None) -> bytes:
        head = orjson.dumps({"type": self.kind, "cursor": cursor})
        data = head[:-1] + b"," + self._rest if self._rest != b"}" else head
        if door == "websocket":
            return text_message(data)
        event = b"event: %s\ndata: %s\n\n" % (self.kind.encode(), data)
        if cursor is not None:
            event = b"id: %s\n%s" % (cursor.encode(), event)
        return chunk(event) if door == "chunked" else event

    @cached_property
    def _rest(self) -> bytes:
        return orjson.dumps(self._content, option=orjson.OPT_UTC_Z)[1:]


def hello(heartbeat: float, *, resumed: bool) -> Frame:
    """The first: whether what was missed since the cursor given follows, and after how many seconds of silence at most
    a client hears that both ends are alive."""
    return Frame("hello", {"resumed": resumed, "heartbeat": heartbeat})


def alive() -> Frame:
    """Nothing has happened. What was sent before can be kept by its cursor, which goes on."""
    return Frame("alive", {})


def reset(reason: str) -> Frame:
    """What the client shows has to be loaded anew, after this; what follows is what comes from then on."""
    return Frame("reset", {"reason": reason})


def authorised(expires_at: float) -> Frame:
    """Another token was good; until when, in Unix seconds."""
    return Frame("authorised", {"expires_at": expires_at})


def bye(reason: ByeReason, retry_ms: int) -> Frame:
    """The last one: why it ends, and when to come back."""
    return Frame("bye", {"reason": reason, "retry_ms": retry_ms})


def text_message(data: bytes) -> bytes:
    """An unmasked text message of a WebSocket, whole in one of its frames."""
    size = len(data)
    if size < 126:
        return b"\x81" + size.to_bytes(1) + data
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2) + data
    return b"\x81\x7f" + size.to_bytes(8) + data


def chunk(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
