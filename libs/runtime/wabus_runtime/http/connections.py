"""aiohttp's connections with what it does not do: what is no request is answered by us, heads and answers have a time.

aiohttp's own answers quote the bytes that it could not read, it waits as long for a head as for a next request, and for
ever until its answer is read. It limits a head by its lines, to a megabyte in all, and keeps up to 32 of them for who
sends requests behind one that takes long. After what is no request it goes on reading, behind a request with an upgrade
that it does not know it loses bytes and takes what follows for another request, and it never answers who closes their
own side of the connection behind a request.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any, cast

import structlog
from aiohttp import http_exceptions as bad
from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import _ErrInfo  # pyright: ignore[reportPrivateUsage]

from wabus_runtime.http.answers import SAFE_HEADERS, Problem

LONGEST_HEAD = 32 * 1024  # bytes of a request's head with all its lines
WAITING_HEADS = 64 * 1024  # bytes of heads behind the request that is being answered, then no more is read
LINGER = 2.0  # seconds that the rest of a body nobody wants is read, so that its sender gets to see the answer
REQUEST_MOST = 4 * 1024 * 1024  # bytes behind a head until the next, with what chunks add, unless a handler takes more
CHUNKED_MOST = 1.25  # bytes on the wire for one of a body, in chunks of a size that anybody sends
HALF_CLOSED_LOOK = 0.1  # seconds
READ_BUFFER = 64 * 1024  # bytes of a body that wait to be taken; twice as many, and no more is read

_WRONG: list[tuple[type[BaseException], str]] = [
    (bad.BadHttpMethod, "The method of the request is none of HTTP."),
    (bad.BadStatusLine, "The first line of the request is none of HTTP."),
    (bad.InvalidURLError, "The address in the request is malformed."),
    (bad.LineTooLong, "A line of the request's head is too long."),
    (bad.InvalidHeader, "A header of the request is malformed."),
    (bad.TransferEncodingError, "The chunks of the request's body are malformed."),
]

_REASON = re.compile(r"[A-Za-z0-9 /'-]{1,100}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client is waited for, in seconds."""

    head: float = 10.0
    """From the first byte of a request's head to its last."""
    unread: float = 60.0
    """That an answer may be left unread which is more than its connection holds."""


PATIENCE = Patience()


