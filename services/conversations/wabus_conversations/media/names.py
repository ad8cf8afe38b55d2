"""The name under which a medium is saved: whatever its sender has called it, it is a plain name of a file."""

import re
import unicodedata
from urllib.parse import quote

LONGEST = 150  # characters
_LONGEST_BYTES = 240  # of UTF-8: file systems take 255
_LONGEST_EXTENSION = 16  # characters, with its point
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Categories of Unicode of which nobody sees what they are: controls, also those that turn the order of writing round
(UAX #9), invisible characters, halves of surrogate pairs, characters that are nobody's or private, ends of lines."""
_NOT_IN_NAMES = re.compile(r'[<>:"|?*]')
"""Besides the slashes: Windows, "Naming Files, Paths, and Namespaces"."""
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)

EXTENSIONS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "video/mp4": ".mp4",
    "video/3gpp": ".3gp",
    "audio/aac": ".aac",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/amr": ".amr",
    "audio/ogg": ".ogg",
    "application/pdf": ".pdf",
}


def safe_name(told: str | None, kind: str, served_type: str) -> str:
    """A name without path, controls and tricks; that of its kind where the sender has given none.

    >>> safe_name("../../invoice\\u202efdp.exe", "document", "application/octet-stream")
    'invoicefdp.exe'
    """
    seen = "".join(each for each in told or "" if unicodedata.category(each) not in _HIDDEN)
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", seen))[-1]
    name = _NOT_IN_NAMES.sub("_", last)
    name = " ".join(name.split()).strip(". ")
    if not name:
        return kind + EXTENSIONS.get(served_type, "")
    if _DEVICES.fullmatch(name):
        name = "_" + name
    return _shortened(name)


def disposition(name: str) -> str:
    """`Content-Disposition` for a safe name. RFC 6266, section 4.3, with RFC 8187 for what is not ASCII."""
    plain = "".join(each if " " <= each <= "~" and each not in '"\\%' else "_" for each in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _shortened(name: str) -> str:
    """Cut before its extension, so that it still says what it is."""
    stem, point, extension = name.rpartition(".")
    tail = point + extension
    if not stem or len(tail) > _LONGEST_EXTENSION:
        stem, tail = name, ""
    stem = stem[: LONGEST - len(tail)]
    while len((stem + tail).encode()) > _LONGEST_BYTES:
        stem = stem[:-1]
    return (stem.rstrip(". ") or "_") + tail
