"""The Compose system as an operator runs it: a checkout, the commands of the documentation, real containers."""

import asyncio
import json
import os
import random
import re
import shutil
import socket
import textwrap
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from deployment import ROOT, run, tool
from webhooks import SECRET, conversation, encoded, signed, text, webhook

REQUIRED = "WABUS_TEST_CONTAINERS"
"""Set where an engine is there for the tests: that it does not answer is then a failure and no reason to skip."""
DEPLOY = "docs/deploy.md"
REVISION_LABEL = "org.opencontainers.image.revision"
COMMAND_TIMEOUT = 900.0  # seconds; the first time images are downloaded and built
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def engine(home: Path, patch: pytest.MonkeyPatch) -> None:
    """A Docker engine with Compose, or the test is skipped; where one is promised it fails instead."""
    docker = shutil.which("docker")
    if docker is None or run(docker, "info").returncode:
        if os.environ.get(REQUIRED):
            pytest.fail(f"no Docker engine answers, though {REQUIRED} says that one does")
        pytest.skip("no Docker engine answers: nothing is run in containers")
    if run(docker, "compose", "version").returncode:
        plugins = home / "docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(tool("docker-compose"))
        patch.setenv("DOCKER_CONFIG", str(plugins.parent))


def host_ports(count: int) -> list[int]:
    """Ports of this host for a system that listens only minutes later: no other test takes its own from there."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(18_000, 19_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def blocks(page: str, section: str, language: str = "sh") -> list[str]:
    """What stands in the fences of one language below a heading, up to the next of its level."""
    text = (ROOT / page).read_text()
    level = re.search(rf"^(#+) {re.escape(section)}$", text, re.MULTILINE)
    assert level, f"{page} has no section {section}"
    rest = text[level.end() :]
    following = re.search(rf"^#{{1,{len(level[1])}}} ", rest, re.MULTILINE)
    body = rest[: following.start()] if following else rest
    return [textwrap.dedent(found[3]) for found in FENCE.finditer(body) if found[2] == language]


@dataclass
class Checkout:
    """A clone of a repository that has what this folder has, and a shell in it that stays where a command has led it.

    `env` keeps what it runs apart from what else the engine runs: a project, tags and ports of its own.
    """

    upstream: Path
    root: Path
    env: dict[str, str]
    where: Path = field(init=False)

    def __post_init__(self) -> None:
        self.where = self.root

    def sh(self, script: str, *, fails: bool = False) -> str:
        """What a script says, standard error too, in the shell of whoever reads the documentation."""
        place = self.root.parent / "where"
        done = run(
            "sh", "-euc", f'trap \'pwd > "{place}"\' EXIT\nexec 2>&1\n{script}', cwd=self.where,
            env={**os.environ, **self.env}, timeout=COMMAND_TIMEOUT,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{script}\n{done.stdout}"
        self.where = Path(place.read_text().strip())
        return done.stdout

    def inside(self, service: str, *command: str) -> str:
        """What a command says on standard output in a service's container."""
        folder = self.root / "deploy" / "compose"
        done = run(
            "docker", "compose", "exec", "-T", service, *command, cwd=folder, env={**os.environ, **self.env},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bearer(self, org: str) -> dict[str, str]:
        """The header of an administrator, by a token that the gateway's container makes."""
        said = self.inside("gateway", "wabus", "token", "--org", org, "--role", "admin")
        return {"Authorization": f"Bearer {said.strip()}"}

    async def in_kafka(self, prefix: str) -> set[str]:
        """The ids of the messages that Kafka has, of those of a load."""
        command = (
            "docker compose exec -T gateway wabus events tail -t MessageReceived --since 1d --end --content -o json"
        )
        lines = (await asyncio.to_thread(self.sh, command)).splitlines()
        found = {json.loads(line)["data"]["wamid"] for line in lines if line.startswith("{")}
        return {wamid for wamid in found if wamid.startswith(f"wamid.{prefix}.")}

    def commit(self, changes: dict[str, tuple[str, str]], message: str) -> None:
        """A commit upstream in which each file has another text in the place of one."""
        for name, (old, new) in changes.items():
            path = self.upstream / name
            assert old in path.read_text(), name
            path.write_text(path.read_text().replace(old, new))
        git(self.upstream, "commit", "--quiet", "--all", "--message", message)

    def down(self) -> None:
        """Remove everything that it has made in the engine."""
        folder = self.root / "deploy" / "compose"
        env = {**os.environ, **self.env}
        run("docker", "compose", "down", "--volumes", "--remove-orphans", cwd=folder, env=env)
        tag = self.env["WABUS_VERSION"]
        for name in (f"wabus:{tag}", f"wabus:{tag}-previous", f"wabus-simulated-meta:{tag}"):
            run("docker", "image", "rm", "--force", name)
        for commit in git(self.root, "log", "--format=%H").splitlines():  # what an upgrade that failed has left
            run("docker", "image", "prune", "--force", "--filter", f"label={REVISION_LABEL}={commit}")


def clone(home: Path, name: str, ports: dict[str, int], settings: dict[str, str]) -> Checkout:
    """A checkout below `home`, whose project and tag have this name."""
    upstream, root = home / "upstream", home / "checkout"
    upstream.mkdir()
    listed = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
    for each in filter(None, listed.split("\0")):
        if (ROOT / each).exists():
            (upstream / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / each, upstream / each, follow_symlinks=False)
    git(upstream, "init", "--quiet", "--initial-branch", "main")
    git(upstream, "add", "--all")
    git(upstream, "commit", "--quiet", "--message", "As it is")
    git(home, "clone", "--quiet", str(upstream), str(root))
    named = {"COMPOSE_PROJECT_NAME": name, "WABUS_VERSION": name, "DOCKER_CLI_HINTS": "false"}
    listening = {"LISTEN": f"127.0.0.1:{ports['front']}", "META_PORT": str(ports["meta"])}
    return Checkout(upstream, root, named | listening | settings)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Tests", "-c", "user.email=tests@wabus.example", "-c", "commit.gpgsign=false")
    done = run("git", "-C", folder, *who, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class Answer:
    """What became of a request: when it was sent and answered by the monotonic clock, and its status; 0 for none."""

    name: str
    sent: float
    answered: float
    status: int
    code: str = ""
    """Of the problem, where it is one."""


@dataclass
class Load:
    """Webhooks and reads, several at once, through the front."""

    url: str
    headers: dict[str, str]
    prefix: str
    webhooks: list[Answer] = field(default_factory=list[Answer])
    reads: list[Answer] = field(default_factory=list[Answer])
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)
    _running: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    async def __aenter__(self) -> "Load":
        self._http = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=15))
        self._running += [asyncio.create_task(self._deliver(lane)) for lane in range(6)]
        self._running += [asyncio.create_task(self._read()) for _ in range(2)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stopped.set()
        await asyncio.gather(*self._running)
        await self._http.close()

    async def taken(self, more: int) -> None:
        """Wait until so many more webhooks have been answered with 200."""
        enough = len(self.acknowledged) + more
        while len(self.acknowledged) < enough:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def read(self, more: int) -> None:
        """Wait until so many more reads have been answered with 200."""
        enough = len(self._answered_reads) + more
        while len(self._answered_reads) < enough:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    @property
    def _answered_reads(self) -> list[Answer]:
        return [answer for answer in self.reads if answer.status == 200]

    @property
    def acknowledged(self) -> set[str]:
        return {answer.name for answer in self.webhooks if answer.status == 200}

    async def _deliver(self, lane: int) -> None:
        number = 0
        while not self._stopped.is_set():
            number += 1
            wamid = f"wamid.{self.prefix}.{lane}.{number}"
            body = encoded(webhook(conversation(messages=[{**text(wamid), "timestamp": str(int(time.time()))}])))
            request = self._http.post("/webhooks/whatsapp", data=body, headers=signed(body))
            self.webhooks.append(await _answer(wamid, request))
            await asyncio.sleep(0.02)

    async def _read(self) -> None:
        while not self._stopped.is_set():
            request = self._http.get("/webhook/health", headers=self.headers)
            self.reads.append(await _answer("/webhook/health", request))
            await asyncio.sleep(0.05)


async def get(url: str, headers: dict[str, str] | None = None) -> Any:
    """What is answered with 200, as JSON."""
    async with aiohttp.request("GET", url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def received(url: str, headers: dict[str, str]) -> int:
    """The messages that health has counted."""
    health = await get(f"{url}/webhook/health/detailed", headers)
    return health["wabas"][0]["counts"]["last_24h"]["received"]


def refusals(answers: list[Answer]) -> list[str]:
    """What was refused or not answered, and when, for whoever reads a failure."""
    first = min((answer.sent for answer in answers), default=0.0)
    return [
        f"{answer.status} {answer.code} at {answer.sent - first:.1f} s after {answer.answered - answer.sent:.2f} s"
        for answer in answers
        if answer.status != 200
    ]


STORES_LATE = {"not_stored", "kafka_unavailable", "database_unavailable"}
"""What a service answers while Kafka or PostgreSQL take longer than it waits, as where no processor is left."""


def refused_for(answers: list[Answer], but: Collection[str] = ()) -> float:
    """Seconds in which anything was refused or not answered, in tenths: however many were. Without some problems."""
    tenths: set[int] = set()
    for answer in answers:
        if answer.status != 200 and answer.code not in but:
            tenths |= set(range(int(answer.sent * 10), int(answer.answered * 10) + 1))
    return len(tenths) / 10


async def _answer(name: str, request: Any) -> Answer:
    sent = time.monotonic()
    try:
        async with request as answer:
            problem = answer.content_type == "application/problem+json"
            body = await answer.read()
            code = json.loads(body)["code"] if problem else ""
            return Answer(name, sent, time.monotonic(), answer.status, code)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return Answer(name, sent, time.monotonic(), 0)


SETTINGS = {"META_APP_SECRETS": SECRET}
"""So that a test can sign webhooks."""
