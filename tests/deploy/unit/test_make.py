"""What `make` says before it installs anything, and what it says that it can do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MAKE = shutil.which("make") or "make"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, in which nothing has been installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


def programs(folder: Path, *names: str) -> Path:
    """A folder for PATH that has these programs and no other; `id` says that root asks, who has no other user."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name) or "")
    (folder / "id").write_text('#!/bin/sh\n[ "$1" = -u ] && echo 0\n')
    (folder / "id").chmod(0o755)
    return folder


@pytest.mark.parametrize("command", ["run", "test", "test-long"])
def test_nobody_installs_for_minutes_to_learn_that_useradd_is_missing(checkout: Path, command: str) -> None:
    path = programs(checkout / "bin", "sh", "grep", "sed")

    done = subprocess.run(
        [MAKE, "PYTHON=no-such-python", command], cwd=checkout, env={"PATH": str(path)}, capture_output=True, text=True
    )

    assert done.returncode != 0
    assert "there is no useradd" in done.stderr
    assert "Debian and Ubuntu: passwd" in done.stderr
    assert "installing" not in done.stdout
    assert not (checkout / ".venv").exists()


def test_who_has_a_database_of_their_own_needs_no_useradd(checkout: Path) -> None:
    path = programs(checkout / "bin", "sh", "grep", "sed")
    (checkout / ".env").write_text("DATABASE_URL=postgresql://wabus@db/wabus\n")

    done = subprocess.run([MAKE, "user"], cwd=checkout, env={"PATH": str(path)}, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_help_lists_every_command_that_a_person_calls() -> None:
    done = subprocess.run(
        [MAKE, "--no-print-directory", "help"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )

    listed = re.findall(r"^  ([a-z-]+) +\S", done.stdout, re.M)
    assert {"help", "run", "test-unit", "test-one", "test", "test-long", "chaos", "check", "format", "lock"} <= set(
        listed
    )
    assert len(listed) == len(done.stdout.splitlines())
