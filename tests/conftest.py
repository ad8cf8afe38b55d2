"""Kafka and PostgreSQL started once for the whole run; each test gets topics and a database of its own on them."""

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from local_stack import free_ports
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from profiles import load_profile
from support import meta_openapi
from support.in_memory import write_to_memory
from support.of_a_test import Templates, administer, forget_topics, settings_of_a_test
from system import System, beside_meta
from wabus_events import TOPICS, Event, Topic, decode
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.http.auth import make_token
from wabus_runtime.kafka.clients import KafkaUnavailable, client_options, ensure_topics, topic_name
from wabus_runtime.kafka.end_offsets import Ends
from wabus_runtime.kafka.publisher import Patience, Publisher
from wabus_runtime.observe import tracing
from wabus_runtime.settings import AuthSettings, IdentitySettings, KafkaSettings, load
from waiting import Eventually, wait_until
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

load_profile()
write_to_memory()


class ByFile(LoadFileScheduling):
    """Each file's tests in one process; all that run containers in the same one, for they share one system."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "containers" if "/containers/" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if why := meta_openapi.missing():
        terminalreporter.write_line(why)


@pytest.fixture(autouse=True)
def calls_as_meta_describes_them() -> Iterator[None]:
    """Whatever a test has called the simulated Meta with, and been answered, is as Meta's OpenAPI has it."""
    meta_openapi.FINDINGS.clear()
    yield
    assert [str(finding) for finding in meta_openapi.FINDINGS] == []


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Unit tests decide with pure functions and small servers of their own: they are run again at every change."""
    stores = {"kafka", "postgres"} & set(getattr(item, "fixturenames", ()))
    if "unit" in item.path.parts and stores:
        pytest.fail(f"a unit test starts no {' and no '.join(sorted(stores))}: put the test into integration/")


@pytest.fixture(scope="session")
def stack_home() -> Iterator[Path]:
    """Not under pytest's own temporary folder: a second run would close that to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="wabus-tests-", ignore_cleanup_errors=True) as home:
        yield Path(home)


@pytest.fixture(scope="session")
def kafka(stack_home: Path) -> Iterator[EmbeddedKafka]:
    port, controller_port = free_ports(2)
    embedded = EmbeddedKafka(stack_home, port, controller_port=controller_port, progress=print)
    asyncio.run(embedded.start(200))
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture(scope="session")
def postgres(stack_home: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(stack_home, free_ports(1)[0], secrets.token_hex(16), durable=False)
    asyncio.run(embedded.start(200))
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture(scope="session")
def templates() -> Templates:
    return Templates()


@pytest.fixture
async def database_url(
    postgres: EmbeddedPostgres, templates: Templates, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """A database of this test's own: with the tables of its service, without rows; `empty_database` has no tables."""
    empty = request.node.get_closest_marker("empty_database") is not None
    template = "template0" if empty else await templates.of(postgres, request.path)
    name = f"test_{uuid4().hex}"
    await administer(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgres.url_of(name)
    await administer(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def environment(
    kafka: EmbeddedKafka, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Every setting a service needs, in the environment: real Kafka under a topic prefix of its own."""
    values = settings_of_a_test(kafka.bootstrap_servers, database_url, tmp_path)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield values
    asyncio.run(forget_topics(values["KAFKA_BOOTSTRAP_SERVERS"], values["TOPIC_PREFIX"]))


async def are_led(settings: KafkaSettings) -> None:
    """Wait until the broker answers for each partition: on a busy machine it leads one later than it says so."""
    names = {topic_name(settings, topic): topic.partitions for topic in TOPICS}
    places = [[TopicPartition(name, number) for number in range(partitions)] for name, partitions in names.items()]
    client = Ends(settings)
    try:
        await client.start()
        # At the same time, for the client waits a tenth of a second for each topic that it does not know.
        await asyncio.gather(*map(client.of, places))
    except KafkaError as error:
        raise KafkaUnavailable("the broker does not lead all partitions") from error
    finally:
        await client.stop()


@pytest.fixture
async def topics(environment: dict[str, str]) -> IdentitySettings:
    """The settings of a Kafka on which this test's topics exist."""
    loaded = load(IdentitySettings)

    async def made() -> bool:
        try:
            await ensure_topics(loaded)
            await are_led(loaded)
        except KafkaUnavailable:  # a busy machine: services try again too
            return False
        return True

    await wait_until(made)
    return loaded


@pytest.fixture
async def publisher(topics: KafkaSettings) -> AsyncIterator[Publisher]:
    """Publishes to this test's topics, however busy the machine is."""
    publisher = Publisher(topics, "/wabus/test", Patience(acknowledge=30.0))
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
def eventually() -> Eventually:
    """Wait for a condition: see `wait_until`."""
    return wait_until


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]]:
    """Serve an application on a real port; it is drained after the test."""
    clients: list[TestClient[web.Request, web.Application]] = []

    async def start(app: web.Application) -> TestClient[web.Request, web.Application]:
        client = TestClient(TestServer(app))
        clients.append(client)
        await client.start_server()
        return client

    yield start
    for client in reversed(clients):
        await client.close()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that end from here on; where nobody asks for them none are made."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.trace_with(provider)
    yield exporter
    tracing.trace_with(None)


@pytest.fixture
def bearer(environment: dict[str, str]) -> Callable[..., dict[str, str]]:
    """The Authorization header of a caller."""
    settings = cache(partial(load, AuthSettings))  # reading them takes 10 ms, and some tests ask with each poll

    def header(org: str = "demo", role: str = "admin", sub: str | None = None) -> dict[str, str]:
        lifetime = timedelta(minutes=10)
        token = make_token(settings(), org_id=org, role=role, now=datetime.now(UTC), lifetime=lifetime, subject=sub)
        return {"Authorization": f"Bearer {token}"}

    return header


@pytest.fixture
def events_in(topics: KafkaSettings) -> Callable[..., Awaitable[list[Event]]]:
    """All committed events of a topic, in the order of each partition."""

    async def read(topic: Topic) -> list[Event]:
        consumer = AIOKafkaConsumer(
            **client_options(topics), isolation_level="read_committed", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            name = topic_name(topics, topic)
            partitions = [TopicPartition(name, number) for number in range(topic.partitions)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            events: list[Event] = []
            while True:
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    events += [decode(record.headers, record.value) for record in batch if record.value is not None]
                positions = [(await consumer.position(partition), ends[partition]) for partition in partitions]
                if all(position >= end for position, end in positions):
                    return events
        finally:
            await consumer.stop()

    return read


@pytest.fixture
async def idle_system(
    topics: KafkaSettings,
    serve: Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[System]:
    """A system of which nothing runs yet, on topics and a database of its own, beside a simulated Meta."""
    async with beside_meta(serve, monkeypatch, tmp_path) as system:
        yield system
