"""What the tests of deploy/ share: its tools in .tools/, the chart rendered, and each service's settings."""

import base64
import os
import shutil
import subprocess
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings
from wabus_runtime.service.process import Role, Service, build_app
from wabus_runtime.settings import load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
TOOLS = ROOT / ".tools" / "bin"
NEED_GO = {"helm", "kubeconform"}
KUBERNETES = "1.33.0"
VALUES = ("strimzi", "managed")
SETTINGS = {entry.name: entry.module for entry in entry_points(group="wabus.services")}
"""The services that there are, and the module that puts each together."""
EXAMPLES = {
    "CREDENTIAL_KEYS": "k1:" + base64.b64encode(bytes(32)).decode(),
    "IDENTITY_KEY": base64.b64encode(bytes(32)).decode(),
    "JWT_SECRET": "a" * 32,
    "META_APP_SECRETS": "a",
    "META_VERIFY_TOKEN": "a",
}
"""Of what .env.example leaves empty."""

Manifest = dict[str, Any]


def tool(name: str) -> Path:
    """A tool of `make tools`. Skips the test where it can't be had; in CI that is a failure, unless it needs Go."""
    found = TOOLS / name
    if found.exists():
        return found
    if os.environ.get("CI") and (name not in NEED_GO or shutil.which("go")):
        pytest.fail(f"{name} is missing: run `make tools`")
    pytest.skip(f"{name} is not there: `make tools` installs it (Helm and kubeconform need Go)")


def nginx() -> str:
    """Where nginx is. Skips the test where it can't be had; in CI that is a failure."""
    # Debian has it where only root's PATH leads.
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is missing: run `make nginx`")
        pytest.skip("no nginx: Compose's front is not run (`make nginx` installs it on Debian as root)")
    return found


def run(*command: str | Path, timeout: float = 240, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)


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


def addresses(service: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> set[str]:
    """Every address that a service answers at, its probes too."""
    monkeypatch.chdir(home)
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            monkeypatch.setenv(name, value or EXAMPLES.get(name, ""))
    found: Service = import_module(SETTINGS[service]).service
    app = build_app([(found, load(settings_of(service)))])
    return {resource.canonical for resource in app.router.resources()}


def role_of(process: str) -> Role:
    """The role in which a process of the chart or of Compose runs."""
    return "api" if process.endswith("-api") else "worker" if process.endswith("-worker") else "all"
