"""Nothing but the pinned jars of Kafka is fetched or run, on a machine without Java too."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jgo.config import GlobalSettings
from wabus_local.jars import class_path, pinned

REFUSED = "http://127.0.0.1:9"  # a proxy that nobody is
CODE = "import asyncio; from wabus_local.jars import class_path; print(asyncio.run(class_path(print)))"


@pytest.fixture(scope="module")
def fetched() -> Path:
    """The Maven cache of this machine, with Kafka's jars in it."""
    asyncio.run(class_path(print))
    return GlobalSettings.load().repo_cache


def without_java_or_network(home: Path, repository: Path) -> "subprocess.CompletedProcess[str]":
    env = {"HOME": str(home), "M2_REPO": str(repository), "PATH": str(home)}
    env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), REFUSED)
    return subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, timeout=60)


def test_nobody_waits_for_a_jdk_where_there_is_no_java(fetched: Path, tmp_path: Path) -> None:
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "repository").symlink_to(fetched)

    done = without_java_or_network(tmp_path, tmp_path / ".m2" / "repository")

    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert len(line.split(":")) == len(pinned())
    assert [path.name for path in tmp_path.iterdir()] == [".m2"]


def test_a_jar_that_is_not_the_one_pinned_never_runs(fetched: Path, tmp_path: Path) -> None:
    repository = tmp_path / ".m2" / "repository"
    for jar in pinned():
        place = Path(*jar.group.split("."), jar.artifact, jar.version)
        (repository / place).mkdir(parents=True)
        for path in (fetched / place).glob("*.jar"):
            shutil.copy(path, repository / place / path.name)
    broken = next(repository.rglob("kafka-clients-*.jar"))
    whole = shutil.copy(broken, tmp_path / "whole.jar")
    broken.unlink()
    broken.write_bytes(Path(whole).read_bytes()[:100_000])

    done = without_java_or_network(tmp_path, repository)

    assert done.returncode != 0
    assert "the jars of Apache Kafka can't be had" in done.stderr
    assert not broken.exists()
