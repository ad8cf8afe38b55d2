"""What a medium is by its content, whatever was said, and as what it is served.

Nothing is ever unpacked or drawn here: the first bytes decide. What is not known to be harmless in a browser is served
as bytes and nothing else.
"""

from typing import NamedTuple, Protocol, cast

import puremagic

HEAD_BYTES = 4_096
"""How much of its beginning is looked at."""

BYTES = "application/octet-stream"
SHOWN = frozenset(
    (
        *("image/jpeg", "image/png", "image/webp", "image/gif", "video/mp4", "video/3gpp"),
        *("audio/aac", "audio/mp4", "audio/mpeg", "audio/amr", "audio/ogg"),
    )
)
"""What a browser shows and cannot run. Meta: "Supported media types", with GIF."""
SERVED = SHOWN | {"application/pdf"}
"""What is served as what it is; a PDF is saved, not shown, for it may hold scripts."""

_SAME = (
    frozenset(("video/mp4", "audio/mp4", "video/3gpp", "audio/3gpp", "video/quicktime", "audio/x-m4a", "video/x-m4v")),
    frozenset(("audio/ogg", "application/ogg", "video/ogg", "audio/opus")),
    frozenset(("audio/mpeg", "audio/mp3")),
    frozenset(("image/jpeg", "image/jpg", "image/pjpeg")),
    frozenset(("audio/aac", "audio/x-aac", "audio/aacp")),
    frozenset(
        (
            *("application/msword", "application/vnd.ms-excel", "application/excel", "application/vnd.ms-powerpoint"),
            *("application/mspowerpoint", "application/x-ole-storage", "application/x-visio", "application/vnd.visio"),
        )
    ),
)
"""Types that are one container, or one type under several names: the first bytes tell no more."""
_KNOWN_AS = {
    "audio/opus": "audio/ogg",
    "audio/mp3": "audio/mpeg",
    "image/jpg": "image/jpeg",
    "audio/3gpp": "video/3gpp",
}
_BY_EXTENSION = {
    ".amr": "audio/amr",
    ".m4a": "audio/mp4",
    ".opus": "audio/ogg",
    ".oga": "audio/ogg",
    ".mp4": "video/mp4",
}
"""For what the library knows by its extension alone."""


class Found(NamedTuple):
    """What a medium is."""

    type: str | None
    """By its content; None if nobody knows."""
    as_told: bool | None
    """Whether that is what its message says; None if nobody can tell, as of a text, which begins with anything."""

    @property
    def served_as(self) -> str:
        """The `Content-Type` of an answer."""
        known = _KNOWN_AS.get(self.type or "", self.type)
        return known if known in SERVED else BYTES

    @property
    def is_shown(self) -> bool:
        """Whether a page may show it, rather than offer to save it."""
        return self.served_as in SHOWN


class _Match(Protocol):
    mime_type: str
    extension: str
    confidence: float


def found_in(head: bytes, told: str | None) -> Found:
    """What begins with these bytes is; of several that it may be, what was said."""
    candidates = _candidates(head)
    possible = {same for each in candidates for same in _same_as(each)}
    if told and told in possible:
        return Found(told, as_told=True)
    return Found(candidates[0], as_told=False) if candidates else Found(None, _nobody_knows(told))


def found_again(found: str | None, told: str | None) -> Found:
    """The same of content that was looked at before, whose message said something else perhaps."""
    if found is None:
        return Found(None, _nobody_knows(told))
    if told and told in _same_as(found):
        return Found(told, as_told=True)
    return Found(found, as_told=False)


def _nobody_knows(told: str | None) -> bool | None:
    """Whether what nobody recognises is what was said: not, where that would have been recognised."""
    return False if told and not SERVED.isdisjoint(_same_as(told)) else None


def _candidates(head: bytes) -> list[str]:
    """The types that it may be, the most likely first."""
    try:
        matches = cast(list[_Match], puremagic.magic_string(head[:HEAD_BYTES]))
    except (puremagic.PureError, ValueError):
        return []
    found: dict[str, None] = {}
    for match in sorted(matches, key=lambda match: -match.confidence):
        name = _BY_EXTENSION.get(match.extension) or match.mime_type.lower()
        if name and name != BYTES:
            found[name] = None
    return list(found)


def _same_as(name: str) -> frozenset[str]:
    return next((same for same in _SAME if name in same), frozenset((name,)))
