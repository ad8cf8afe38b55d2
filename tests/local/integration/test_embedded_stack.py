"""The embedded Kafka and PostgreSQL lose nothing when they are killed; the local stack says what is in its way."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from local_stack import free_ports
from wabus_local.__main__ import check_ports, only_one
from wabus_local.kafka import EmbeddedKafka
from wabus_local.postgres import EmbeddedPostgres
from wabus_local.process import StackError
from wabus_local.settings import Stack, resolve, write_local_env
from wabus_local.supervisor import restart_delay
from wabus_runtime.settings import AuthSettings, KafkaSettings

START_TIMEOUT = 150.0  # seconds, on a machine that others keep busy


def stack_on(home: Path, **given: str) -> Stack:
    names = ("HTTP_PORT", "WORKER_PORT", "META_PORT", "KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "POSTGRES_PORT")
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    return resolve({"WABUS_HOME": str(home), **ports, **given})


@pytest.mark.long
async def test_kafka_keeps_what_it_acknowledged_through_kill_9(tmp_path: Path) -> None:
    port, controller_port = free_ports(2)
    broker = EmbeddedKafka(tmp_path, port, controller_port=controller_port)
    await broker.start(START_TIMEOUT)
    try:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
        async with AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap_servers, enable_idempotence=True, max_request_size=8_000_000
        ) as producer:
            for number in range(100):
                await producer.send_and_wait("kept", b"%d" % number)
            await producer.send_and_wait("kept", b"x" * 4_000_000)

        await broker.kill()
        await broker.start(START_TIMEOUT)

        async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers) as consumer:
            partition = TopicPartition("kept", 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            values = [(await consumer.getone()).value for _ in range(101)]
        assert values == [*(b"%d" % number for number in range(100)), b"x" * 4_000_000]
    finally:
        await broker.stop()


@pytest.mark.long
async def test_postgresql_keeps_what_it_committed_through_kill_9(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, free_ports(1)[0], "a-password")
    await server.start(START_TIMEOUT)
    try:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

        await server.kill()
        await server.start(START_TIMEOUT)

        again = await asyncpg.connect(server.url)
        assert await again.fetchval("SELECT answer FROM kept") == 42
        await again.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url.replace("a-password", "another"))
    finally:
        await server.stop()


@pytest.mark.long
async def test_nobody_reads_our_secrets_in_the_environment_of_kafka_or_postgresql(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_APP_SECRETS", "a-secret-for-tests")
    port, controller_port, postgres_port = free_ports(3)
    broker = EmbeddedKafka(tmp_path, port, controller_port=controller_port)
    server = EmbeddedPostgres(tmp_path, postgres_port, "a-password", durable=False)
    try:
        await broker.start(START_TIMEOUT)
        await server.start(START_TIMEOUT)
        assert broker.child is not None
        assert server.child is not None
        for child in (broker.child, server.child):
            assert "a-secret-for-tests" not in psutil.Process(child.pid).environ().values()
    finally:
        await broker.stop()
        await server.stop()


async def test_a_password_that_no_longer_fits_the_data_is_said_in_one_line(tmp_path: Path) -> None:
    first = EmbeddedPostgres(tmp_path, free_ports(1)[0], "a-password", durable=False)
    await first.start(START_TIMEOUT)
    await first.stop()

    with pytest.raises(StackError, match="has another password"):
        await EmbeddedPostgres(tmp_path, free_ports(1)[0], "another", durable=False).start(START_TIMEOUT)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_ends_with_its_parent_also_when_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from wabus_local.process import Child\n"
        "child = Child('sleeper', ['sleep', '600'], Path(sys.argv[1]))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))

    parent.kill()
    parent.wait(5)

    child.wait(5)
    assert not child.is_running()
    parent.stdout.close()


def test_what_is_killed_a_few_times_works_again_at_once_and_what_can_not_live_waits() -> None:
    assert [restart_delay(failures) for failures in range(1, 11)] == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16]


def test_a_port_in_use_is_named_with_the_variable_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = stack_on(tmp_path, META_PORT=str(port))

        with pytest.raises(StackError, match=rf"port {port} is already in use \(set META_PORT to another\)"):
            check_ports(stack)


def test_two_parts_can_not_have_the_same_port(tmp_path: Path) -> None:
    stack = stack_on(tmp_path, HTTP_PORT="18080", META_PORT="18080")

    with pytest.raises(StackError, match="HTTP_PORT and META_PORT are both 18080"):
        check_ports(stack)


def test_a_malformed_port_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="KAFKA_PORT must be a port number"):
        stack_on(tmp_path, KAFKA_PORT="many")


def test_a_home_belongs_to_one_stack_at_a_time(tmp_path: Path) -> None:
    message = f"already running as process {os.getpid()}"

    with only_one(tmp_path), pytest.raises(StackError, match=message), only_one(tmp_path):
        raise AssertionError("two stacks on one home")


def test_secrets_are_made_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    first = stack_on(tmp_path)
    write_local_env(first)

    second = stack_on(tmp_path)

    secret_names = (
        "META_APP_SECRETS",
        "META_VERIFY_TOKEN",
        "CREDENTIAL_KEYS",
        "IDENTITY_KEY",
        "JWT_SECRET",
        "POSTGRES_PASSWORD",
    )
    assert {name: first.env[name] for name in secret_names} == {name: second.env[name] for name in secret_names}
    assert stat.S_IMODE((tmp_path / "local.env").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("given", "own"),
    [
        ({}, (True, True, True)),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}, (False, True, True)),
        ({"DATABASE_URL": "postgresql://someone@db/wabus"}, (True, False, True)),
        (
            {"META_GRAPH_URL": "https://graph.example", "META_APP_ID": "1", "META_APP_SECRETS": "s"},
            (True, True, False),
        ),
    ],
)
def test_what_is_given_from_outside_is_not_started(
    tmp_path: Path, given: Mapping[str, str], own: tuple[bool, bool, bool]
) -> None:
    write_local_env(stack_on(tmp_path))  # an earlier start must not look like something from outside

    stack = stack_on(tmp_path, **given)

    assert (stack.own_kafka, stack.own_postgres, stack.own_meta) == own
    assert given.items() <= stack.env.items()


def test_a_command_in_another_terminal_is_told_how_kafka_and_who_calls_are_known(tmp_path: Path) -> None:
    names = {name.upper() for kind in (KafkaSettings, AuthSettings) for name in kind.model_fields}
    own = {"DEAD_LETTERS_ALLOWED", "DEAD_LETTERS_MAX_SHARE", "ALLOWED_ORIGINS"}  # of processes, which no command is
    given = dict.fromkeys(names - own, "given")
    assert given.items() <= stack_on(tmp_path, **given).env.items()


def test_the_real_meta_needs_the_real_app(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="META_APP_ID and META_APP_SECRETS must be given too"):
        stack_on(tmp_path, META_GRAPH_URL="https://graph.example")
