"""What the failure of a sync says to an account's people: what happened, and what they should do. Pure."""

from collections.abc import Mapping

from wabus_health_projector.health.state import SyncFailure

_WE_TRY = "Nothing is lost, and you need not do anything: we try again by ourselves."
_CONNECT = "Connect the account again: it takes a minute, and nothing is lost."
_OURS = "This is for whoever runs this service to repair; trying again does not help."

MEANINGS: Mapping[str, tuple[str, str]] = {
    "graph_unavailable": ("Meta is not answering.", _WE_TRY),
    "malformed_answer": ("Meta answers with something that can't be understood.", _WE_TRY),
    "rate_limited": ("Meta limits how often an account may be read, and the limit is reached.", _WE_TRY),
    "timed_out": ("Meta takes too long to list all your templates.", _WE_TRY),
    "internal_error": ("Something went wrong on our side while your templates were compared with Meta.", _WE_TRY),
    "account_not_found": (
        "Meta does not know this account any more, or no longer shares it with us.",
        "Look in WhatsApp Manager whether it is still there; if it is, connect it here again.",
    ),
    "account_blocked": (
        "Meta has blocked this account for a time because its rules were broken.",
        "See the reason in Business Support Home.",
    ),
    "account_disconnected": ("The account was disconnected before its templates were read.", _CONNECT),
    "credential_missing": ("Our access to this account is not stored here.", _CONNECT),
    "credential_unreadable": ("Our access to this account can't be read any more.", _CONNECT),
    "bad_request": ("Meta does not accept what we ask for.", _OURS),
    "event_refused": ("One of your templates can't be stored here.", _OURS),
}
"""By the code of the failure."""


def meaning_of(failure: SyncFailure) -> tuple[str, str]:
    """What happened, and what to do about it; for a code that is not known here in the failure's own words."""
    return MEANINGS.get(failure.code) or (failure.message, _WE_TRY if failure.retryable else _OURS)
