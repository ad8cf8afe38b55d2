"""A child process that cannot outlive its parent, with its output in a log file of its own."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

LOG_SIZE_MAX = 20 * 1024 * 1024  # bytes; a larger log is moved aside at the next start
POLL = 0.05  # seconds between looks at a child
KEPT_FROM_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
PR_SET_PDEATHSIG = 1

_libc: ctypes.CDLL | None = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


class StackError(Exception):
    """The local stack can't go on. The message is one line for the person at the terminal."""


class Child:
    """One running child process.

    On Linux the kernel sends it `on_parent_death` when this process dies, even by SIGKILL. Start children from
    the main thread: Linux counts the death of the *thread* that forked.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        on_parent_death: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_SIZE_MAX:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops the children in order
                preexec_fn=_die_with(os.getpid(), on_parent_death),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        if self.alive:
            self._process.send_signal(number)

    async def exited(self, timeout: float) -> bool:
        """Whether it ended within `timeout` seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self.alive:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(POLL)
        return True

    async def stop(self, number: signal.Signals, timeout: float) -> None:
        """Ask it to end, and end it after `timeout` seconds."""
        self.send(number)
        if not await self.exited(timeout):
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL to it and everything in its session, then reap it."""
        for descendant in _descendants(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()
        self.send(signal.SIGKILL)
        await self.exited(5)

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, in one line."""
        with self.log.open("rb") as output:
            output.seek(max(0, self.log.stat().st_size - 4096))
            text = output.read().decode(errors="replace")
        return " | ".join(text.strip().splitlines()[-lines:])


def bare_environment() -> dict[str, str]:
    """The environment of a program that is not ours: where it runs, and none of our settings, which hold secrets."""
    return {name: os.environ[name] for name in KEPT_FROM_ENVIRONMENT if name in os.environ}


def find_running(pid_file: Path, mark: str) -> int | None:
    """The process id in the first line of `pid_file`, if that process lives and has `mark` in its command line."""
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        command = " ".join(psutil.Process(pid).cmdline())
    except (OSError, ValueError, psutil.Error):
        return None
    return pid if mark in command else None


async def wait_until_gone(pid_file: Path, mark: str, what: str, timeout: float = 6.0) -> None:
    """Wait for an earlier `what` to end: one whose parent was just killed needs a moment. Raises StackError."""
    deadline = asyncio.get_running_loop().time() + timeout
    while pid := find_running(pid_file, mark):
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(f"{what} of this WABUS_HOME is already running as process {pid}; stop it first")
        await asyncio.sleep(POLL)


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now. A connection in TIME_WAIT does not count as taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def port_answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _die_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    libc = _libc
    if libc is None:
        return None

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return in_child


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
