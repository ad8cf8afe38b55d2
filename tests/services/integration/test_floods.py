"""Nobody who sends 20 MB and reads nothing gets more of a process than a few megabytes, on whichever way in."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
from floods import DESCRIPTION, FLOODS, MEGABYTE, SEND_BUFFER, TO_THE_GATEWAY, Flood, flood
from local_stack import free_ports
from raw_http import request
from support.of_a_test import administer, forget_topics, settings_of_a_test
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.http.auth import make_token
from wabus_runtime.http.connections import REQUEST_MOST
from wabus_runtime.service.process import GC_THRESHOLD
from wabus_runtime.settings import AuthSettings

pytestmark = pytest.mark.long  # more than a minute of sending

KERNEL = 6 * MEGABYTE + 2 * SEND_BUFFER  # that the kernel takes of a connection which nobody reads from, at most
MEMORY_AT_MOST = 8 * MEGABYTE  # that it grows by, with what Python does not give back at once
CIRCLES = GC_THRESHOLD[0] * 80  # bytes: aiohttp leaves a circle behind each unknown address, for the collector to find
TRIES = 2  # a bound that does not hold is broken each time; what the kernel does on a busy machine is not
ANSWERED_WITHIN = 3.0  # seconds, on a busy machine; on an idle one it is a tenth of one


@dataclass(frozen=True)
class Process:
    port: int
    pid: int


@dataclass(frozen=True)
class Way:
    """A way in: the process, and what is asked first on the connection."""

    name: str
    process: str
    opening: str = ""
    floods: tuple[Flood, ...] = FLOODS


WAYS = (
    Way("the fast path", "with the fast path", floods=(*TO_THE_GATEWAY, *FLOODS)),
    Way("aiohttp alone", "without the fast path", floods=(*TO_THE_GATEWAY, *FLOODS)),
    Way("handed over", "with the fast path", "a webhook"),
    Way("behind the live stream of health", "without the fast path", "/webhook/health/stream"),
    Way("behind the live stream of a sync", "with the fast path", "/templates/sync/s1/stream"),
    Way("a worker's port", "worker"),
)


@pytest.fixture(scope="module")
def processes(
    kafka: EmbeddedKafka, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Process]]:
    """All APIs in one process, once with the gateway's fast path and once without, and a worker with its own port."""
    home = tmp_path_factory.mktemp("floods")
    name = f"floods_{uuid4().hex}"
    asyncio.run(administer(postgres, f"CREATE DATABASE {name} TEMPLATE template0"))
    wabus = Path(sys.executable).parent / "wabus"
    own = settings_of_a_test(kafka.bootstrap_servers, postgres.url_of(name), home)
    # What is beyond that would close the connection, and with it the attack.
    environment = {**os.environ, **own, "GATEWAY_BAD_SIGNATURES_A_MINUTE": "1000000", "LOG_LEVEL": "WARNING"}
    subprocess.run([wabus, "migrate"], env=environment, check=True, capture_output=True)
    asyncio.run(_make_sync(postgres.url_of(name)))
    commands = {
        "with the fast path": ("true", ["--role", "api"]),
        "without the fast path": ("false", ["--role", "api"]),
        "worker": ("true", ["health-projector", "--role", "worker"]),
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    ports = dict(zip(commands, free_ports(len(commands)), strict=True))
    try:
        for each, (fast_path, arguments) in commands.items():
            with (home / f"{each}.log").open("wb") as log:
                running[each] = subprocess.Popen(
                    [wabus, "serve", *arguments],
                    env={**environment, "HTTP_PORT": str(ports[each]), "GATEWAY_FAST_PATH": fast_path},
                    stdout=log,
                    stderr=log,
                )
        asyncio.run(_ready(list(ports.values())))
        yield {each: Process(ports[each], process.pid) for each, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        asyncio.run(administer(postgres, f"DROP DATABASE {name} WITH (FORCE)"))
        asyncio.run(forget_topics(kafka.bootstrap_servers, own["TOPIC_PREFIX"]))


async def _make_sync(database_url: str) -> None:
    """A sync that never ends, for a stream that never does."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("""
        INSERT INTO template_syncs (sync_id, waba_id, org_id, reason, status, asked_at, figures, error)
        VALUES ('s1', '1', 'demo', 'manual', 'requested', now(), '{}', '{}')
    """)
    await connection.close()


async def _ready(ports: list[int]) -> None:
    deadline = time.monotonic() + 120
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        for port in ports:
            while True:
                assert time.monotonic() < deadline, f"{port} is not ready"
                try:
                    async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)


def opening(way: Way) -> bytes:
    """What is asked before the flood begins."""
    if not way.opening:
        return b""
    if way.opening == "a webhook":
        return request()
    settings = AuthSettings.model_validate({"jwt_secret": settings_of_a_test("", "", Path())["JWT_SECRET"]})
    token = make_token(settings, org_id="demo", role="member", now=datetime.now(UTC), lifetime=timedelta(minutes=30))
    return f"GET {way.opening} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def requests_answered(port: int) -> float:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        counted = re.findall(r"^wabus_http_requests_total\{.*\} (\S+)$", await answer.text(), re.MULTILINE)
    return sum(map(float, counted))


@pytest.mark.parametrize(
    ("way", "what"),
    [pytest.param(way, what, id=f"{way.name}: {what.name}") for way in WAYS for what in way.floods],
)
async def test_who_sends_without_end_and_reads_nothing_takes_little_and_keeps_nobody_waiting(
    processes: dict[str, Process], way: Way, what: Flood
) -> None:
    process = processes[way.process]
    is_unknown = way.process == "worker" and what is DESCRIPTION
    memory_most = MEMORY_AT_MOST + (CIRCLES if is_unknown else 0)
    seen: list[str] = []
    for _ in range(TRIES):
        before = await requests_answered(process.port)
        with_webhooks = way.process != "worker"
        outcome = await flood(process.port, process.pid, opening(way), what, with_webhooks=with_webhooks)
        answered = await requests_answered(process.port) - before - outcome.asked - 1
        held = outcome.taken - (answered * len(what.piece) if what.is_whole else 0)
        if outcome.slowest < ANSWERED_WITHIN and outcome.memory < memory_most and held < KERNEL + REQUEST_MOST:
            return
        seen.append(f"{held} bytes were held: {outcome}")
    pytest.fail("\n".join(seen))
