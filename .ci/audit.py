"""Known vulnerabilities of what is pinned: asks the OSV database about every package, in one request.

Exits with 1 and names them if there are any. Where the database can't be reached it says so in one line and exits
with 0: a check must not depend on somebody else's service. Source: OSV, "POST /v1/querybatch".
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from wabus_local.jars import COORDINATES

URL = os.environ.get("OSV_URL", "https://api.osv.dev/v1/querybatch")
TIMEOUT = 10.0  # seconds
ACCEPTED: dict[str, str] = {}
"""Ids of vulnerabilities that do not concern us, each with the reason."""

Package = tuple[str, str, str]  # ecosystem, name, version


def main(locks: list[Path]) -> int:
    packages = sorted({*(package for lock in locks for package in pinned(lock.read_text())), *jars()})
    try:
        found = vulnerabilities(packages)
    except (OSError, ValueError, LookupError, TypeError) as error:
        why = type(error).__name__
        print(f"audit: {len(packages)} packages were not checked, the OSV database gave no answer ({why})")
        return 0
    open_ = [(package, ids) for package, ids in found if ids]
    for (ecosystem, name, version), ids in open_:
        print(f"audit: {ecosystem} {name} {version}: {', '.join(ids)}", file=sys.stderr)
    print(f"audit: {len(packages)} packages checked, {len(open_)} with known vulnerabilities")
    return 1 if open_ else 0


def pinned(lock: str) -> list[Package]:
    """The packages of a requirements file with exact versions."""
    return [("PyPI", name, version) for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock, re.M)]


def jars() -> list[Package]:
    """The Maven packages of the embedded broker."""
    parts = (coordinate.split(":") for coordinate in COORDINATES.split("+"))
    return [("Maven", f"{group}:{artifact}", version) for group, artifact, version in parts]


def vulnerabilities(packages: list[Package]) -> list[tuple[Package, list[str]]]:
    """For each package the ids of what is known about it.

    Without an answer, or with an odd one, it raises OSError, ValueError, LookupError or TypeError.
    """
    queries = [
        {"package": {"ecosystem": ecosystem, "name": name}, "version": version} for ecosystem, name, version in packages
    ]
    body = json.dumps({"queries": queries}).encode()
    request = urllib.request.Request(URL, body, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        results: list[dict[str, Any]] = json.load(answer)["results"]
    ids = [[one["id"] for one in result.get("vulns", []) if one["id"] not in ACCEPTED] for result in results]
    return list(zip(packages, ids, strict=True))


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
