"""What `make release` refuses: versions that differ, a CHANGELOG without the version, its date or its changes."""

import re
import shutil
import sys
from datetime import date
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 12, 1)
VERSIONED = ("libs", "services", "deploy/local", "deploy/meta", "deploy/helm", "deploy/compose", "deploy/images")


@pytest.fixture(scope="module")
def release() -> Any:
    spec = spec_from_file_location("wabus_release", ROOT / "deploy" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["wabus_release"] = module
    spec.loader.exec_module(module)
    return module


def test_everything_that_is_released_has_one_version(release: Any) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", release.version_of(ROOT))


@pytest.mark.parametrize(
    "place",
    [
        "services/gateway/pyproject.toml", "deploy/helm/Chart.yaml", "deploy/compose/compose.yaml",
        "deploy/images/Dockerfile",
    ],
)  # fmt: skip
def test_a_place_with_another_version_is_named(release: Any, tmp_path: Path, place: str) -> None:
    version = release.version_of(ROOT)
    for folder in VERSIONED:
        for path in (ROOT / folder).glob("**/*"):
            if path.name in ("pyproject.toml", "Chart.yaml", "compose.yaml", "Dockerfile"):
                copy = tmp_path / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    (tmp_path / place).write_text((tmp_path / place).read_text().replace(version, "99.0.0"))

    with pytest.raises(release.NotReady, match=f"{place} has 99.0.0"):
        release.version_of(tmp_path)


CHANGELOG = """\
# Changes

## [Unreleased]

## [1.1.0] - 2026-11-30

### Fixed

- Something.

## [1.0.0]

- More.

## [0.9.0] - 2026-10-01
"""


def test_the_changes_of_a_version_are_its_own(release: Any) -> None:
    assert release.changes_of("1.1.0", CHANGELOG, TODAY) == "### Fixed\n\n- Something."


@pytest.mark.parametrize(
    ("version", "today", "reason"),
    [
        ("1.2.0", TODAY, "has no 1.2.0"),
        ("1.0.0", TODAY, "without its date"),
        ("0.9.0", TODAY, "says nothing of 0.9.0"),
        ("1.1.0", date(2026, 11, 29), "yet to come"),
    ],
)
def test_a_changelog_that_is_not_ready_is_refused_with_the_reason(
    release: Any, version: str, today: date, reason: str
) -> None:
    with pytest.raises(release.NotReady, match=reason):
        release.changes_of(version, CHANGELOG, today)


def test_the_changelog_keeps_its_form(release: Any) -> None:
    """Keep a Changelog 1.1.0: newest first, what is not released yet on top, each with its date."""
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = [(found["version"], found["date"]) for found in release.HEADING.finditer(text)]
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))

    assert headings[0] == ("Unreleased", None)
    versions = [tuple(int(part) for part in version.split(".")) for version, _ in headings[1:]]
    assert versions == sorted(versions, reverse=True)
    assert all(day for _, day in headings[1:])
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert len(re.findall(r"^## ", text, re.MULTILINE)) == len(headings)
