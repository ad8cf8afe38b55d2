"""A client that sends request after request on one connection and reads no answer is not listened to for long."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from local_stack import free_ports
from raw_http import BODY, request
from system import System, ended
from wabus_runtime.settings import KafkaSettings
from waiting import Eventually
from webhooks import conversation, text, webhook

MEGABYTE = 1024 * 1024
SENT = 12 * MEGABYTE
HELD_AT_MOST = 6 * MEGABYTE  # of it 3 MB are what the kernel holds of a connection that nobody reads from
QUIET = 1.5  # seconds in which nothing more is taken: then nothing more will be
ANSWERED_WITHIN = 3.0  # seconds, on a busy machine; on an idle one it is a tenth of one
GATEWAY, WORKER = "wabus_gateway", "wabus_gateway:worker"
FORGED = b"sha256=" + b"0" * 64


@pytest.fixture
async def system(topics: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[System]:
    """Of which nothing runs yet; a worker has a port too, for its probes."""
    monkeypatch.setenv("GATEWAY_BAD_SIGNATURES_A_MINUTE", "1000000")  # what is beyond that closes the connection
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        system = System(http, tmp_path, {})
        async with ended(system):
            yield system


async def send_without_reading(client: socket.socket, port: int, piece: bytes) -> int:
    """Send the piece again and again until no more of it is taken; how many bytes were."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        client.setsockopt(socket.SOL_SOCKET, option, 64 * 1024)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    many = memoryview(piece * (MEGABYTE // len(piece) + 1))
    taken, last = 0, time.monotonic()
    while taken < SENT and time.monotonic() - last < QUIET:
        try:
            taken += client.send(many[taken % len(many) :])
            last = time.monotonic()
            await asyncio.sleep(0)
        except BlockingIOError:
            await asyncio.sleep(0.01)
    return taken


async def requests_answered(system: System, module: str) -> float:
    async with system.http.get(system.url(module, "/metrics")) as answer:
        return sum(
            map(float, re.findall(r"^wabus_http_requests_total\{.*\} (\S+)$", await answer.text(), re.MULTILINE))
        )


@pytest.mark.parametrize(
    ("module", "piece"),
    [
        (GATEWAY, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (GATEWAY, request()),
        (GATEWAY, request(signature=FORGED)),
        (GATEWAY, request(BODY + b" " * 20_000, signature=FORGED)),
        (WORKER, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
    ids=["pages", "webhooks", "forged", "large and forged", "a worker's probes"],
)
async def test_one_connection_that_reads_no_answers_cannot_freeze_the_gateway(
    system: System, eventually: Eventually, module: str, piece: bytes
) -> None:
    [system.ports[module]] = free_ports(1)
    await system.start(module, *(["--role", "worker"] if module == WORKER else []))
    await eventually(system.ready)
    before = await requests_answered(system, module)
    others, slowest = 0, 0.0
    with socket.socket() as client:
        sending = asyncio.create_task(send_without_reading(client, system.ports[module], piece))
        while not sending.done():
            started = time.monotonic()
            await system.get(module, "/healthz", {})
            if module == GATEWAY:
                assert await system.deliver(webhook(conversation(messages=[text(f"wamid.{others}")]))) == 200
            slowest = max(slowest, time.monotonic() - started)
            others += 2 if module == GATEWAY else 1
            await asyncio.wait([sending], timeout=0.05)
        answered = await requests_answered(system, module) - before - others
        assert await sending - answered * len(piece) < HELD_AT_MOST
    assert slowest < ANSWERED_WITHIN
