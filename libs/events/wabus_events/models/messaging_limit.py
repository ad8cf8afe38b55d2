"""To how many people a business may write first in 24 hours, in all the words that Meta has for it. Pure.

Source: Meta, "Messaging limits", "business_capability_update webhook reference".
"""

import re
from collections.abc import Mapping

UNLIMITED = -1
"""Meta's own number for no limit."""
GRAPH_FIELDS = ("whatsapp_business_manager_messaging_limit", "messaging_limit_tier")
"""Fields of a phone number that say its limit, the one that counts first: since October 2025 the limit is that of the
business portfolio, and Graph gives null for the number's own."""

_TIER = re.compile(r"TIER_(\d{1,9})(K?)")


def people_a_day(word: object) -> int | None:
    """What Meta's word for a limit allows, `UNLIMITED` for any number; None where it names no limit.

    Meta gives a number in some webhooks, a tier in others and in Graph: its own page has the one in the table and the
    other in the example.

    >>> people_a_day("TIER_2K"), people_a_day(250), people_a_day("TIER_UNLIMITED"), people_a_day("TIER_NOT_SET")
    (2000, 250, -1, None)
    """
    match word:
        case bool():
            return None
        case int():
            return word if UNLIMITED <= word < 2**31 else None
        case "TIER_UNLIMITED" | "-1":
            return UNLIMITED
        case str() if word.isascii() and word.isdigit() and len(word) <= 9:
            return int(word)
        case str() if found := _TIER.fullmatch(word):
            return int(found[1]) * (1000 if found[2] else 1)
        case _:
            return None


def limit_of(phone: Mapping[str, object]) -> str | None:
    """The limit of a phone number as Graph describes it, in Meta's own word."""
    said = (phone.get(name) for name in GRAPH_FIELDS)
    return next((word for word in said if isinstance(word, str) and word), None)


def is_lower(limit: int | None, before: int | None) -> bool:
    """Whether a limit allows less than the one before it. What is not known is not lower."""
    if limit is None or before is None or limit == UNLIMITED:
        return False
    return before == UNLIMITED or limit < before
