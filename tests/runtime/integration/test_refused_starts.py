"""What keeps a process from starting is one line and exit status 1; what is found later is named by /readyz."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from local_stack import free_ports
from proxy import Proxy
from wabus_events import ACCOUNTS
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.service.process import Service, build_app
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
SERVICE = ("-m", "wabus_health_projector")


def nothing(*_: object) -> None:
    pass


NOTHING = Service("nothing", {"all": KafkaSettings}, nothing)


async def refused(*command: str) -> str:
    """The last line that a process says before it ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "Traceback" not in said.decode()
    # Not aiokafka's connections: one that it is about to open when it is cancelled is nobody's to close.
    assert "Unclosed client" not in said.decode()
    return said.decode().splitlines()[-1]


async def with_other_partitions(settings: KafkaSettings) -> None:
    await ensure_topics(settings, [replace(ACCOUNTS, partitions=3)])


@pytest.mark.parametrize("command", [SERVICE, ("-c", "from wabus_cli.main import main; main()", "topics")])
async def test_a_topic_with_other_partitions_is_named(environment: dict[str, str], command: tuple[str, ...]) -> None:
    await with_other_partitions(load(KafkaSettings))
    line = await refused(*command)
    assert line.startswith("wabus: ")
    assert line.endswith("accounts.v1 has 3 partitions, declared are 12")


async def test_a_topic_with_other_partitions_is_named_also_where_kafka_was_away_at_first(
    environment: dict[str, str], serve: Serve, eventually: Eventually
) -> None:
    settings = load(KafkaSettings)
    await with_other_partitions(settings)
    down = settings.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{free_ports(1)[0]}"})
    client = await serve(build_app([(NOTHING, down)]))

    async def waits_for(what: str | None) -> bool:
        answer = await (await client.get("/readyz")).json()
        return answer["waiting_for"].get("topics") == what

    await eventually(partial(waits_for, None))
    down.kafka_bootstrap_servers = settings.kafka_bootstrap_servers
    await eventually(partial(waits_for, "failed: TopicMismatch"))


async def test_tables_that_no_password_opens_are_named(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", environment["DATABASE_URL"].replace("//wabus:", "//nobody:"))
    assert await refused(*SERVICE) == 'wabus: PostgreSQL refused: password authentication failed for user "nobody"'


async def test_an_address_in_use_is_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    taken = Proxy(port, port)
    await taken.start()
    monkeypatch.setenv("HTTP_PORT", str(port))
    assert "address already in use" in await refused(*SERVICE)
    await taken.stop()


async def test_of_two_releases_that_make_the_topics_at_once_one_is_told_that_they_differ(
    environment: dict[str, str],
) -> None:
    own = load(KafkaSettings)
    for number in range(5):
        settings = own.model_copy(update={"topic_prefix": f"{own.topic_prefix}{number}."})
        ends = await asyncio.gather(
            ensure_topics(settings), with_other_partitions(settings), return_exceptions=True
        )  # fmt: skip
        assert [type(end).__name__ for end in ends if end] == ["TopicMismatch"]
