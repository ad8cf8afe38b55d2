"""aiohttp's connections with what it does not do: what is no request is answered by us, heads and answers have a time.

aiohttp's own answers quote the bytes that it could not read, it waits as long for a head as for a next request, and for
ever until its answer is read.
"""

import asyncio
import re
from http import HTTPStatus
from typing import Any, cast

import structlog
from aiohttp import http_exceptions as bad
from aiohttp import web

from wabus_runtime.http.answers import SAFE_HEADERS, Problem

HEAD_TIMEOUT = 10.0  # seconds from the first byte of a request's head to its last
UNREAD_TIMEOUT = 60.0  # seconds that a client may leave an answer unread which is more than its connection holds

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


class Connection(web.RequestHandler):
    """One of a server's connections."""

    __slots__ = ("_head_due", "_reading_due")

    def __init__(self, server: web.Server) -> None:
        self._head_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None
        options: dict[str, Any] = server._kwargs  # pyright: ignore[reportPrivateUsage]
        super().__init__(server, loop=asyncio.get_running_loop(), **options)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages or self._request_in_progress:
            self._head_is_here()
        elif data and self._head_due is None and self.transport is not None and self._awaits_a_head:
            self._head_due = self._loop.call_later(HEAD_TIMEOUT, self._too_slow)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading_due is None:
            self._reading_due = self._loop.call_later(UNREAD_TIMEOUT, self._not_read)

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
        return await super().finish_response(request, resp, start_time)

    @property
    def _awaits_a_head(self) -> bool:
        """Whether what comes begins a request, and is not what is left of one that was answered before its end."""
        return self._waiter is not None or not self._request_count

    def _head_is_here(self) -> None:
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


def connections_of(server: web.Server) -> Any:
    """A factory of such connections for a server's port."""
    return lambda: cast(asyncio.BaseProtocol, Connection(server))
