"""Makes a release of the version that the distributions have: wheels, image, chart, bill of materials, checksums.

    make release            everything into dist/; the image only where a Docker engine answers

Refuses to begin while the version is not the same everywhere, the CHANGELOG does not have it with its date, or the
folder has changes that are not committed. Tagging and pushing are left to a person; the last lines say how.
"""

import argparse
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
RELEASED = ("libs/*", "services/*", "deploy/meta")
"""Where the distributions are that become wheels; the local stack, `deploy/local`, only has their version."""
HEADING = re.compile(r"^## \[?(?P<version>[^\]\s]+)\]?(?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


class NotReady(Exception):
    """Why there can be no release yet, in one line."""


def version_of(root: Path) -> str:
    """The version that everything released has. Raises `NotReady` naming two places that differ."""
    found: dict[str, str] = {}
    for distribution in (*distributions(root), root / "deploy/local"):
        path = distribution / "pyproject.toml"
        found[str(path.relative_to(root))] = tomllib.loads(path.read_text())["project"]["version"]
    chart = (root / "deploy/helm/Chart.yaml").read_text()
    for field in ("version", "appVersion"):
        found[f"{field} of deploy/helm/Chart.yaml"] = _only(rf"^{field}: (\S+)$", chart)
    compose = (root / "deploy/compose/compose.yaml").read_text()
    found["WABUS_VERSION of deploy/compose/compose.yaml"] = _only(r"\$\{WABUS_VERSION:-([^}]+)\}", compose)
    image = (root / "deploy/images/Dockerfile").read_text()
    found["deploy/images/Dockerfile"] = _only(r'org\.opencontainers\.image\.version="([^"]+)"', image)
    first, version = next(iter(found.items()))
    for place, other in found.items():
        if other != version:
            raise NotReady(f"{first} has version {version}, {place} has {other}")
    return version


def distributions(root: Path) -> list[Path]:
    """The folders of what is released as wheels."""
    return sorted(path.parent for place in RELEASED for path in root.glob(f"{place}/pyproject.toml"))


def changes_of(version: str, changelog: str, today: datetime.date) -> str:
    """What the CHANGELOG says of a version. Raises `NotReady` if nothing, without a date, or with one to come."""
    headings = list(HEADING.finditer(changelog))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        if heading["version"] != version:
            continue
        if heading["date"] is None:
            raise NotReady(f"CHANGELOG.md has {version} without its date: ## [{version}] - {today}")
        if datetime.date.fromisoformat(heading["date"]) > today:
            raise NotReady(f"CHANGELOG.md dates {version} on {heading['date']}, which is yet to come")
        text = changelog[heading.end() : following.start() if following else len(changelog)].strip()
        if not text:
            raise NotReady(f"CHANGELOG.md says nothing of {version}")
        return text
    raise NotReady(f"CHANGELOG.md has no {version}: give what is under Unreleased the heading ## [{version}] - {today}")


def build(root: Path, out: Path, version: str) -> None:
    """Wheels, the chart, and the bill of materials of the image, into `out`."""
    for distribution in distributions(root):
        _run([root / ".venv/bin/hatchling", "build", "-t", "wheel", "-d", out], cwd=distribution)
    helm = root / ".tools/bin/helm"
    if helm.exists():
        _run([helm, "package", root / "deploy/helm", "--destination", out])
    else:
        print("release: no Helm in .tools/ (it needs Go): the chart is not packaged")
    with tempfile.TemporaryDirectory() as scratch:
        tools = Path(scratch) / "tools" / "bin"
        tools.mkdir(parents=True)
        for place, names in ((".venv/bin", ("uv", "hatchling")), (".tools/bin", ("cyclonedx-py",))):
            for name in names:
                (tools / name).symlink_to(root / place / name)
        env = {**os.environ, "TOOLS": str(tools.parent)}
        target = Path(scratch) / "wabus"
        for step in ("packages", "wheels", "bill"):
            _run([root / "deploy/images/assemble", step, target], cwd=root, env=env)
        shutil.copy(target / "sbom.cdx.json", out / f"wabus-{version}.cdx.json")


def build_image(root: Path, out: Path, version: str, registry: str) -> bool:
    """Whether a Docker engine was there to build the image."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:  # noqa: S603
        print("release: no Docker engine answers: the image is not built")
        return False
    revision = _said(["git", "rev-parse", "HEAD"], root)
    image = f"{registry}wabus:{version}"
    _run(
        ["docker", "build", "--file", root / "deploy/images/Dockerfile", "--target", "wabus", "--tag", image,
         "--build-arg", f"REVISION={revision}", root],
    )  # fmt: skip
    _run(["docker", "save", "--output", out / f"wabus-{version}.tar", image])
    return True


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--registry", default="", help="in front of the image's name, with a slash at its end")
    given = arguments.parse_args()
    try:
        version = version_of(ROOT)
        changes = changes_of(version, (ROOT / "CHANGELOG.md").read_text(), datetime.datetime.now(datetime.UTC).date())
        if changed := _said(["git", "status", "--porcelain"], ROOT):
            raise NotReady(f"there are changes that are not committed, {changed.splitlines()[0].strip()} for one")
    except NotReady as reason:
        sys.exit(f"release: {reason}")
    out = ROOT / "dist" / version
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    build(ROOT, out, version)
    build_image(ROOT, out, version, given.registry)
    (out / "CHANGES.md").write_text(changes + "\n")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / "SHA256SUMS").write_text("".join(sums))
    print(f"release: wabus {version} is in {out.relative_to(ROOT)}, {len(sums)} files. To publish it:")
    print(f"  git tag --sign v{version} && git push origin v{version}")
    print(
        f"  then write its commit and version into tests/previous_release: the next release has to live with {version}"
    )


def _only(pattern: str, text: str) -> str:
    found = set(re.findall(pattern, text, re.MULTILINE))
    if len(found) != 1:
        raise NotReady(f"{pattern} is there {len(found)} times")
    return found.pop().strip('"')


def _run(command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        sys.exit(f"release: {Path(command[0]).name} failed:\n{done.stderr}")


def _said(command: Sequence[str], cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    main()
