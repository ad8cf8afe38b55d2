"""Which files Meta takes, as what they are sent, and how large each may be. Pure.

Source: Meta, "Media" (Cloud API reference), Supported media types.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, NamedTuple

KEPT = timedelta(days=30)
"""How long Meta keeps an uploaded file, and its id is good."""

MEGABYTE = 1024 * 1024
LARGEST = 100 * MEGABYTE
"""Bytes of the largest file of any type."""

MediaKind = Literal["audio", "document", "image", "sticker", "video"]


class FileType(NamedTuple):
    """What Meta says of files of one type."""

    kind: MediaKind
    """The `type` of the message that such a file is sent in."""
    most: int
    """Bytes."""
    told_as: str
    """The type that Meta is told."""


_OFFICE = "application/vnd.openxmlformats-officedocument"
_TYPES: Mapping[MediaKind, tuple[int, tuple[str, ...]]] = {
    "audio": (16 * MEGABYTE, ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg")),
    "document": (
        LARGEST,
        (
            *("application/pdf", "text/plain", "application/msword", "application/vnd.ms-excel"),
            *("application/vnd.ms-powerpoint", f"{_OFFICE}.wordprocessingml.document"),
            *(f"{_OFFICE}.spreadsheetml.sheet", f"{_OFFICE}.presentationml.presentation"),
        ),
    ),
    "image": (5 * MEGABYTE, ("image/jpeg", "image/png")),
    "sticker": (500 * 1024, ("image/webp",)),  # an animated one; of others Meta takes 100 kB
    "video": (16 * MEGABYTE, ("video/3gpp", "video/mp4")),
}
_TOLD_AS = {"audio/ogg": "audio/ogg; codecs=opus"}  # Meta takes no other codec in it, and wants it named

FILE_TYPES: Mapping[str, FileType] = {
    name: FileType(kind, most, _TOLD_AS.get(name, name)) for kind, (most, names) in _TYPES.items() for name in names
}
"""By media type, in small letters and without parameters."""


def file_type(content_type: str) -> tuple[str, FileType] | None:
    """The name of a type, and what is said of it, by a `Content-Type`; None of what Meta does not take."""
    name = content_type.partition(";")[0].strip().lower()
    known = FILE_TYPES.get(name)
    return (name, known) if known else None
