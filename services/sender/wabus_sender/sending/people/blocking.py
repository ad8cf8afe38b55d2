"""What Meta's answer to blocking or unblocking one person means. Source: Meta, "Block users"."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wabus_sender.sending.answers import CALLS_LIMITED, Again, Refused, outcome

NOT_WRITTEN = 131047
ALREADY_MANY = 139101
PASSING = frozenset((139102, 139103))
"""The list was changed by somebody else at that moment; something failed at Meta."""
WAIT = 2.0  # seconds
MOST_TRIES = 5

REFUSALS: Mapping[int, str] = {
    NOT_WRITTEN: "not_written_lately",
    139100: "not_written_lately",
    ALREADY_MANY: "block_list_full",
}


@dataclass(frozen=True, slots=True)
class Done:
    """Meta has the person on its list, or no more."""


def answered(
    status: int, content: Mapping[str, Any] | None, *, retry_after: float | None = None, regained_in: float = 0.0
) -> Done | Refused | Again:
    """What an answer says; one that is none of Graph's may be asked for again, for it changes nothing."""
    match content:
        case {"block_users": {"failed_users": [{"errors": [{"code": int(code)}, *_]}, *_]}}:
            return _of(status, code)
        case {"block_users": {"failed_users": [_, *_]}}:
            return Refused("refused_by_meta")
        case {"error": {"code": int(code)}}:
            return _of(status, code, retry_after, regained_in)
        case {"block_users": {}} if status < 300:
            return Done()
        case _:
            return Again("no_graph_answer", WAIT)


def decided(found: Done | Refused | Again, tries: int) -> Done | Refused | Again:
    """What becomes of it after so many tries, this one among them."""
    if isinstance(found, Again):
        if found.reason == CALLS_LIMITED:
            return found
        if found.reason in ("no_access", "account_stop"):
            return Refused(found.reason, found.error_code)
        if tries >= MOST_TRIES:
            return Refused("meta_in_trouble", found.error_code)
        return Again(found.reason, WAIT * tries, error_code=found.error_code)
    return found


def _of(status: int, code: int, retry_after: float | None = None, regained_in: float = 0.0) -> Refused | Again:
    if code in REFUSALS:
        return Refused(REFUSALS[code], code)
    if code in PASSING:
        return Again("passing", WAIT, error_code=code)
    found = outcome(status, {"error": {"code": code}}, retry_after=retry_after, regained_in=regained_in)
    return found if isinstance(found, Refused | Again) else Again("no_graph_answer", WAIT, error_code=code)
