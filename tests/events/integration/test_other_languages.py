"""The examples in other languages read our records from real Kafka, with their ordinary clients and SDKs."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from node_packages import installed
from wabus_events import AccountConnected, CredentialStored, Event, TemplatesSynced
from wabus_events.testing import an, example
from wabus_runtime.kafka.transactions import TransactionalPublisher
from wabus_runtime.settings import KafkaSettings

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
async def published(topics: KafkaSettings) -> list[Event]:
    """Events in a transaction, as template-sync writes them."""
    given: list[Event] = [an(AccountConnected), an(TemplatesSynced, approved=7), example(TemplatesSynced)]
    await publish(topics, *given, an(CredentialStored))
    return given


async def publish(topics: KafkaSettings, *events: Event) -> Sequence[Event]:
    publisher = TransactionalPublisher(topics, "/wabus/test", "examples")
    await publisher.start()
    await publisher.publish(events)
    await publisher.stop()
    return events


async def printed(*command: str, cwd: Path, count: int) -> list[dict[str, object]]:
    """The lines of JSON that an example printed: it is told to stop after so many, and to finish what is in hand."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout
    out, err = b"", b""
    try:
        async with asyncio.timeout(60):
            while out.count(b"\n") < count and (line := await process.stdout.readline()):
                out += line
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            rest, err = await process.communicate()
            out += rest
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return [orjson.loads(line) for line in out.splitlines()]


def expected(events: list[Event]) -> list[tuple[str, str, str | None, str | None]]:
    return sorted((event.id, event.type, event.subject, event.org_id) for event in events)


def seen(lines: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return sorted((line["id"], line["type"], line["subject"], line["org"]) for line in lines)  # type: ignore[type-var]


def options(settings: KafkaSettings) -> dict[str, str]:
    return {
        "brokers": settings.kafka_bootstrap_servers,
        "prefix": settings.topic_prefix,
        "group": settings.topic_prefix + "example",
    }


async def test_node_reads_our_events_and_goes_on_where_it_left_off(
    topics: KafkaSettings, published: list[Event]
) -> None:
    packages = installed(EXAMPLES / "node")
    shutil.copy(EXAMPLES / "node/subscriber.js", packages)
    arguments = [part for name, value in options(topics).items() for part in (f"--{name}", value)]
    command = ("node", "subscriber.js", *arguments)
    lines = await printed(*command, cwd=packages, count=3)
    assert seen(lines) == expected(published)
    assert sorted(line["approved"] for line in lines if "approved" in line) == [3, 7]  # type: ignore[type-var]
    (later,) = await publish(topics, an(TemplatesSynced))
    assert seen(await printed(*command, cwd=packages, count=1)) == expected([later])


@pytest.fixture(scope="module")
def go_subscriber(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("go"):
        pytest.skip("go is not on PATH")
    binary = tmp_path_factory.mktemp("go") / "subscriber"
    # Without optimising, a build that finds nothing cached takes two thirds of the time.
    fast = ["-gcflags=all=-N -l", "-ldflags=-s -w"]
    build = ["go", "build", "-mod=readonly", *fast, "-o", str(binary), "."]
    done = subprocess.run(build, cwd=EXAMPLES / "go", capture_output=True, text=True, timeout=110)
    if "dial tcp" in done.stderr or "requires go >=" in done.stderr or "toolchain not available" in done.stderr:
        pytest.skip(f"the Go modules could not be had: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return binary


async def test_go_reads_our_events_and_goes_on_where_it_left_off(
    topics: KafkaSettings, published: list[Event], go_subscriber: Path
) -> None:
    arguments = [f"-{name}={value}" for name, value in options(topics).items()]
    command = (str(go_subscriber), *arguments)
    lines = await printed(*command, cwd=EXAMPLES, count=3)
    assert seen(lines) == expected(published)
    assert sorted(line["approved"] for line in lines if "approved" in line) == [3, 7]  # type: ignore[type-var]
    _, later = await publish(topics, an(AccountConnected), an(TemplatesSynced))
    assert seen(await printed(*command, TemplatesSynced.type, cwd=EXAMPLES, count=1)) == expected([later])


def test_lock_files_name_no_registry() -> None:
    for lock in (EXAMPLES / "node/package-lock.json", EXAMPLES.parent / "tests/contract/asyncapi/package-lock.json"):
        assert '"resolved"' not in lock.read_text(encoding="utf-8")
