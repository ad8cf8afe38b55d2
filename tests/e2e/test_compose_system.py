"""The compose system really started, by testcontainers, where a Docker engine answers: images, order, the whole way."""

import asyncio
import base64
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
import yaml
from aiohttp import web
from deployment import ROOT, tool
from local_stack import free_ports
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_TEMPLATE, DEMO_WABA
from support.meta_openapi import create_meta
from system import MODULES, System
from testcontainers.compose import DockerCompose
from waiting import Eventually
from webhooks import SECRET, conversation, encoded, signed, template_status, text, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]  # the first time images are downloaded and built


COMPOSE = ROOT / "deploy" / "compose"
PROCESSES = (
    "gateway", "template-sync-api", "template-sync-worker", "health-projector-api", "health-projector-worker",
)  # fmt: skip


def _engine() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers: the compose system is only rendered, not started")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DockerCompose, dict[str, str], int]]:
    """The system up, its settings, and the port of this host at which it looks for Meta."""
    _engine()
    home = tmp_path_factory.mktemp("compose")
    front, meta = free_ports(2)
    values = {
        "META_APP_ID": "1234567890",
        "META_APP_SECRETS": SECRET,
        "META_VERIFY_TOKEN": "a-verify-token-for-tests",
        "META_GRAPH_URL": f"http://host.docker.internal:{meta}",
        "PUBLIC_URL": f"http://127.0.0.1:{front}",
        "CREDENTIAL_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "JWT_SECRET": secrets.token_hex(32),
        "KAFKA_CLUSTER_ID": base64.b64encode(secrets.token_bytes(16), b"ab").decode().rstrip("="),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "LISTEN": f"127.0.0.1:{front}",
    }
    (home / "env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    towards_meta = {"extra_hosts": ["host.docker.internal:host-gateway"]}
    (home / "meta.yaml").write_text(yaml.safe_dump({"services": dict.fromkeys(PROCESSES, towards_meta)}))
    with pytest.MonkeyPatch.context() as patch:
        # Never the project that somebody may have running from the same file.
        patch.setenv("COMPOSE_PROJECT_NAME", f"wabus-test-{uuid4().hex[:8]}")
        if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
            plugins = home / "docker" / "cli-plugins"
            plugins.mkdir(parents=True)
            (plugins / "docker-compose").symlink_to(tool("docker-compose"))
            patch.setenv("DOCKER_CONFIG", str(plugins.parent))
        files = [str(COMPOSE / "compose.yaml"), str(home / "meta.yaml")]
        with DockerCompose(COMPOSE, files, build=True, env_file=str(home / "env")) as system:
            yield system, values, meta


@pytest.fixture
async def system(
    compose: tuple[DockerCompose, dict[str, str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[System]:
    _, values, port = compose
    store = Store(new_world("1234567890", [SECRET]))
    store.world.callback_url = f"{values['PUBLIC_URL']}/webhooks/whatsapp"
    store.world.verify_token = values["META_VERIFY_TOKEN"]
    monkeypatch.setenv("META_TOKEN", next(iter(store.world.tokens)))
    runner = web.AppRunner(create_meta(store, delay_scale=0.01))
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", port).start()  # containers come from outside of the loopback
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        yield System(http, tmp_path, dict.fromkeys(MODULES, int(values["PUBLIC_URL"].rpartition(":")[2])))
    await runner.cleanup()


async def wabus(compose: tuple[DockerCompose, dict[str, str], int], *arguments: str) -> str:
    said, error, code = await asyncio.to_thread(compose[0].exec_in_container, ["wabus", *arguments], "gateway")
    assert code == 0, error
    return said.strip()


async def connect(compose: tuple[DockerCompose, dict[str, str], int]) -> dict[str, str]:
    await wabus(compose, "connect", "--org", "demo", "--waba", DEMO_WABA, "--token", os.environ["META_TOKEN"])
    return {"Authorization": f"Bearer {await wabus(compose, 'token', '--org', 'demo', '--role', 'admin')}"}


async def test_a_connected_account_turns_green_and_what_happens_to_it_is_told(
    system: System, compose: tuple[DockerCompose, dict[str, str], int], eventually: Eventually
) -> None:
    headers = await connect(compose)

    async def green() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health", headers)
        return health["status"] == "healthy" and health["template_sync_status"] == "synced"

    await eventually(green)
    listed = await system.get("wabus_template_sync", "/templates", headers)
    assert {template["status"] for template in listed["templates"]} == {"APPROVED"}

    message = {**text("wamid.A"), "timestamp": str(int(time.time()))}
    assert await system.deliver(webhook(conversation(messages=[message]))) == 200

    async def counted() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health/detailed", headers)
        return health["wabas"][0]["counts"]["last_24h"]["received"] == 1

    await eventually(counted)
    paused = template_status("PAUSED", template_id=int(DEMO_TEMPLATE))
    assert await system.deliver(webhook(paused, time=int(time.time()) + 1)) == 200

    async def told() -> bool:
        health = await system.get("wabus_health_projector", "/webhook/health", headers)
        return "template_paused" in [reason["code"] for reason in health["reasons"]]

    await eventually(told)
    stranger = {"Authorization": f"Bearer {await wabus(compose, 'token', '--org', 'other', '--role', 'admin')}"}
    assert (await system.get("wabus_template_sync", "/templates", stranger))["templates"] == []


async def test_what_is_not_metas_or_not_for_outside_is_refused(system: System) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.B")])))
    url = system.url("wabus_gateway", "/webhooks/whatsapp")
    async with system.http.post(url, data=body + b" ", headers=signed(body)) as answer:
        assert answer.status == 403
    for path in ("/metrics", "/healthz", "/readyz"):
        async with system.http.get(system.url("wabus_gateway", path)) as answer:
            assert answer.status == 404, path


@pytest.mark.parametrize("process", PROCESSES)
def test_a_container_is_nobody_and_can_change_nothing(
    compose: tuple[DockerCompose, dict[str, str], int], process: str
) -> None:
    attempt = "import os; print(os.getuid()); open('/opt/wabus/new', 'w')"

    said, error, code = compose[0].exec_in_container(["python", "-c", attempt], process)

    assert said.strip() == "10001"
    assert code != 0
    assert "Read-only file system" in error or "Permission denied" in error
