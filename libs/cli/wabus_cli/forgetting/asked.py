"""Who is meant by a command, and which records are about them. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from wabus_events import (
    CONVERSATIONS,
    MESSAGES,
    SENDS,
    AccountConnected,
    AccountForgotten,
    ContactForgotten,
    Event,
    Forgotten,
    OrganisationForgotten,
    UndecodableRecord,
    contact_id,
    decode,
    identity_of,
)
from wabus_events.models.erasures import line_at
from wabus_whatsapp.forgetting import people_in

Headers = Iterable[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Asked:
    """An organisation, a WABA, or a contact: of one organisation if that is named too, else of all."""

    org_id: str | None = None
    waba_id: str | None = None
    contact: str | None = None

    @property
    def organisation(self) -> str | None:
        """The organisation if that is who is meant."""
        return self.org_id if self.contact is None and self.waba_id is None else None

    def is_about(self, headers: Headers, key: bytes, value: bytes | None, accounts: Collection[str]) -> bool:
        """Whether a record is about them; `accounts` are those of an organisation that is meant."""
        attributes = {name: content.decode(errors="replace") for name, content in headers}
        org_id, subject = attributes.get("ce_orgid"), attributes.get("ce_subject")
        if self.waba_id is not None:
            return self.waba_id in (subject, key.decode(errors="replace"))
        if self.contact is None:
            # What was for another organisation that had the account before is none of theirs.
            return org_id == self.org_id if org_id else subject in accounts
        if self.org_id is not None and org_id != self.org_id:
            return False
        try:
            event = decode(headers, value)
        except UndecodableRecord:
            # Whatever it is, it names them.
            return contact_id(self.contact).encode() in key + (value or b"")
        return event.topic in (MESSAGES, SENDS, CONVERSATIONS) and contact_id(self.contact) in people_in(event)


class LastOwners:
    """Which organisation connected each account last, as accounts.v1 tells."""

    def __init__(self) -> None:
        self._connected: dict[str, tuple[datetime, str, str]] = {}

    def learn(self, event: Event) -> None:
        """Take in an event, in whatever order."""
        if isinstance(event, AccountConnected) and event.org_id is not None:
            told = (event.time, event.id, event.org_id)
            self._connected[event.waba_id] = max(told, self._connected.get(event.waba_id, told))

    def of(self, org_id: str) -> list[str]:
        """The accounts that this organisation had last, whether it still has them or not."""
        return sorted(waba_id for waba_id, (_, _, owner) in self._connected.items() if owner == org_id)


def lines_for(
    asked: Asked,
    accounts: Iterable[str],
    identity_key: bytes,
    at: datetime,
    also: Iterable[Asked] = (),
) -> list[Forgotten]:
    """The facts that say who is forgotten at that moment; `also` is what else a contact is known by."""
    named: list[tuple[type[Forgotten], str, str]] = [(AccountForgotten, waba_id, "") for waba_id in accounts]
    if asked.contact is not None:
        named += [
            (ContactForgotten, contact_id(each.contact), each.org_id or "") for each in (asked, *also) if each.contact
        ]
    elif asked.organisation is not None:
        named.append((OrganisationForgotten, asked.organisation, ""))
    return [line_at(kind, identity_of(identity_key, kind, value, scope), at) for kind, value, scope in named]
