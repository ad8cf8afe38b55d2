"""A storm of new connections is let in within a few turns of the event loop, however long one of them takes."""

import asyncio
import socket
import threading
from collections.abc import Callable

import uvloop
from wabus_runtime.service.process import ACCEPTED_AT_ONCE, FRONT, build_app, serving

STORM = 400


def test_many_new_connections_are_accepted_each_time_that_the_event_loop_goes_round() -> None:
    seen = 0
    turns = 0

    def counting(server: Callable[[], asyncio.BaseProtocol]) -> Callable[[], asyncio.BaseProtocol]:
        def protocol() -> asyncio.BaseProtocol:
            nonlocal seen
            seen += 1
            return server()

        return protocol

    async def main() -> None:
        nonlocal turns
        app = build_app([])
        app[FRONT] = counting
        async with serving(app, "127.0.0.1", 0) as ports:
            clients: list[socket.socket] = []

            def storm() -> None:
                clients.extend(socket.create_connection(("127.0.0.1", ports[0])) for _ in range(STORM))

            arriving = threading.Thread(target=storm)
            arriving.start()
            arriving.join()  # nothing is accepted meanwhile: the event loop waits here too
            assert seen == 0
            async with asyncio.timeout(30):
                while seen < STORM:
                    turns += 1
                    await asyncio.sleep(0)
            for client in clients:
                client.close()

    uvloop.run(main())
    assert turns <= 4 * STORM / ACCEPTED_AT_ONCE
