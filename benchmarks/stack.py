"""What several benchmarks need of the system that they start, and how they print what took how long."""

import asyncio
import base64
import os
import random
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres

READY_WITHIN = 60.0  # seconds
WARM_UP = 3.0  # seconds


@asynccontextmanager
async def stores(ports: Sequence[int], *, durable: bool = True) -> AsyncGenerator[EmbeddedPostgres]:
    """Kafka and PostgreSQL with nothing in them; the environment has the settings of services over them.

    The ports are those of Kafka, its controller, PostgreSQL and the API.
    """
    with tempfile.TemporaryDirectory(prefix="wabus-bench-", ignore_cleanup_errors=True) as folder:
        kafka = EmbeddedKafka(Path(folder), ports[0], controller_port=ports[1], progress=lambda _: None)
        postgres = EmbeddedPostgres(Path(folder), ports[2], secrets.token_hex(16), durable=durable)
        try:
            await asyncio.gather(kafka.start(120), postgres.start(60))
            os.environ.update(environment(kafka.bootstrap_servers, postgres.url, ports[3], folder))
            yield postgres
        finally:
            await asyncio.gather(kafka.stop(), postgres.stop())


def environment(bootstrap_servers: str, database_url: str, port: int, folder: str) -> dict[str, str]:
    """The settings of services over these stores; the port is that of the API, and nobody answers as Meta."""
    return {
        "WABUS_HOME": folder,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "TOPIC_REPLICATION": "1",
        "DATABASE_URL": database_url,
        "HTTP_PORT": str(port),
        "JWT_SECRET": secrets.token_hex(32),
        "META_APP_ID": "1",
        "META_APP_SECRETS": secrets.token_hex(16),
        "META_VERIFY_TOKEN": secrets.token_hex(16),
        "META_GRAPH_URL": f"http://127.0.0.1:{port}",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "IDENTITY_KEY": base64.b64encode(random.randbytes(32)).decode(),
        "CREDENTIAL_KEYS": "k:" + base64.b64encode(random.randbytes(32)).decode(),
        "LOG_LEVEL": "WARNING",
    }


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


async def ready(service: str) -> None:
    """Return once the service at this address is ready. Raises `TimeoutError`."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_WITHIN):
        while True:
            try:
                async with session.get(f"{service}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


@asynccontextmanager
async def api_of(package: str, port: int) -> AsyncGenerator[None]:
    """A service's API as a process, ready to answer."""
    api = await asyncio.create_subprocess_exec(
        sys.executable, "-m", package, "--role", "api", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await ready(f"http://127.0.0.1:{port}")
        yield
    finally:
        api.terminate()
        await api.wait()


def report(name: str, took: list[float]) -> float:
    """Print how long it took, given in seconds; returns the 99th percentile in ms."""
    ordered = sorted(took)
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] * 1000 for share in (0.5, 0.99))
    print(f"  {name:30} {len(took):6}   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   most {ordered[-1] * 1000:7.2f} ms")
    return p99


async def paced(rate: float, seconds: float, ask: Callable[[int], Awaitable[None]]) -> list[float]:
    """Ask at fixed times; the seconds from when each was due until its answer."""
    clock = time.perf_counter  # uvloop's own clock has whole milliseconds
    begun = clock()
    took: list[float] = []

    async def one(number: int, due: float) -> None:
        await ask(number)
        if due - begun >= WARM_UP:
            took.append(clock() - due)

    tasks: list[asyncio.Task[None]] = []
    for number in range(int(rate * (seconds + WARM_UP))):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - clock()))
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    return took
