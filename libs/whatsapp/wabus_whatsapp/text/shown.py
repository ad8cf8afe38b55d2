"""Names that other people chose, in our sentences: whatever their direction, the text around them keeps its own. Pure.

Source: Unicode Standard Annex 9, "Unicode Bidirectional Algorithm".
"""

import re

_TURNS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
FIRST_STRONG_ISOLATE, POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"


def isolated(name: str) -> str:
    """A name without the characters that turn the text around it, kept apart from that text."""
    return f"{FIRST_STRONG_ISOLATE}{_TURNS.sub('', name)}{POP_DIRECTIONAL_ISOLATE}"
