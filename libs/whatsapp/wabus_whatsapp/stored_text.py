"""Text that every store can hold: UTF-8 has no half of a surrogate pair, and PostgreSQL no NUL. Pure."""

import re

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """The text with U+FFFD in the place of each character that can't be stored."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
