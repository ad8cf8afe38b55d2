"""The system under chaos: two processes of each service, and stores that only a network of the test's leads to."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from blows import Stores
from local_stack import free_ports
from machine import Clock, Disk, Network, small_disk
from proxy import kafka_behind_a_proxy
from simulated_meta import Store, new_world
from support.meta_openapi import create_meta
from system import MODULES, System, ended
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]


@pytest.fixture(scope="session")
def disk() -> Iterator[tuple[Path, Disk | None]]:
    with small_disk() as made:
        yield made


@pytest.fixture(scope="session")
def stores(disk: tuple[Path, Disk | None]) -> Iterator[Stores]:
    """Kafka and a durable PostgreSQL of these tests' own, on a disk that can be filled: they will be killed."""
    broker, listener, advertised = kafka_behind_a_proxy(disk[0])
    stores = Stores(broker, EmbeddedPostgres(disk[0], free_ports(1)[0], secrets.token_hex(16)), listener, advertised)
    asyncio.run(stores.start())
    yield stores
    asyncio.run(stores.stop())


@pytest.fixture(scope="session")
def kafka(stores: Stores) -> EmbeddedKafka:
    return stores.kafka


@pytest.fixture(scope="session")
def postgres(stores: Stores) -> EmbeddedPostgres:
    return stores.postgres


@pytest.fixture
async def network(stores: Stores) -> AsyncIterator[Network]:
    network = Network(stores.listener, stores.advertised, urlsplit(stores.postgres.url).port or 0)
    await network.start()
    yield network
    await network.stop()


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
async def system(
    topics: object,
    network: Network,
    clock: Clock,
    environment: dict[str, str],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[System]:
    names = [*MODULES, *(f"{module}:2" for module in MODULES)]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    meta = await serve(create_meta(store, delay_scale=0.01))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")))
    monkeypatch.setenv("PUBLIC_URL", f"http://127.0.0.1:{ports['wabus_gateway']}")
    monkeypatch.setenv("META_TOKEN", next(iter(store.world.tokens)))
    database = urlsplit(environment["DATABASE_URL"])
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{network.kafka.port}",
        "DATABASE_URL": f"postgresql://wabus:{database.password}@127.0.0.1:{network.postgres.port}{database.path}",
        **(clock.env if clock.works() else {}),
    }
    # A connection for each request: what a balancer reuses, and when, is another story.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), connector=connector) as http:
        system = System(http, tmp_path, ports, env=env)
        async with ended(system):
            for name in names:
                await system.start(name)
            yield system
