"""Who was forgotten, and what of an event is left when that is respected. Pure.

An erasure is a line in time: what an event tells of before it is dropped wherever the event turns up, in a rebuild, a
replay or a webhook that Meta delivers late; what is after it is of somebody new.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, cast

from pydantic import BaseModel
from wabus_events import (
    CONVERSATIONS,
    MESSAGES,
    SENDS,
    AccountForgotten,
    ContactForgotten,
    Event,
    Forgotten,
    HealthChanged,
    OrganisationForgotten,
    contact_id,
    identity_of,
)

IDENTITIES_REMEMBERED = 20_000  # of whom an event was about; to work one out takes some microseconds

_ID = re.compile(r"\+?[\d ()./-]{5,30}|[A-Z]{2}\.[A-Za-z0-9.]{1,140}")
"""How Meta writes a telephone number, or a user id in its place ("Business-scoped user IDs")."""

_WORDS = frozenset({"body", "caption", "description", "name", "payload", "text", "title"})
"""Members that have what somebody wrote: a number in there makes it no message of that person's."""

_OURS = frozenset({"business_phone_number", "display_phone_number", "phone_number_id", "waba_id"})
"""Members that have the business's own number, or account."""

_NOBODYS = frozenset({*_WORDS, *_OURS, "timestamp"})
"""Members in which nobody is meant. A time has as many digits as a number, and each message another one."""

_ENVELOPE = frozenset(Event.model_fields)
_contact = lru_cache(IDENTITIES_REMEMBERED)(contact_id)


class Lines:
    """Who was forgotten, and when. Asking about somebody takes the key under which they were named."""

    def __init__(self, key: bytes, at: Mapping[str, datetime] | None = None) -> None:
        self._at = dict(at or {})
        self._newest = max(self._at.values(), default=None)
        self._identity = lru_cache(IDENTITIES_REMEMBERED)(partial(identity_of, key))

    def __len__(self) -> int:
        return len(self._at)

    def items(self) -> Iterable[tuple[str, datetime]]:
        """All lines, by identity."""
        return self._at.items()

    @property
    def newest(self) -> datetime | None:
        """What is after it, no line concerns."""
        return self._newest

    def learn(self, line: Forgotten) -> None:
        """Take in that somebody was forgotten. Of two lines for the same one the later counts."""
        self.learn_all([(line.identity, line.time)])

    def learn_all(self, lines: Iterable[tuple[str, datetime]]) -> None:
        """The same for many, by identity."""
        for identity, at in lines:
            self._at[identity] = max(at, self._at.get(identity, at))
            self._newest = max(at, self._newest or at)

    def of(self, kind: type[Forgotten], value: str, scope: str = "") -> datetime | None:
        """When somebody was forgotten, if they were."""
        return self._at.get(self._identity(kind, value, scope)) if self._at else None

    def covers(self, kind: type[Forgotten], value: str | None, time: datetime, scope: str = "") -> bool:
        """Whether what happened to somebody then is of nobody any more."""
        if not value or self._newest is None or time > self._newest:
            return False
        line = self.of(kind, value, scope)
        return line is not None and time <= line


def respecting(event: Event, lines: Lines) -> Event | None:
    """What is left of an event when whoever was forgotten since is not in it any more; None if nothing is."""
    if lines.newest is None or event.time > lines.newest or isinstance(event, Forgotten):
        return event
    if lines.covers(OrganisationForgotten, event.org_id, event.time):
        return None
    if lines.covers(AccountForgotten, getattr(event, "waba_id", None), event.time):
        return None
    match event:
        case HealthChanged():
            reasons = [one for one in event.reasons if not lines.covers(AccountForgotten, one.waba_id, event.time)]
            return event if len(reasons) == len(event.reasons) else event.model_copy(update={"reasons": reasons})
        case _ if event.topic in (MESSAGES, SENDS, CONVERSATIONS) and any(
            _is_forgotten(who, event, lines) for who in people_in(event)
        ):
            return None
        case _:
            return event


def _is_forgotten(contact: str, event: Event, lines: Lines) -> bool:
    scopes = (event.org_id, "") if event.org_id else ("",)
    return any(lines.covers(ContactForgotten, contact, event.time, scope) for scope in scopes)


def people_in(event: Event) -> set[str]:
    """The ids of the people whom an event about messages may be about, as `contact_id` writes them.

    Whatever looks like one counts, for Meta has many names for it, and more each year: nobody is meant by a timestamp.
    """
    return people_named({name: part for name, part in event.__dict__.items() if name not in _ENVELOPE})


def people_named(fields: Mapping[str, Any]) -> set[str]:
    """The same of the fields of one."""
    found: set[str] = set()
    waiting: list[tuple[str, Any]] = list(fields.items())
    while waiting:
        name, part = waiting.pop()
        if isinstance(part, str):
            if name not in _NOBODYS and _ID.fullmatch(part):
                found.add(_contact(part))
        elif isinstance(part, dict):
            waiting += cast(dict[str, Any], part).items()
        elif isinstance(part, list):
            waiting += [(name, each) for each in cast(list[Any], part)]
        elif isinstance(part, BaseModel):
            waiting.append((name, part.model_dump()))
    return found
