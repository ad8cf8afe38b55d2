"""The image as an engine has it: what it is made of, who runs in it, and that what is stuck in it is started again."""

import asyncio
import json
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from deployment import ROOT, run
from one_host import Checkout
from stuck_process import PROCESS
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from waiting import Eventually

SERVICES = sorted(path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists())
WRITABLE = "find / -xdev -type f -perm /022 -not -path '/proc/*' -not -path '/var/log/*' 2>/dev/null"
LISTED = (
    "FROM python:3.11-slim-bookworm\nCOPY . /context\nRUN find /context -type f | sort > /listed\nCMD cat /listed\n"
)


def inside(image: str, *command: str) -> str:
    done = run("docker", "run", "--rm", "--entrypoint", command[0], image, *command[1:])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_labels_say_which_release_it_is(image: str) -> None:
    labels = json.loads(run("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    runtime = tomllib.loads((ROOT / "libs/runtime/pyproject.toml").read_text())

    assert labels["org.opencontainers.image.title"] == "wabus"
    assert labels["org.opencontainers.image.version"] == runtime["project"]["version"]
    assert inside(image, "wabus", "--version") == f"wabus {runtime['project']['version']}\n"


def test_nobody_in_it_can_install_anything_or_change_a_file(image: str) -> None:
    assert inside(image, "id", "--user") == "10001\n"
    assert inside(image, "sh", "-c", f"command -v pip pip3 uv gcc; {WRITABLE}; true") == ""


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_starts_from_it_and_names_what_it_is_not_told(image: str, service: str) -> None:
    done = run("docker", "run", "--rm", image, "serve", service)

    assert done.returncode == 1
    assert done.stderr.startswith("wabus: ")
    assert "KAFKA_BOOTSTRAP_SERVERS is missing" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("builder", ["0", "1"], ids=["the classic builder", "BuildKit"])
def test_neither_builder_sends_secrets_or_what_is_not_needed(one_host: Checkout, builder: str, name: str) -> None:
    tag = f"{name}-context"
    settings = one_host.root / "deploy" / "compose" / ".env"
    assert settings.exists()
    (one_host.root.parent / "Listed").write_text(LISTED)
    try:
        one_host.sh(
            f"cd {one_host.root}; DOCKER_BUILDKIT={builder} docker build -q -t {tag} -f ../Listed . 2>/dev/null; "
            "cd deploy/compose"
        )
        sent = run("docker", "run", "--rm", tag).stdout.splitlines()
    finally:
        run("docker", "image", "rm", "--force", tag)

    assert "/context/deploy/images/Dockerfile" in sent
    assert {path.split("/")[2] for path in sent} == {"deploy", "libs", "services"}
    assert not [path for path in sent if path.endswith((".env", ".pyc")) or "/compose/" in path]


@asynccontextmanager
async def running(image: str) -> AsyncGenerator[DockerContainer]:
    """A container of a process that can be made to hang; testcontainers takes it away again."""
    testcontainers_config.ryuk_disabled = True
    container = DockerContainer(image).with_exposed_ports(8080).with_env("WATCHDOG_TIMEOUT", "2")
    container.with_kwargs(
        entrypoint=["python", "-c", PROCESS.replace("HANGS_AFTER", "600")], restart_policy={"Name": "always"}
    )
    await asyncio.to_thread(container.start)
    try:
        yield container
    finally:
        await asyncio.to_thread(container.stop)


async def test_a_container_whose_event_loop_stands_still_is_started_again(image: str, eventually: Eventually) -> None:
    async with running(image) as container:

        def url(path: str) -> str:
            return f"http://127.0.0.1:{container.get_exposed_port(8080)}{path}"

        async def answers() -> bool:
            try:
                async with aiohttp.request("GET", url("/healthz")) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        def restarts() -> int:
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            return wrapped.attrs["RestartCount"]

        await eventually(answers)
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.request("GET", url("/hang/waits")):
                pass

        async def started_again() -> bool:
            return restarts() == 1 and await answers()

        await eventually(started_again)
        _, errors = container.get_logs()
        assert b'"action": "stuck"' in errors or b'"action":"stuck"' in errors
