"""The class path of Apache Kafka: downloaded once into the Maven cache, with progress, safely also when interrupted."""

import asyncio
import fcntl
import threading
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import jgo
from jgo.config import GlobalSettings
from jgo.maven import PythonResolver

from wabus_local.process import StackError

# slf4j-simple: without a binding the broker's log would be lost.
COORDINATES = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
TIMEOUT = 600.0  # seconds for the download of about 45 MB
PROGRESS_INTERVAL = 2.0  # seconds


async def class_path(progress: Callable[[str], None]) -> str:
    """Kafka's jars, joined as `java -cp` wants them. Raises StackError."""
    received = 0

    def count(size: int) -> None:
        nonlocal received
        received += size

    result: list[list[Path] | Exception] = []

    def build() -> None:
        try:
            result.append(_resolve(count))
        except Exception as error:  # whatever the resolver, its HTTP library or the disk raises
            result.append(error)

    # A daemon, not an executor's thread: Ctrl-C must not wait for the download.
    thread = threading.Thread(target=build, name="kafka-jars", daemon=True)
    thread.start()
    started = told = time.monotonic()
    while thread.is_alive():
        await asyncio.sleep(0.02)
        now = time.monotonic()
        if now - started > TIMEOUT:
            raise StackError("the jars of Apache Kafka could not be downloaded in time; start again to go on")
        if now - told > PROGRESS_INTERVAL:
            told = now
            megabytes, seconds = received / 1e6, now - started
            progress(f"getting Apache Kafka (first start only): {megabytes:.0f} of about 45 MB, {seconds:.0f} s")
    match result[0]:
        case Exception() as error:
            raise StackError(f"the jars of Apache Kafka can't be had: {type(error).__name__}: {error}") from error
        case jars:
            return ":".join(str(jar) for jar in jars)


def _resolve(count: Callable[[int], None]) -> list[Path]:
    """One process at a time. The lock file has a content while a download is under way, so that an interrupted one,
    whose half-written files the resolver would take for whole ones, is noticed and cleaned up."""

    @contextmanager
    def one_file(_name: str, _size: int) -> Generator[Callable[[int], None]]:
        yield count

    settings = GlobalSettings.load()
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with (settings.cache_dir / "wabus-kafka.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        interrupted = lock.read().strip()
        if interrupted:
            _remove_half_files(settings.repo_cache, since=float(interrupted))
        else:
            lock.write(f"{time.time()}\n")
            lock.flush()
        resolver = PythonResolver(progress_callback=one_file)
        jars = jgo.build(COORDINATES, resolver=resolver, update=bool(interrupted)).all_jars
        lock.truncate(0)
        return jars


def _remove_half_files(repository: Path, since: float) -> None:
    for path in repository.rglob("*"):
        if not path.is_file() or path.stat().st_mtime < since - 1:
            continue
        match path.suffix:
            case ".jar" if not zipfile.is_zipfile(path):
                path.unlink()
            case ".pom" if not path.read_bytes().rstrip().endswith(b"</project>"):
                path.unlink()
            case _:
                pass
