"""Text that every store can hold: UTF-8 has no half of a surrogate pair, and PostgreSQL no NUL. Pure."""

import re

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_CONTROL = re.compile("[\x01-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def storable(text: str) -> str:
    """The text with U+FFFD in the place of each character that can't be stored."""
    # Nothing that can be printed is among them, and nearly all text is of that alone.
    return text if text.isprintable() else _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def sentence(value: object, most: int) -> str | None:
    """Somebody else's text as one line of at most `most` characters, to be shown to people; None where there is none.

    Control characters go, those that change the direction of writing too: nothing can be made of what stands beside it.
    """
    if not isinstance(value, str):
        return None
    line = " ".join(_CONTROL.sub(" ", storable(value[: 4 * most])).split())
    if len(line) > most:
        line = line[: most - 1].rstrip() + "…"
    return line or None
