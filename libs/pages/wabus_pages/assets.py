"""Reads the pages' files, once; whoever serves them has each plain, compressed and with its tag."""

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

FOLDERS = ("shared", "status", "inbox", "conversation", "insights")

COMMENT = re.compile(rb"^[ ]*(?://[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)$", re.MULTILINE)
"""One that has its lines to itself. Whoever reads them reads the source; a browser is sent the empty lines, so that a
line of a script has the number that it has there."""


@dataclass(frozen=True)
class Asset:
    """A file as it is sent, plain and compressed; `tag` is its ETag."""

    plain: bytes
    compressed: bytes
    tag: str
    content_type: str


@dataclass(frozen=True)
class Assets:
    """Every file of every page by its path, such as `status/index.html` or `shared/dom.js`.

    `release` stands for all of them together. A page asks for its files under `/ui/<release>/`, so a browser keeps them
    for as long as they are the same and asks for nothing but the page when it is opened again.
    """

    files: dict[str, Asset]
    release: str


def read_assets() -> Assets:
    found = {
        f"{folder}/{file.name}": (
            _sent(file.read_bytes(), file.name),
            CONTENT_TYPES["." + file.name.rpartition(".")[2]],
        )
        for folder in FOLDERS
        for file in files("wabus_pages").joinpath(folder).iterdir()
        if "." + file.name.rpartition(".")[2] in CONTENT_TYPES
    }
    release = _digest(b"".join(path.encode() + plain for path, (plain, _) in sorted(found.items())))
    return Assets({path: _asset(path, plain, kind, release) for path, (plain, kind) in found.items()}, release)


def _asset(path: str, plain: bytes, content_type: str, release: str) -> Asset:
    if path.endswith(".html"):
        plain = plain.replace(b'"/ui/', f'"/ui/{release}/'.encode())
    return Asset(plain, gzip.compress(plain, compresslevel=9, mtime=0), _digest(plain), content_type)


def _sent(content: bytes, name: str) -> bytes:
    return (
        COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), content) if name.endswith((".js", ".css")) else content
    )


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=12).hexdigest()
