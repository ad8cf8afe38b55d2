"""What can be done to the machine under the services: its network, its disk and its clock."""

import contextlib
import ctypes
import ctypes.util
import errno
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from local_stack import free_ports
from proxy import Proxy

DISK_BYTES = 512 * 1024 * 1024
MNT_DETACH = 2


class Network:
    """The proxies through which alone the services reach Kafka and PostgreSQL."""

    def __init__(self, kafka_listener: int, kafka_proxy: int, postgres: int) -> None:
        self.kafka = Proxy(kafka_proxy, kafka_listener)
        self.postgres = Proxy(free_ports(1)[0], postgres)

    async def start(self) -> None:
        await self.kafka.start()
        await self.postgres.start()

    async def stop(self) -> None:
        await self.kafka.stop()
        await self.postgres.stop()


class Disk:
    """A small file system of its own, where root may make one: the only kind that a test can fill."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._ballast = home / "ballast"

    def fill(self) -> None:
        """Leave not a byte free."""
        with self._ballast.open("wb") as file:
            while room := os.statvfs(self.home).f_bavail:
                try:
                    os.posix_fallocate(file.fileno(), 0, room * os.statvfs(self.home).f_frsize)
                except OSError as error:  # the stores took some of it meanwhile
                    if error.errno != errno.ENOSPC:
                        raise
                    continue
                return

    def release(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk() -> Generator[tuple[Path, Disk | None]]:
    """A folder for the stores, and the disk it is on if that can be filled."""
    with tempfile.TemporaryDirectory(prefix="wabus-chaos-", ignore_cleanup_errors=True) as folder:
        if not _mount(folder):
            yield Path(folder), None
            return
        try:
            yield Path(folder), Disk(Path(folder))
        finally:
            _libc().umount2(folder.encode(), MNT_DETACH)


class Clock:
    """The wall clock of the services, which libfaketime reads anew each time. Monotonic clocks are left alone."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to have this clock."""
        return {
            "LD_PRELOAD": str(_libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """How far the clock is from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file)

    def works(self) -> bool:
        """Whether this machine can load the library and believes it."""
        if _libfaketime() is None:
            return False
        self.set(1_000_000_000)
        code = "import time; print(int(time.time()))"
        told = subprocess.run([sys.executable, "-c", code], env={**os.environ, **self.env}, capture_output=True)
        self.set(0)
        true = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return told.returncode == 0 and int(told.stdout) - int(true.stdout) > 900_000_000


def _libfaketime() -> Path | None:
    spec = importlib.util.find_spec("libfaketime")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return found if found.exists() else None


def _mount(folder: str) -> bool:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    # 0711: PostgreSQL's own user must get through.
    options = f"size={DISK_BYTES},mode=711"
    return _libc().mount(b"wabus-chaos", folder.encode(), b"tmpfs", 0, options.encode()) == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
