"""Ids that tell nobody a number: keyed hashes of persons and conversations, plain ones of messages.

A plain hash of a telephone number is reversed in minutes, by trying all of them; a wamid has randomness of its own.
"""

import hmac
from datetime import datetime
from typing import Literal

from wabus_events import fact_id

Kind = Literal["user_id", "wa_id"]

_MOST_REMEMBERED = 200_000  # ids, of some 300 bytes each


class Ids:
    """Makes the ids of one installation; the same for the same, for as long as it keeps its key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._remembered: dict[tuple[str, ...], str] = {}

    def identifier(self, scope: str, kind: Kind, value: str) -> str:
        """Of a number or a user id, in the portfolio or account in which it means one person."""
        return self._known("identifier", scope, kind, value)

    def after_erasure(self, identifier_id: str, until: datetime) -> str:
        """The same for what came after an erasure: nothing leads from the one to the other."""
        return self._hashed("after", identifier_id, str(int(until.timestamp() * 1_000_000)))

    def conversation(self, org_id: str, phone_number_id: str, person_id: str) -> str:
        """Of a business number with a person."""
        return self._known("conversation", org_id, phone_number_id, person_id)

    def group_conversation(self, org_id: str, phone_number_id: str, group_id: str) -> str:
        """Of a business number with a group."""
        return self._known("group", org_id, phone_number_id, group_id)

    def _known(self, *parts: str) -> str:
        known = self._remembered.get(parts)
        if known is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            known = self._remembered[parts] = self._hashed(*parts)
        return known

    def _hashed(self, *parts: str) -> str:
        digest = hmac.digest(self._key, "\x1f".join(parts).encode(), "sha256").hex()
        # Version 8 of RFC 9562: a UUID whose bits have a meaning of its maker's.
        variant = "89ab"[int(digest[16], 16) & 3]
        return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def message_id(org_id: str, phone_number_id: str, wamid: str) -> str:
    """Of a message of an organisation's business number: a UUIDv5, for a wamid has the person's number in it.

    A number that moves to another organisation takes nothing along, not even the later statuses of a message.
    """
    return fact_id("message", org_id, phone_number_id, wamid)


def template_key(template_id: str | None, name: str | None, language: str | None) -> str:
    """Meta's id of a template, or its name and language where the id is not known; empty where nothing is.

    >>> template_key("594425479261596", "spring", "en"), template_key(None, "spring", "en")
    ('594425479261596', 'spring:en')
    """
    return template_id or (f"{name}:{language or ''}" if name else "")
