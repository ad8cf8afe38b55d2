"""The class path of Apache Kafka: each jar pinned with its SHA-256, fetched once into the Maven cache.

`kafka.lock` names the jars, so that nothing is resolved at a start and nothing but them is fetched: jgo's own
environments look for a JDK of their own to sort jars by, and download one where there is none.
`python -m wabus_local.jars` (`make lock`) writes it anew.
"""

import asyncio
import fcntl
import hashlib
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jgo
from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from wabus_local.process import StackError

# slf4j-simple: without a binding the broker's log would be lost.
COORDINATES = "org.apache.kafka:kafka_2.13:4.3.1+org.slf4j:slf4j-simple:1.7.36"
LOCK = files("wabus_local") / "kafka.lock"
TIMEOUT = 600.0  # seconds for the download of about 45 MB
PROGRESS_INTERVAL = 2.0  # seconds


@dataclass(frozen=True)
class Jar:
    """A jar of the Maven repository, and the SHA-256 that it must have."""

    group: str
    artifact: str
    version: str
    sha256: str


async def class_path(progress: Callable[[str], None]) -> str:
    """Kafka's jars, joined as `java -cp` wants them. Raises StackError."""
    received = 0

    def count(size: int) -> None:
        nonlocal received
        received += size

    result: list[list[Path] | Exception] = []

    def fetch() -> None:
        try:
            result.append(_fetch(pinned(), count))
        except Exception as error:  # whatever the resolver, its HTTP library or the disk raises
            result.append(error)

    # A daemon, not an executor's thread: Ctrl-C must not wait for the download.
    thread = threading.Thread(target=fetch, name="kafka-jars", daemon=True)
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
        case StackError() as error:
            raise error
        case Exception() as error:
            raise StackError(f"the jars of Apache Kafka can't be had: {type(error).__name__}: {error}") from error
        case jars:
            return ":".join(str(jar) for jar in jars)


def pinned() -> list[Jar]:
    """The jars of `kafka.lock`, one a line: group:artifact:version, and the SHA-256."""
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    return [
        Jar(group, artifact, version, sha256)
        for group, artifact, version, sha256 in (re.split("[: ]", line) for line in lines)
    ]


def _fetch(jars: list[Jar], count: Callable[[int], None]) -> list[Path]:
    """The path of each jar, after it was fetched if need be. One process at a time: they share the cache."""

    @contextmanager
    def one_file(_name: str, _size: int) -> Generator[Callable[[int], None]]:
        yield count

    settings = GlobalSettings.load()
    settings.repo_cache.mkdir(parents=True, exist_ok=True)
    context = MavenContext(resolver=PythonResolver(progress_callback=one_file), repo_cache=settings.repo_cache)
    with (settings.repo_cache / "wabus-kafka.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return [_verified(context, jar) for jar in jars]


def _verified(context: MavenContext, jar: Jar) -> Path:
    """The jar's path. One that is not whole, as an interrupted download leaves it, is fetched again."""
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    path = artifact.resolve()
    if _sha256(path) == jar.sha256:
        return path
    path.unlink()
    path = artifact.resolve()
    if _sha256(path) != jar.sha256:
        path.unlink()
        raise StackError(f"the jar {path.name} that was fetched is not the one that is pinned")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest()


def main() -> None:
    """Write `kafka.lock`: all that `COORDINATES` need, as Maven resolves it."""
    artifacts = jgo.resolve(COORDINATES)
    lines = sorted(f"{one.groupId}:{one.artifactId}:{one.version} {_sha256(one.resolve())}\n" for one in artifacts)
    about = f"# The jars of {COORDINATES}, by `make lock`.\n"
    Path(str(LOCK)).write_text(about + "".join(lines))


if __name__ == "__main__":
    main()
