"""What several benchmarks need of the system that they start, and how they print what took how long."""

import asyncio
import base64
import random
import secrets
import socket

import aiohttp

READY_WITHIN = 60.0  # seconds


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


def report(name: str, took: list[float]) -> float:
    """Print how long it took, given in seconds; returns the 99th percentile in ms."""
    ordered = sorted(took)
    p50, p99 = (ordered[int(share * (len(ordered) - 1))] * 1000 for share in (0.5, 0.99))
    print(f"  {name:30} {len(took):6}   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   most {ordered[-1] * 1000:7.2f} ms")
    return p99
