"""`python -m wabus_local` as a child process with a home and ports of its own, for tests of the whole system."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil

READY_TIMEOUT = 200.0  # seconds, enough for a first start that downloads Kafka, on a busy machine
STOP_TIMEOUT = 10.0
# Each process of a parallel run has a thousand of its own, and begins somewhere in them for the sake of another run:
# so none takes a port that another is about to use.
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
_PORTS = (22_000 + 1_000 * _SHARE + turn % 1_000 for turn in count(37 * os.getpid()))
PORTS = ("HTTP_PORT", "WORKER_PORT", "META_PORT", "KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "POSTGRES_PORT")


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now, below those that the system gives to clients, and this process's own."""
    found: list[int] = []
    while len(found) < count:
        port = next(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    return found


def until(condition: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not happen within {timeout} s"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    """A zombie whose new parent has not looked at it yet is dead."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class LocalStack:
    """One WABUS_HOME and its ports; `start` it as often as the test needs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.url = f"http://127.0.0.1:{self.ports['HTTP_PORT']}"
        foreign = ("KAFKA_", "DATABASE_", "META_", "TOPIC_", "PUBLIC_", "JWT_", "CREDENTIAL_")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env |= {"WABUS_HOME": str(home)} | {name: str(port) for name, port in self.ports.items()}
        self.process: subprocess.Popen[bytes] | None = None
        self.output = home.with_suffix(".out")

    def start(self) -> None:
        self.begin()
        self.ready()

    def begin(self) -> None:
        """Start it without waiting."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wabus_local"],
                env=self.env,
                cwd=self.home.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> None:
        """Wait until it says that it is ready."""
        until(self._ready_or_ended, READY_TIMEOUT)
        assert f"wabus is ready at {self.url}\n" in self.said()

    def said(self) -> str:
        return self.output.read_text()

    def family(self) -> list[psutil.Process]:
        """All its processes, itself last."""
        assert self.process is not None
        itself = psutil.Process(self.process.pid)
        return [*itself.children(recursive=True), itself]

    def child(self, mark: str) -> psutil.Process:
        return next(one for one in self.family()[:-1] if mark in " ".join(one.cmdline()))

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            request = urllib.request.Request(self.url + path, headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if text.startswith("{") else text
        except urllib.error.HTTPError as error:
            return error.code, None
        except OSError:
            return 0, None

    def health(self, token: str) -> dict[str, Any]:
        """The answer of /webhook/health, empty unless it is 200."""
        return self.get("/webhook/health", token)[1] or {}

    def wabus(self, *arguments: str) -> str:
        program = Path(sys.executable).parent / "wabus"
        done = subprocess.run(
            [program, *arguments], env=self.env, cwd=self.home.parent, capture_output=True, timeout=30
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def _ready_or_ended(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        return "wabus is ready" in self.said()
