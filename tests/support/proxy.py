"""A TCP proxy between the services and Kafka or PostgreSQL: it stalls, slows down, cuts; before PostgreSQL also TLS."""

import asyncio
import socket
import ssl
import struct
from pathlib import Path

from local_stack import free_ports
from wabus_local.kafka import EmbeddedKafka

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
"""PostgreSQL's message before TLS (PostgreSQL documentation, "Message Formats", SSLRequest)."""


class Proxy:
    """Listens on `port` of this machine and passes everything on to `target`, as long as it is not told otherwise.

    With `tls` it wants PostgreSQL's SSLRequest first and speaks TLS to the client, plain to the server.
    """

    def __init__(self, port: int, target: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.delay = 0.0  # seconds by which each piece comes late
        self.largest = 65_536  # bytes of a piece
        self.answering = True  # whether what the target says gets through, or is lost
        self._target = target
        self._tls = tls
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def stall(self) -> None:
        """Connections stay open and nothing passes, as when a cable is pulled."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            # Without this the other side would see an ordinary end.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            return
        except asyncio.CancelledError:
            return  # the server's own callback would report it
        finally:
            self._handlers.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tls:
            if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
                return
            writer.write(b"S")
            await writer.start_tls(self._tls)
        await self._flowing.wait()
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, up_writer}
        try:
            passing = [
                asyncio.create_task(self._pass(reader, up_writer)),
                asyncio.create_task(self._pass(up_reader, writer, back=True)),
            ]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            for one in passing:
                one.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
        finally:
            self._writers -= {writer, up_writer}
            up_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False) -> None:
        while piece := await reader.read(self.largest):
            await self._flowing.wait()
            if back and not self.answering:
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            writer.write(piece)
            await writer.drain()


def kafka_behind_a_proxy(home: Path) -> tuple[EmbeddedKafka, int, int]:
    """A broker, the port of a second listener, and the port that this one tells clients to come to."""
    port, controller, listener, proxy = free_ports(4)
    properties = {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SERVICES://127.0.0.1:{listener}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},SERVICES://127.0.0.1:{proxy}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SERVICES:PLAINTEXT",
    }
    return EmbeddedKafka(home, port, controller_port=controller, properties=properties), listener, proxy
