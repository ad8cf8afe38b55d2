"""`.ci/run`: nothing that needs an engine is skipped silently, and nothing fails only because there can be none."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from deployment import ROOT, run

MAKE = '#!/bin/sh\necho "$1 ${WABUS_TEST_CONTAINERS:-}" >> ../made\n'
ENGINE = """#!/bin/sh
mkdir -p "$1"
echo 'export DOCKER_HOST=unix:///made' > "$1/env"
sleep 600 >/dev/null 2>&1 &
echo $! > "$1/dockerd.pid"
cp "$1/dockerd.pid" ../pid
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of `.ci/run` beside a folder `shared`, with a `make` that only writes down what it is asked for."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / ".ci", root / ".ci")
    program(tmp_path / "bin" / "make", MAKE)
    return root


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def ci(checkout: Path) -> tuple[int, list[str], str]:
    """Its status, what it had made (with whether containers have to be tested), and what it complained of."""
    path = f"{checkout.parent / 'bin'}{os.pathsep}{os.defpath}"
    done = run(checkout / ".ci" / "run", env={"PATH": path})
    return done.returncode, (checkout.parent / "made").read_text().splitlines(), done.stderr


def test_where_an_engine_answers_no_test_of_containers_may_be_skipped(checkout: Path) -> None:
    program(checkout.parent / "bin" / "docker", "#!/bin/sh\nexit 0\n")

    assert ci(checkout) == (0, ["check ", "test 1", "test-long 1"], "")


def test_where_none_answers_one_is_made_and_ended_with_the_run(checkout: Path) -> None:
    program(checkout.parent / "bin" / "docker", '#!/bin/sh\n[ "${DOCKER_HOST:-}" = unix:///made ]\n')
    program(checkout.parent / "shared" / "tools" / "docker-engine", ENGINE)

    assert ci(checkout) == (0, ["check ", "test 1", "test-long 1"], "")
    made = int((checkout.parent / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(made, 0)


@pytest.mark.parametrize("tool", [None, "#!/bin/sh\nexit 1\n", "#!/bin/sh\nexit 0\n"])
def test_where_there_can_be_none_everything_else_is_tested_and_nobody_overlooks_it(
    checkout: Path, tool: str | None
) -> None:
    program(checkout.parent / "bin" / "docker", "#!/bin/sh\nexit 1\n")
    if tool:
        program(checkout.parent / "shared" / "tools" / "docker-engine", tool)

    status, made, said = ci(checkout)

    assert (status, made) == (0, ["check ", "test ", "test-long "])
    assert "NOT TESTED: containers" in said.splitlines()[-2]


def test_a_test_that_fails_is_the_result_of_the_run(checkout: Path) -> None:
    program(checkout.parent / "bin" / "docker", '#!/bin/sh\n[ "${DOCKER_HOST:-}" = unix:///made ]\n')
    program(checkout.parent / "shared" / "tools" / "docker-engine", ENGINE)
    program(checkout.parent / "bin" / "make", f'{MAKE}[ "$1" != test ]\n')

    assert ci(checkout)[:2] == (1, ["check ", "test 1"])


SHAKY = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("name", {names})
def test_it(name):
    seen = Path("seen")
    before = seen.read_text().split() if seen.exists() else []
    seen.write_text(" ".join([*before, name]))
    assert before.count(name) >= {fails}
"""


def shaky(checkout: Path, names: list[str], fails: int) -> None:
    """Tests that fail so many times before they pass, and a `make` that runs them."""
    program(checkout.parent / "bin" / "docker", "#!/bin/sh\nexit 0\n")
    program(checkout / ".venv" / "bin" / "pytest", f'#!/bin/sh\nexec {sys.executable} -m pytest "$@"\n')
    program(checkout.parent / "bin" / "make", f'{MAKE}[ "$1" != test ] || .venv/bin/pytest -m "not long"\n')
    (checkout / "pyproject.toml").write_text('[tool.pytest.ini_options]\nmarkers = ["long: of the other run"]\n')
    (checkout / "test_shaky.py").write_text(SHAKY.format(names=names, fails=fails))


def test_what_failed_only_beside_others_passes_and_is_named_at_the_end(checkout: Path) -> None:
    shaky(checkout, ["a", "b", "c"], 1)

    status, made, said = ci(checkout)

    assert (status, made) == (0, ["check ", "test 1", "test-long 1"])
    assert [line for line in said.splitlines() if "::" in line] == [
        f"test_shaky.py::test_it[{name}]" for name in ("a", "b", "c")
    ]


@pytest.mark.parametrize(("names", "fails"), [(["a"], 2), (["a", "b", "c", "d"], 1)])
def test_what_fails_again_fails_and_so_do_many_at_once(checkout: Path, names: list[str], fails: int) -> None:
    shaky(checkout, names, fails)

    assert ci(checkout)[:2] == (1, ["check ", "test 1"])
