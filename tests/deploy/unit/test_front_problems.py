"""What Compose's front answers by itself: problems whose status is that of the answer, and whose code is explained."""

import json
from pathlib import Path

import pytest
from deployment import ROOT

PROBLEMS = sorted((ROOT / "deploy" / "compose" / "front" / "problems").glob("*.json"))


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda path: path.stem)
def test_a_client_finds_out_what_each_code_means(path: Path) -> None:
    problem = json.loads(path.read_text())

    assert list(problem) == ["type", "title", "status", "detail", "code"]
    assert (str(problem["status"]), problem["type"]) == (path.stem, f"urn:wabus:problem:{problem['code']}")
    assert f"`{problem['code']}`" in (ROOT / "docs" / "connect.md").read_text()


def test_there_is_a_problem_for_each_status_that_the_front_answers_by_itself() -> None:
    conf = (ROOT / "deploy" / "compose" / "front" / "nginx.conf").read_text()
    [named] = [line for line in conf.splitlines() if "/problems/$status.json" in line]

    assert {word for word in named.replace(";", "").split() if word.isdigit()} == {path.stem for path in PROBLEMS}
