"""The house as a stranger finds it: no room with more in it than one sees at a glance, and pages that lead to code."""

import importlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from deployment import ROOT

MOST = 12  # modules of a folder, beside its `__init__`
HOUSE = ("libs", "services", "deploy")
PAGES = ("*.md", "docs/*.md", "libs/*/*.md", "services/*/*.md", "deploy/*/*.md", "examples/*.md")
MODULE = re.compile(r"`((?:wabus|simulated)_\w+(?:\.\w+)+)[`(]")
PATH = re.compile(r"`((?:[\w-]+/)*[\w-]+\.(?:py|js))`")


def modules() -> Iterator[Path]:
    """Every module of the distributions; migrations are a history, and only grow."""
    for place in HOUSE:
        for path in (ROOT / place).rglob("*.py"):
            if path.parent.name != "versions" and path.name != "__init__.py":
                yield path


def test_nobody_has_to_look_through_more_than_twelve_modules_of_a_folder() -> None:
    folders: dict[Path, int] = {}
    for path in modules():
        folders[path.parent] = folders.get(path.parent, 0) + 1
    assert len(folders) > 50
    assert {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > MOST} == {}


def test_migrations_of_two_that_were_written_at_once_stop_no_service_from_starting() -> None:
    told: dict[Path, list[tuple[str, str]]] = {}
    for path in sorted(ROOT.glob("*/*/*/**/versions/*.py")):
        if "/migrations/" in str(path):
            found = dict(re.findall(r'^(revision|down_revision) = "?(\w+)"?$', path.read_text(), re.MULTILINE))
            assert found["revision"].endswith(path.name[:4]), path
            told.setdefault(path.parent, []).append((found["revision"], found["down_revision"]))
    assert len(told) > 5
    for folder, chain in told.items():
        assert [before for _, before in chain] == ["None", *(revision for revision, _ in chain[:-1])], folder


@pytest.mark.parametrize("place", ["libs", "services"])
def test_every_distribution_says_on_a_screen_what_it_is(place: str) -> None:
    homes = [path.parent for path in (ROOT / place).glob("*/pyproject.toml")]
    assert homes
    for home in homes:
        assert 3 < len((home / "README.md").read_text().splitlines()) < 70, home


def there_is(name: str) -> bool:
    """Whether a dotted name is one of a module, or of something in one."""
    parts = name.split(".")
    for known in range(len(parts), 0, -1):
        module = ".".join(parts[:known])
        try:
            if find_spec(module) is None:
                continue
        except ModuleNotFoundError:
            continue
        found: object = importlib.import_module(module)
        for part in parts[known:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def pages() -> list[Path]:
    return sorted(page for place in PAGES for page in ROOT.glob(place) if page.name != "CHANGELOG.md")


def test_no_page_sends_anybody_to_a_module_that_is_not_there() -> None:
    named = {(page.name, name) for page in pages() for name in MODULE.findall(page.read_text())}
    assert len(named) > 20
    assert sorted(f"{page}: {name}" for page, name in named if not there_is(name)) == []


def test_no_page_sends_anybody_to_a_file_that_is_not_there() -> None:
    files = {
        "/" + str(path.relative_to(ROOT)).replace("wabus_", "").replace("-", "_")
        for place in (*HOUSE, "tests", "benchmarks", "examples")
        for path in (ROOT / place).rglob("*.*")
        if path.suffix in (".py", ".js")
    }
    named = {(page.name, path) for page in pages() for path in PATH.findall(page.read_text())}
    assert len(named) > 50
    assert sorted(
        f"{page}: {path}"
        for page, path in named
        if not any(file.endswith("/" + path.replace("wabus_", "").replace("-", "_")) for file in files)
    ) == []  # fmt: skip


def test_the_index_of_the_documentation_leaves_no_page_out() -> None:
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index] == ["README.md"]
