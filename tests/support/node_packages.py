"""npm packages for tests, installed once for each lock file, outside the checkout."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def installed(folder: Path) -> Path:
    """A folder with `node_modules` as the lock file in `folder` says; skips the test where that can't be had."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not on PATH")
    lock = folder / "package-lock.json"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wabus-tests"
    there = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if (there / "complete").exists():
        return there
    there.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(folder / name, there / name)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(install, cwd=there, capture_output=True, timeout=100)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not answer within 100 s")
    if done.returncode:
        pytest.skip("the npm registry could not be reached")
    (there / "complete").touch()
    return there
