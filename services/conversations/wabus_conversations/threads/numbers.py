"""Numbers that may be the same though they are written otherwise: to find somebody, never to merge anybody."""

import re

_RULES = (
    (re.compile(r"55(\d\d)9(\d{8})"), r"55\1\2"),
    (re.compile(r"55(\d\d)([6-9]\d{7})"), r"55\g<1>9\2"),
    (re.compile(r"521(\d{10})"), r"52\1"),
    (re.compile(r"52(\d{10})"), r"521\1"),
    (re.compile(r"549(\d{10})"), r"54\1"),
    (re.compile(r"54(\d{10})"), r"549\1"),
)
"""Of mobile numbers in Brazil, Mexico and Argentina, which got a digit more, or lost it again.

Meta: "WhatsApp IDs": what it sends may lack the digit, or have it, whatever people write.
"""


def written_otherwise(number: str) -> list[str]:
    """How else the digits of a number may be written.

    >>> written_otherwise("5511987654321"), written_otherwise("5215512345678"), written_otherwise("16505551234")
    (['551187654321'], ['525512345678'], [])
    """
    return [pattern.sub(other, number) for pattern, other in _RULES if pattern.fullmatch(number)]
