"""What an answer of Meta's to one call means for the send, and for the others of its number.

Only Meta's own JSON is definite: with it nothing was sent, or it says what was. An answer without it comes from
whatever stands before Graph, which may have passed the request on. Sources: Meta, "Cloud API: Error codes",
"Messages API"; what happens after an error of each class is in `wabus_whatsapp.sending.errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from wabus_whatsapp.sending.errors import HANDLING, Kind, kind_of

from wabus_sender.sending.requests import unstorable

Scope = Literal["send", "pair", "number"]
"""Who waits: this send alone, everything to this person from this number, or everything from this number."""

MOST_TRIES = 5  # attempts at which Meta may be in trouble before a send is refused for it
TROUBLE_WAIT_MOST = 60.0  # seconds
NOT_CONNECTED_WAIT = 1.0  # seconds
CALLS_LIMITED = "calls_limited"
"""Why a number waits for which too much was called, whatever it was."""
STOP_WAIT = 60.0  # seconds until a number is tried again for which somebody has to do something

WAITS: Mapping[Kind, float] = {
    "busy_number": 1.0,
    "busy_pair": 4.0,
    "calls_limited": 20.0,
    "pause_number": 20.0,
    "passing": 2.0,
    "account_stop": STOP_WAIT,
}
"""Seconds until a send is tried again after an error of a class, at first. Meta raises a number's throughput in up to a
minute."""

OF_THE_NUMBER = frozenset(
    {"no_access", "stopping", *(kind for kind in WAITS if HANDLING[kind].concerns == "number")} - {"busy_number"}
)
"""Why a send waits with its number: it keeps its place, before what was asked for after it."""

NAMED_WAIT_MOST = 60.0  # seconds that a number or a send waits for an answer's `Retry-After`
REGAIN_MOST = 3600.0  # seconds; Meta counts an app's and an account's calls within an hour

LONGEST_TEXT = 1_000  # characters of an id; Meta's own have fewer than 200

MEDIA_GONE = "media_gone"
"""Why a message is refused with a file that Meta does not have: it keeps them for 30 days, each for one number."""

_NO_SUCH_FILE = "media attachment id"
"""What Meta says of such an id, with the code of whatever it does not take. Source: reports of "Param image['id'] is
not a valid whatsapp business account media attachment ID"."""

REFUSED_OTHERWISE = "refused_by_meta"
"""Why a send is refused with a code that is not known."""

_SCOPES: Mapping[str, Scope] = {"message": "send", "pair": "pair", "number": "number"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """Meta has taken it."""

    wamid: str
    message_status: str | None = None
    wa_id: str | None = None
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Meta will not send it, however often it is asked."""

    code: str
    error_code: int | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing was sent, and it is to be tried again."""

    reason: str
    wait: float
    """Seconds, at least."""
    scope: Scope = "send"
    error_code: int | None = None
    counted: bool = False
    """Whether it is one of `MOST_TRIES`."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Whether it was sent nobody can say."""

    reason: str


Outcome = Accepted | Refused | Again | Unknown

NOT_CONNECTED = Again("not_connected", NOT_CONNECTED_WAIT)
ANSWER_LOST = Unknown("answer_lost")


def outcome(
    status: int, content: Mapping[str, Any] | None, *, retry_after: float | None = None, regained_in: float = 0.0
) -> Outcome:
    """What an answer means: its HTTP status, its body where that is a JSON object, and the waits that it names.

    `regained_in` is what Meta's usage headers estimate. They are about calls, not about messages, and are believed
    where calls are what Meta refuses; to go on calling makes it last longer. Source: Meta, "Rate limits" (Graph API).
    """
    match content:
        case {"error": _, "messages": _}:
            return Unknown("no_graph_answer")  # it says both that it was sent and that it was not
        case {"error": {"code": int(code)}} if not isinstance(code, bool):
            found = _of_error(status, code, _is_transient(content))
            if isinstance(found, Again):
                return replace(found, wait=max(found.wait, _named_wait(found, retry_after, regained_in)))
            gone = isinstance(found, Refused) and found.code == "request_wrong" and _names_no_file(content)
            return Refused(MEDIA_GONE, code) if gone else found
        case {"messages": [{"id": str(wamid), **message}, *_], **others} if status < 300 and _text(wamid):
            return _accepted(wamid, message, others)
        case _:
            return Unknown("no_graph_answer")


def after_tries(again: Again, tries: int) -> Again | Refused:
    """What comes of it when Meta was in trouble so many times, this one among them."""
    if not again.counted:
        return again
    if tries >= MOST_TRIES:
        return Refused("meta_in_trouble", again.error_code)
    wait = min(again.wait * 2 ** (tries - 1), TROUBLE_WAIT_MOST)
    return Again(again.reason, wait, again.scope, again.error_code, counted=True)


def was_made(outcome: Outcome) -> bool:
    """Whether Meta may count the call: what it has not answered to try again was not asked of it."""
    return not isinstance(outcome, Again) or outcome.error_code is not None


def stands_still(again: Again) -> bool:
    """Whether nothing is called for the number until then, not even more slowly."""
    return again.scope == "number" and (again.reason != "busy_number" or again.wait > WAITS["busy_number"])


def proves_that_a_number_sends(outcome: Outcome) -> bool:
    """Whether Meta has looked at the message itself, so that nothing is the matter with the number."""
    match outcome:
        case Accepted() | Refused():
            return True
        case Again():
            is_busy = outcome.reason in ("busy_number", "busy_pair") and was_made(outcome)
            return is_busy and not stands_still(outcome)
        case Unknown():
            return False


def tells_of_another_template(refused: Refused) -> bool:
    """Whether Meta has refused a template as it is known here: then it may be another one by now."""
    return refused.error_code is not None and kind_of(refused.error_code) in ("template_wrong", "template_stopped")


def _of_error(status: int, code: int, transient: bool) -> Outcome:
    kind = kind_of(code)
    if kind is None and (status >= 500 or transient):
        kind = "passing"
    if kind is None:
        return Refused(REFUSED_OTHERWISE, code)
    handling = HANDLING[kind]
    if handling.again:
        return Again(kind, WAITS[kind], _SCOPES[handling.concerns], code, counted=handling.counted)
    return Refused("window_closed" if kind == "needs_template" else kind, code)


def _named_wait(again: Again, retry_after: float | None, regained_in: float) -> float:
    """Seconds to wait because the answer says so, within reason."""
    if again.reason == CALLS_LIMITED:
        return min(regained_in if retry_after is None else retry_after, REGAIN_MOST)
    return min(retry_after or 0.0, NAMED_WAIT_MOST)


def _names_no_file(content: Mapping[str, Any]) -> bool:
    match content:
        case {"error": {"message": str(text), "error_data": {"details": str(details)}}}:
            return _NO_SUCH_FILE in f"{text} {details}".lower()
        case {"error": {"message": str(text)}}:
            return _NO_SUCH_FILE in text.lower()
        case _:
            return False


def _is_transient(content: Mapping[str, Any]) -> bool:
    return content["error"].get("is_transient") is True


def _accepted(wamid: str, message: Mapping[str, Any], others: Mapping[str, Any]) -> Accepted:
    contacts = others.get("contacts")
    contact = cast(list[Any], contacts)[0] if isinstance(contacts, list) and contacts else {}
    known = cast(Mapping[str, Any], contact) if isinstance(contact, dict) else {}
    return Accepted(wamid, _text(message.get("message_status")), _text(known.get("wa_id")), _text(known.get("user_id")))


def _text(value: object) -> str | None:
    """A text that can be kept, and one that anybody could have meant."""
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and not unstorable(value) else None
