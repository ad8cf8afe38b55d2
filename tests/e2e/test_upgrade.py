"""Zero-downtime upgrade and rollback: the previous release runs on this one's tables and events, and the other way."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from system import MODULES, System, connect_demo, wabus
from waiting import Eventually
from webhooks import conversation, text, webhook

pytestmark = [pytest.mark.long, pytest.mark.timeout(400), pytest.mark.empty_database]


ROOT = Path(__file__).parents[2]
PREVIOUS, _ = (ROOT / "tests" / "previous_release").read_text().split()
PACKAGES = ("libs/events", "libs/runtime", "services/gateway", "services/template-sync", "services/health-projector")


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the release before this one, from the history."""
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", PREVIOUS, "libs", "services"], capture_output=True, check=False
    )
    if archive.returncode != 0:
        if os.environ.get("CI"):
            pytest.fail(f"the history has no {PREVIOUS}, the previous release: {archive.stderr.decode()}")
        pytest.skip("the previous release is not in the history of this folder")
    home = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as sources:
        sources.extractall(home, filter="data")
    return home


@pytest.fixture(autouse=True)
def calls_as_meta_describes_them() -> None:
    """The previous release asks Meta as it does."""


class Operator:
    """Puts a release in another's place, service by service, and looks at what callers see."""

    def __init__(self, system: System, monkeypatch: pytest.MonkeyPatch, previous: Path, eventually: Eventually) -> None:
        self._system = system
        self._monkeypatch = monkeypatch
        self._previous = previous
        self._eventually = eventually
        self.headers: dict[str, str] = {}
        self.delivered = 0
        self._began = str(int(time.time()))

    async def deploy(self, module: str, *, release: str) -> None:
        if module in self._system.processes:
            assert await self._system.end(module, signal.SIGTERM) == 0
        if release == "previous":
            path = os.pathsep.join(str(self._previous / package) for package in PACKAGES)
            self._monkeypatch.setenv("PYTHONPATH", path)
        await self._system.start(module)
        self._monkeypatch.delenv("PYTHONPATH", raising=False)
        await self._eventually(lambda: self._ready(module))

    async def _ready(self, module: str) -> bool:
        assert self._system.processes[module].returncode is None, f"{module} ended"
        try:
            async with self._system.http.get(self._system.url(module, "/readyz")) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def message_is_counted(self) -> None:
        """A webhook goes the whole way to the health that the API shows; what comes again with it counts no more."""
        if self.delivered:
            again = [self._message(number) for number in range(1, self.delivered + 1)]
            assert await self._system.deliver(webhook(conversation(messages=again))) == 200
        self.delivered += 1
        assert await self._system.deliver(webhook(conversation(messages=[self._message(self.delivered)]))) == 200

        async def counted() -> bool:
            health = await self._system.get("wabus_health_projector", "/webhook/health/detailed", self.headers)
            received = health["wabas"][0]["counts"]["last_24h"]["received"]
            assert received <= self.delivered, "counted twice"
            return received == self.delivered

        await self._eventually(counted)

    def _message(self, number: int) -> dict[str, Any]:
        return {**text(f"wamid.{number}"), "timestamp": self._began}

    async def sync_is_answered(self) -> None:
        """A sync that somebody asks for ends, and health and templates know it."""
        url = self._system.url("wabus_template_sync", "/templates/sync")
        async with self._system.http.post(url, headers=self.headers) as answer:
            assert answer.status == 202, await answer.text()
            sync_id = (await answer.json())["sync_id"]

        async def ended() -> bool:
            sync = await self._system.get("wabus_template_sync", f"/templates/sync/{sync_id}", self.headers)
            return sync["status"] == "synced"

        await self._eventually(ended)

        async def healthy() -> bool:
            health = await self._system.get("wabus_health_projector", "/webhook/health", self.headers)
            return health["status"] == "healthy" and health["template_sync_status"] == "synced"

        await self._eventually(healthy)
        listed = await self._system.get("wabus_template_sync", "/templates", self.headers)
        assert {template["status"] for template in listed["templates"]} == {"APPROVED"}


def test_the_previous_release_comes_before_what_is_installed(previous: Path) -> None:
    path = os.pathsep.join(str(previous / package) for package in PACKAGES)
    for module in (*MODULES, "wabus_runtime", "wabus_events"):
        command = [sys.executable, "-c", f"import {module}; print({module}.__file__)"]
        said = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=True)
        assert said.stdout.decode().startswith(str(previous))


async def test_releases_change_places_under_traffic_and_back(
    idle_system: System, previous: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, database_url: str
) -> None:
    operator = Operator(idle_system, monkeypatch, previous, eventually)
    for module in MODULES:
        await operator.deploy(module, release="previous")
    operator.headers = await connect_demo()
    await operator.message_is_counted()

    # The migration job of this release, while the previous one runs.
    await wabus("migrate")
    await operator.sync_is_answered()

    # New events, old readers; then new readers of old rows.
    await operator.deploy("wabus_gateway", release="this")
    await operator.message_is_counted()
    await operator.deploy("wabus_template_sync", release="this")
    await operator.sync_is_answered()
    await operator.deploy("wabus_health_projector", release="this")
    await operator.message_is_counted()
    await operator.sync_is_answered()

    # Back again: workers and APIs first, gateways last.
    await _as_the_runbook_has_it(previous, database_url, idle_system)
    for module in ("wabus_health_projector", "wabus_template_sync"):
        await operator.deploy(module, release="previous")
    await operator.message_is_counted()
    await operator.deploy("wabus_gateway", release="previous")
    await operator.message_is_counted()
    await operator.sync_is_answered()


async def _as_the_runbook_has_it(previous: Path, database_url: str, system: System) -> None:
    """A release that does not know how to live with newer tables gets empty ones, where there are newer ones."""
    if any("TablesTooNew" in module.read_text() for module in (previous / "libs/runtime").rglob("database.py")):
        return
    if _migrations(previous).keys() == _migrations(ROOT).keys():
        return
    for module in ("wabus_health_projector", "wabus_template_sync"):
        assert await system.end(module, signal.SIGTERM) == 0
        del system.processes[module]
    connection = await asyncpg.connect(database_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


def _migrations(root: Path) -> dict[str, Path]:
    """Where each migration is, by its distribution and file name: a release may move a package's."""
    return {
        f"{package}/{path.name}": path
        for package in PACKAGES
        for path in (root / package).rglob("migrations/versions/*.py")
    }


CONTRACTING = ("DROP ", "RENAME ", "TRUNCATE", "SET NOT NULL", " TYPE ", "DELETE FROM")


def test_migrations_since_the_previous_release_only_add_or_say_whom_they_still_serve(previous: Path) -> None:
    old = _migrations(previous)
    for name, path in _migrations(ROOT).items():
        if name in old:
            continue
        source = path.read_text()
        upgrade = source.partition("def upgrade")[2].partition("def downgrade")[0].upper()
        taken = [word for word in CONTRACTING if word in upgrade]
        assert not taken or "serves_from =" in source, f"{name} has {taken}: see docs/operations.md, Upgrade"


def test_no_migration_of_the_previous_release_was_changed(previous: Path) -> None:
    now = _migrations(ROOT)
    for name, path in _migrations(previous).items():
        assert now[name].read_text() == path.read_text(), name
