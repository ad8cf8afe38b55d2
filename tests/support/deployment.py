"""What the tests of deploy/ share: its tools in .tools/, the chart rendered, and each service's settings."""

import os
import shutil
import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings
from wabus_runtime.service.process import Role, Service

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
TOOLS = ROOT / ".tools" / "bin"
NEED_GO = {"helm", "kubeconform"}
KUBERNETES = "1.33.0"
VALUES = ("strimzi", "managed")
SETTINGS = {
    "gateway": "wabus_gateway.app",
    "template-sync": "wabus_template_sync.app",
    "health-projector": "wabus_health_projector.app",
}

Manifest = dict[str, Any]


def tool(name: str) -> Path:
    """A tool of `make tools`. Skips the test where it can't be had; in CI that is a failure, unless it needs Go."""
    found = TOOLS / name
    if found.exists():
        return found
    if os.environ.get("CI") and (name not in NEED_GO or shutil.which("go")):
        pytest.fail(f"{name} is missing: run `make tools`")
    pytest.skip(f"{name} is not there: `make tools` installs it (Helm and kubeconform need Go)")


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)


def values(name: str) -> Path:
    return CHART / "ci" / f"{name}-values.yaml"


@cache
def rendered(name: str, *arguments: str) -> str:
    """The chart as text, with one of its example values and further arguments of `helm template`."""
    done = run(
        tool("helm"), "template", "wabus", CHART, "--namespace", "whatsapp", "--kube-version", KUBERNETES,
        "--values", values(name), *arguments,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _parsed(name: str) -> list[Manifest]:
    return [each for each in yaml.load_all(rendered(name), yaml.CSafeLoader) if each]


def manifests(name: str, kind: str | None = None) -> list[Manifest]:
    return [each for each in _parsed(name) if kind in (None, each["kind"])]


def named(name: str, kind: str) -> dict[str, Manifest]:
    """The manifests of a kind by the part of their name after the release's."""
    return {each["metadata"]["name"].removeprefix("wabus-"): each for each in manifests(name, kind)}


def settings_of(service: str, role: Role = "all") -> type[BaseSettings]:
    found: Service = import_module(SETTINGS[service]).service
    return found.settings[role]


def role_of(process: str) -> Role:
    """The role in which a process of the chart or of Compose runs."""
    return "api" if process.endswith("-api") else "worker" if process.endswith("-worker") else "all"
