"""What the pages about security name is there: each test that proves something, each file where to see it."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from deployment import ROOT

PAGES = ("docs/threat-model.md", "docs/asvs.md", "SECURITY.md")
NAMED = re.compile(r"`([\w/.-]*\btest_\w+\.py)(?:::(test_\w+))?`")
FILES = re.compile(r"`([\w/.-]+\.(?:py|js|lock|toml))`")


@cache
def files() -> tuple[str, ...]:
    """What is under version control, or about to be."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    return tuple(listed.stdout.decode().splitlines())


def found(name: str) -> list[str]:
    """The files with this path, or else those whose path ends so."""
    return [name] if name in files() else [each for each in files() if each.endswith(f"/{name}")]


def functions_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("page", PAGES)
def test_each_test_that_a_page_about_security_names_is_there(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text())
    assert named or page == "SECURITY.md"
    for name, function in named:
        places = [each for each in found(name) if each.startswith("tests/")]
        assert len(places) == 1, f"{name} is in {places}"
        assert not function or function in functions_in(ROOT / places[0]), f"{name} has no {function}"


@pytest.mark.parametrize("page", PAGES)
def test_each_file_that_a_page_about_security_names_is_there_and_is_one(page: str) -> None:
    wrong = {name: found(name) for name in FILES.findall((ROOT / page).read_text()) if len(found(name)) != 1}
    assert wrong == {}


def test_each_threat_names_a_test() -> None:
    table = (ROOT / "docs/threat-model.md").read_text().partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| Threat |")]
    assert len(rows) > 15
    assert [row for row in rows if not NAMED.search(row.rpartition(" | ")[2])] == []
