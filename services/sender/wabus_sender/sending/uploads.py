"""What an answer of Meta's to an upload means. Somebody waits for it: it is not tried for long."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wabus_sender.sending.answers import Again, Refused, outcome

MOST_TRIES = 4
FIRST_WAIT = 0.5  # seconds; three times as many after each further try


@dataclass(frozen=True, slots=True)
class Stored:
    """Meta has the file."""

    media_id: str


def answered(status: int, content: Mapping[str, Any] | None) -> Stored | Refused | Again:
    """What an answer says; one that is none of Graph's may be asked for again, unlike a message."""
    match content:
        case {"id": str(media_id)} if status < 300 and media_id:
            return Stored(media_id)
        case {"error": {"code": int()}}:
            found = outcome(status, content)
            return found if isinstance(found, Refused | Again) else Again("no_graph_answer", 0.0)
        case _:
            return Again("no_graph_answer", 0.0)


def decided(found: Stored | Refused | Again, tries: int) -> Stored | Refused | Again:
    """What becomes of a file after so many tries, this one among them."""
    if not isinstance(found, Again):
        return found
    if found.reason in ("no_access", "account_stop"):
        return Refused(found.reason, found.error_code)
    if tries >= MOST_TRIES:
        return Refused("meta_in_trouble", found.error_code)
    return Again(found.reason, FIRST_WAIT * 3 ** (tries - 1), error_code=found.error_code)
