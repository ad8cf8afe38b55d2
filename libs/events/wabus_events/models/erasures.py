"""Facts about forgetting: from which moment on somebody is new here. They name nobody.

Each is a line in time. What happened before it, by Meta's time where Meta tells one, counts for nobody any more,
whenever and however often it is read; what happens after it is of somebody new. Who is meant is an HMAC under a key of
the deployment (`IDENTITY_KEY`): whoever holds an id can see whether it is meant, and nobody reads an id out of it.
"""

import hmac
import re
from datetime import datetime
from typing import TypeVar

from wabus_events.models.event import Event, fact_id
from wabus_events.models.topics import ERASURES

PSEUDONYM = "hmac:"
"""What the name of somebody who asked for something begins with, where it is an HMAC that says nothing about them."""

BY_COMMAND = "wabus connect"
"""Who connected an account from the command line: nobody in particular."""

_NUMBER = re.compile(r"\+?[\d ()./-]{5,30}")


class Forgotten(Event):
    """Somebody was forgotten at `time`: what was before counts no more."""

    identity: str
    """Who: see `identity_of`."""

    @property
    def key(self) -> str:
        return self.identity


class OrganisationForgotten(Forgotten, topic=ERASURES):
    """An organisation was forgotten: what happened to it until `time`, and who asked for it, is of nobody.

    Its accounts are forgotten by an `AccountForgotten` each.
    """


class AccountForgotten(Forgotten, topic=ERASURES):
    """A WhatsApp Business account was forgotten: what happened to it until `time` is of nobody."""


class ContactForgotten(Forgotten, topic=ERASURES):
    """A person at the other end was forgotten: by one of their ids, by one organisation or by all."""


_Line = TypeVar("_Line", bound=Forgotten)


def line_at(kind: type[_Line], identity: str, at: datetime) -> _Line:
    """The fact that somebody was forgotten at a moment; the same whoever says so, and however often."""
    return kind(id=fact_id(kind.type, identity, at.isoformat()), time=at, identity=identity)


def identity_of(key: bytes, kind: type[Forgotten], value: str, scope: str = "") -> str:
    """Who is meant by a fact of this kind: HMAC-SHA256 in hex. `scope` is the organisation that a contact is of.

    The same id is another one in another scope, so that nobody can see that two organisations know the same person.
    """
    return keyed(key, kind.__name__, scope, value)


def keyed(key: bytes, *parts: str) -> str:
    """An HMAC-SHA256 over some parts that stay apart, in hex."""
    return hmac.digest(key, "\x1f".join(parts).encode(errors="surrogatepass"), "sha256").hex()


def contact_id(text: str) -> str:
    """A contact's id as Meta writes it: of a telephone number its digits, of a user id itself.

    >>> contact_id("+1 (650) 555-1234"), contact_id("US.13491208655302741918")
    ('16505551234', 'US.13491208655302741918')
    """
    text = text.strip()
    return re.sub(r"\D", "", text) if _NUMBER.fullmatch(text) else text


def is_pseudonym(name: str | None) -> bool:
    """Whether the name of who asked says nothing about a person. Releases before 0.3 wrote the platform's own id."""
    return name is not None and name.startswith(PSEUDONYM)