class Connection(web.RequestHandler):
    """One of a server's connections."""

    __slots__ = (
        "_half_closed",
        "_head_due",
        "_head_size",
        "_is_over",
        "_last_body",
        "_newest_body",
        "_patience",
        "_reading_due",
        "_request_most",
        "_since_head",
    )

    def __init__(self, server: web.Server, patience: Patience) -> None:
        self._patience = patience
        self._head_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None
        self._head_size = 0
        """Bytes that have come of a head which is not whole yet."""
        self._since_head = 0
        """Bytes that have come since the newest head was whole."""
        self._request_most = REQUEST_MOST
        self._is_over = False
        """Whether what came was no request: nothing behind it can be one."""
        self._newest_body = EMPTY_PAYLOAD
        """The body of the request that came last."""
        self._last_body: StreamReader | None = None
        """The body of a request that is the connection's last."""
        self._half_closed = False
        """Whether the client sends nothing more, and waits for its answers."""
        options: dict[str, Any] = server._kwargs  # pyright: ignore[reportPrivateUsage]
        super().__init__(server, loop=asyncio.get_running_loop(), **options)

    def data_received(self, data: bytes) -> None:
        if self._is_over or (self._last_body is not None and self._last_body.is_eof()):
            self._end_reading()  # once more, where aiohttp has gone on because a body was taken
            return
        before, count = len(self._messages), self._request_count
        super().data_received(data)
        self._look_at_new(before)
        if self._request_count > count:
            self._since_head, self._request_most = 0, REQUEST_MOST
        if self._messages or not self._awaits_a_head:
            self._head_is_here()
            self._note_behind_head(len(data))
        elif data and self.transport is not None:
            self._note_head(len(data))

    def take_body(self, most: int) -> None:
        """Let the body of the request that is being answered have so many bytes."""
        self._request_most = max(REQUEST_MOST, int(most * CHUNKED_MOST))

    def eof_received(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether the connection stays open for answers; a stream has none to wait for, and half a request neither."""
        current = self._current_request
        is_streaming = current is not None and current.writer.output_size > 0
        is_idle = self._awaits_a_head and not self._messages
        if self._force_close or self._close or is_idle or is_streaming or not self._newest_body.is_eof():
            return False
        self._half_closed = True
        self._loop.call_later(HALF_CLOSED_LOOK, self._close_if_idle)
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading_due is None:
            self._reading_due = self._loop.call_later(self._patience.unread, self._not_read)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_is_here()
        self._is_read()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp says where it could not read a request, or where something failed outside of our handlers."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        if status < 500:
            log.debug("no request", action="malformed_request", error=type(exc).__name__)
        else:
            log.error("a request failed", action="request_failed", error=type(exc).__name__)
        response = _answer(status, exc)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """An HTTP exception that reaches this was raised outside of our handlers, and may quote a header."""
        if isinstance(resp, web.HTTPException) and resp.status >= HTTPStatus.BAD_REQUEST:
            resp = _answer(resp.status, None)
        is_last = self._last_body is not None and not self._messages
        if is_last or resp.headers.get("Connection") == "close":
            resp.force_close()  # the header alone would only be told to the client (RFC 9112, section 9.6)
        finished = await super().finish_response(request, resp, start_time)
        if resp.status == HTTPStatus.REQUEST_TIMEOUT:
            self.force_close()  # who has not sent a body in its time gets no more of it to send the rest
        elif self._half_closed and not self._messages:
            self.close()
        return finished

    def _close_if_idle(self) -> None:
        """Close what nothing is due on: the last answer may have been written just when the client closed its side."""
        if self._awaits_a_head and not self._messages:
            self.force_close()

    def _note_head(self, size: int) -> None:
        """More of a head has come."""
        self._head_size += size
        if self._head_size > LONGEST_HEAD:
            self._refuse_what_follows(bad.LineTooLong(b"", LONGEST_HEAD))
        elif self._head_due is None:
            self._head_due = self._loop.call_later(self._patience.head, self._too_slow)

    def _note_behind_head(self, size: int) -> None:
        """More of a body has come, or of what only looks like the next head."""
        self._since_head += size
        if self._since_head > self._request_most:
            log.debug("a request went on without end", action="endless_request")
            self.force_close()

    def _look_at_new(self, before: int) -> None:
        """See to the requests that have come behind the `before` ones that were waiting already."""
        for number, (message, body) in enumerate(islice(self._messages, before, None), before):
            self._newest_body = body
            if isinstance(message, _ErrInfo):
                self._end_reading()
            elif message.upgrade and not self._upgraded:
                self._last_body = body
            elif _size_of(message.raw_headers) > LONGEST_HEAD:
                while len(self._messages) > number:
                    self._messages.pop()
                self._refuse_what_follows(bad.LineTooLong(b"", LONGEST_HEAD))
                return
        waiting = sum(_size_of(each.raw_headers) for each, _ in self._messages if not isinstance(each, _ErrInfo))
        if waiting > WAITING_HEADS and not self._buffer_paused:
            self._pause_reading_for_buffer()

    def _refuse_what_follows(self, error: bad.HttpProcessingError) -> None:
        """Answer 431 after the requests before it."""
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._messages.append((_ErrInfo(status=status, exc=error, message=""), EMPTY_PAYLOAD))
        self._request_count += 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._end_reading()

    def _end_reading(self) -> None:
        self._is_over = True
        self._head_is_here()
        if self.transport is not None:
            self.transport.pause_reading()

    @property
    def _awaits_a_head(self) -> bool:
        """Whether what comes begins a request, and is not what is left of one that was answered before its end."""
        return self._waiter is not None or not self._request_count

    def _head_is_here(self) -> None:
        self._head_size = 0
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _is_read(self) -> None:
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

    def _not_read(self) -> None:
        self._reading_due = None
        if self.transport is not None:
            log.debug("an answer was not read in time", action="slow_reader")
            self.transport.abort()

    def _too_slow(self) -> None:
        self._head_due = None
        if self._awaits_a_head and not self._messages:
            log.debug("a head did not arrive in time", action="slow_head")
            self.force_close()


def _size_of(headers: Sequence[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def _answer(status: int, error: BaseException | None) -> web.Response:
    response = _problem(status, error).response()
    response.headers.update(SAFE_HEADERS)
    return response


def _problem(status: int, error: BaseException | None) -> Problem:
    phrase = HTTPStatus(status).phrase
    code = phrase.lower().replace(" ", "_")
    if status == HTTPStatus.BAD_REQUEST:
        return Problem(status, "malformed_request", "Malformed request", _what_is_wrong(error))
    if status == HTTPStatus.EXPECTATION_FAILED:
        return Problem(417, "expectation_failed", phrase, "Nothing but 100-continue can be expected.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Problem(status, "internal_error", "Something went wrong", "This is our fault. Please try again.")
    return Problem(status, code, phrase, f"{phrase}.")


def _what_is_wrong(error: BaseException | None) -> str:
    for kind, text in _WRONG:
        if isinstance(error, kind):
            return text
    # The parser's reason is one of its constants; what it could not read follows.
    reason, quotes, _ = str(getattr(error, "message", "")).partition(":\n\n")
    return f"The request is no HTTP: {reason}." if quotes and _REASON.fullmatch(reason) else "The request is no HTTP."


def connections_of(server: web.Server, patience: Patience = PATIENCE) -> Any:
    """A factory of such connections for a server's port."""
    return lambda: cast(asyncio.BaseProtocol, Connection(server, patience))


def take_large_body(request: web.Request, most: int) -> None:
    """Let a request have a body of so many bytes, which its handler takes as it comes; others have `REQUEST_MOST`."""
    if isinstance(connection := request.protocol, Connection):
        connection.take_body(most)
