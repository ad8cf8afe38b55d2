"""Words by which a person says that they want no more marketing, or want it again. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from wabus_events import MessageReceived, StandbyReceived

LONGEST = 40  # characters of a message that may be such a word
WORDS_MOST = 50  # of each kind

_BESIDE = re.compile(r"[^\w]+")
"""What people write around and between words."""


class Words(NamedTuple):
    """The words of an organisation, as `plain` has them."""

    stop: frozenset[str]
    start: frozenset[str]


DEFAULT = Words(frozenset(("stop", "stopall", "unsubscribe", "optout")), frozenset(("start", "unstop", "subscribe")))
"""What holds for an organisation that has said nothing of it."""


def plain(text: str) -> str:
    """A word however it is written: “Stop!”, “STOP” and “stop” are one.

    >>> plain(" Opt-out. ")
    'opt out'
    """
    return _BESIDE.sub(" ", text.casefold()).strip()


def words_of(stop: Iterable[str], start: Iterable[str]) -> Words:
    """Words as they are compared."""
    return Words(frozenset(map(plain, stop)), frozenset(map(plain, start)))


def choice_in(text: str, words: Words) -> bool | None:
    """Whether who writes this and nothing else wants no more marketing; None where it says nothing of that.

    What is both stops.
    """
    said = plain(text)
    if said in words.stop:
        return True
    return False if said in words.start else None


def written_in(event: MessageReceived | StandbyReceived) -> str | None:
    """What a person has written, or the button that they have pressed; None where it is too long to be a word.

    To whoever answers the number: of what is for another responder there is a copy.
    """
    copied = event.value.get("standby") if isinstance(event, StandbyReceived) else None
    match copied or event.value:
        case {"messages": [{"text": {"body": str(text)}}]}:
            pass
        case {"messages": [{"button": {"text": str(text)}}]}:
            pass
        case {"messages": [{"interactive": {"button_reply": {"title": str(text)}}}]}:
            pass
        case _:
            return None
    return text if len(text) <= LONGEST else None
