"""A broker's connection as produce requests want it: bytes go out, a callback gets the answer; no task, no future.

aiokafka connects, negotiates TLS and authenticates. Its connection is then taken over, because for each answer its
reading costs two tasks' turns, three futures and a time-out, which is most of what a webhook on its own costs
(docs/decisions/0013). Source: Kafka protocol guide, "Protocol Primitive Types" and "Request and Response Headers".
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import CloseReason
from aiokafka.errors import IncompatibleBrokerVersion

_GROUP = "produce"  # beside the connections of aiokafka's own groups, which go on for metadata
_HEADER = struct.Struct(">ihhi")  # bytes that follow, API, its version, correlation id; the client's id comes next
_ANSWER = struct.Struct(">ii")  # bytes that follow, correlation id

Answered = Callable[[bytes | None], None]
"""Gets what follows an answer's header, or None where the connection ended before."""


class Wire(asyncio.Protocol):
    """One request at a time on a connection that is taken over."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._transport: asyncio.Transport = connection._writer.transport
        self._former: asyncio.Protocol = connection._protocol
        self._answered: Answered | None = None
        self._correlation_id: int = connection._correlation_id
        name: bytes = connection._client_id.encode()
        self._name = struct.pack(f">h{len(name)}s", len(name), name)
        self._read = b""
        self.asked_at: float | None = None
        """When what has no answer yet was asked, in the loop's time."""
        self.open = not self._transport.is_closing()
        connection._read_task.cancel()
        if connection._idle_handle:
            connection._idle_handle.cancel()  # it would see nothing of what happens here
        self._transport.set_protocol(self)

    def ask(self, api: int, version: int, request: bytes, answered: Answered) -> None:
        """Send a request; `answered` is called once, and at once only where the connection is broken."""
        self._correlation_id = (self._correlation_id + 1) & 0x7FFFFFFF
        self._answered = answered
        self.asked_at = asyncio.get_running_loop().time()
        if not self.open:
            self.end()
            return
        size = _HEADER.size - 4 + len(self._name) + len(request)
        try:
            self._transport.write(_HEADER.pack(size, api, version, self._correlation_id) + self._name + request)
        except (OSError, RuntimeError):  # uvloop's word for a connection that was reset
            self.end()

    def data_received(self, data: bytes) -> None:
        self._read += data
        if len(self._read) < _ANSWER.size:
            return
        size, correlation_id = _ANSWER.unpack_from(self._read)
        if len(self._read) < 4 + size:
            return
        read, self._read = self._read, b""
        if correlation_id != self._correlation_id or len(read) != 4 + size or self._answered is None:
            self.end()  # not what was asked for: whatever came next would not be either
            return
        answered, self._answered, self.asked_at = self._answered, None, None
        answered(read[_ANSWER.size :])

    def connection_lost(self, exc: Exception | None) -> None:
        self._former.connection_lost(exc)  # aiokafka waits for its end when it closes
        self.end()

    def end(self) -> None:
        """Give the connection up, and with it the answer to what was asked."""
        self.open = False
        self._connection.close(reason=CloseReason.CONNECTION_BROKEN)
        answered, self._answered, self.asked_at = self._answered, None, None
        if answered:
            answered(None)


async def take_over(client: AIOKafkaClient, broker: int, api: int, version: int) -> Wire | None:
    """A connection to a broker of its own, or None where there is none to be had now.

    Raises IncompatibleBrokerVersion where the broker does not speak the version.
    """
    inner: Any = client
    connection = await inner._get_conn(broker, group=_GROUP)
    if connection is None or not connection.connected():
        return None
    lowest, highest = connection._versions.get(api, (-1, -1))
    if not lowest <= version <= highest:
        raise IncompatibleBrokerVersion(f"the broker does not speak version {version} of its API {api}")
    return Wire(connection)
