"""The two doors to a feed, server-sent events and WebSockets, with the same frames.

Sources: WHATWG HTML, "Server-sent events" (https://html.spec.whatwg.org/multipage/server-sent-events.html); RFC 6455.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from wabus_runtime.feed import frames
from wabus_runtime.feed.channel import Channel, Shows, Sink, Subscriber
from wabus_runtime.feed.feed import Feed
from wabus_runtime.feed.frames import ByeReason
from wabus_runtime.http.answers import Problem
from wabus_runtime.http.auth import Caller
from wabus_runtime.http.rates import Rates
from wabus_runtime.http.streams import HEARTBEAT, no_more_streams, stream

EARLY = 5.0  # seconds before a token ends within which its stream does, so that not all of a deploy end together
WRITE_TIMEOUT = 5.0  # seconds for the last bytes of a stream
PING = 25.0  # seconds between two pings; without an answer in half of that the connection is over
SENT_MOST = 16 * 1024  # bytes of a message from a client; a token has a fraction of that
SENT_A_MINUTE = 60  # messages of a client
CLOSE_TIMEOUT = 2.0  # seconds for a client to answer that it closes too

CLOSE_CODES: dict[ByeReason, int] = {
    "draining": 1001,
    "slow": 1013,
    "token_expired": 1008,
    "not_allowed": 1008,
}
"""RFC 6455, section 7.4.1; 1013 is "try again later" of IANA's registry."""

Renew = Callable[[str], Awaitable[Caller]]
"""The caller of another token. Raises a problem where it is not good for this."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody who comes follows."""

    caller: Caller
    since: str | None
    shows: Shows
    scope: str = ""
    """What part of the organisation's they see, where that is not all."""

    def follower(self, sink: Sink) -> Subscriber:
        """Them, by a connection."""
        return Subscriber(sink, self.since, self.shows, self.scope)


async def send_events(request: web.Request, feed: Feed, wanted: Wanted) -> web.StreamResponse:
    """Follow by server-sent events, until the client leaves or is told why it ends."""
    if feed.closing:
        raise no_more_streams()

    async def send(response: web.StreamResponse) -> None:
        # The headers are out: what follows can be written behind them.
        transport = request.transport
        if transport is None:
            return
        subscriber = wanted.follower(Sink(transport, "chunked" if response.chunked else "sse"))
        with feed.following(wanted.caller.org_id, subscriber) as channel:
            await _until_ended(channel, subscriber, _Ends(wanted.caller.expires_at))
        if subscriber.reason is not None:
            retry_ms = feed.retry_ms
            subscriber.send(frames.bye(subscriber.reason, retry_ms), subscriber.cursor)
            async with asyncio.timeout(WRITE_TIMEOUT):
                await response.write(f"retry: {retry_ms}\n\n".encode())
                await response.write_eof()

    return await stream(request, send, retry_ms=feed.retry_ms)


async def talk(request: web.Request, feed: Feed, wanted: Wanted, renew: Renew) -> web.StreamResponse:
    """Follow by a WebSocket, until the client leaves or is told why it ends; it may send another token by then."""
    if feed.closing:
        raise no_more_streams()
    socket = web.WebSocketResponse(
        heartbeat=PING, max_msg_size=SENT_MOST, compress=False, timeout=CLOSE_TIMEOUT, autoclose=True
    )
    if not socket.can_prepare(request).ok:
        raise Problem(
            426,
            "websocket_wanted",
            "Upgrade required",
            "This address is for WebSockets. The same is at `/stream` as server-sent events.",
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
        )
    with suppress(ConnectionError, TimeoutError):
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        subscriber = wanted.follower(Sink(transport, "websocket"))
        ends = _Ends(wanted.caller.expires_at)
        with feed.following(wanted.caller.org_id, subscriber) as channel:
            hearing = asyncio.create_task(_hear(socket, subscriber, ends, renew))
            try:
                await _until_ended(channel, subscriber, ends)
            finally:
                hearing.cancel()
                await asyncio.wait([hearing])
        if subscriber.reason is not None:
            subscriber.send(frames.bye(subscriber.reason, feed.retry_ms), subscriber.cursor)
            await socket.close(code=CLOSE_CODES[subscriber.reason], message=subscriber.reason.encode())
    return socket


class _Ends:
    """When a connection has to end, for the token's time is over."""

    def __init__(self, expires_at: float) -> None:
        self.at = 0.0
        self._wait: asyncio.Timeout | None = None
        self.move(expires_at)

    def move(self, expires_at: float) -> None:
        """There is another token, until then in Unix seconds."""
        left = expires_at - time.time()
        early = random.uniform(0, min(EARLY, max(0.0, left) / 10))  # noqa: S311
        self.at = asyncio.get_running_loop().time() + left - early
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(min(self.at, self._wait.when() or self.at))

    async def wait(self, ended: asyncio.Event, most: float) -> None:
        """Wait for an event, `most` seconds. Raises `TimeoutError` then, and when the connection has to end."""
        try:
            async with asyncio.timeout_at(min(self.at, asyncio.get_running_loop().time() + most)) as self._wait:
                await ended.wait()
        finally:
            self._wait = None


async def _until_ended(channel: Channel, subscriber: Subscriber, ends: _Ends) -> None:
    """Show now and then that both ends are alive, until the connection has to end or the client has gone."""
    clock = asyncio.get_running_loop().time
    while subscriber.sink.is_open:
        try:
            await ends.wait(subscriber.ended, HEARTBEAT)
        except TimeoutError:
            if clock() >= ends.at:
                subscriber.end("token_expired")
                return
            channel.beat(subscriber)
        else:
            return


async def _hear(socket: web.WebSocketResponse, subscriber: Subscriber, ends: _Ends, renew: Renew) -> None:
    """Take what the client sends, until it leaves: a token that follows its first one, or a question whether we are."""
    rates = Rates(SENT_A_MINUTE, 1)
    async for message in socket:
        if rates.note("", time.monotonic()) is not None:
            subscriber.end("not_allowed")
            return
        match _said(message.data if message.type is WSMsgType.TEXT else ""):
            case {"type": "auth", "token": str(token)}:
                try:
                    caller = await renew(token)
                except Problem:
                    subscriber.end("not_allowed")
                    return
                ends.move(caller.expires_at)
                subscriber.send(frames.authorised(caller.expires_at))
            case {"type": "ping"}:
                subscriber.send(frames.alive())
            case _:
                pass  # of a newer client; it is not told that it was understood
    subscriber.ended.set()


def _said(data: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
