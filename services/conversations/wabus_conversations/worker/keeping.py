"""What is kept, and whose it is: retention, those who were forgotten, and the accounts that an organisation had."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from wabus_events import AccountForgotten, ContactForgotten, OrganisationForgotten, contact_id, identity_of
from wabus_whatsapp.forgetting import Lines

from wabus_conversations.settings import FEED_DAYS
from wabus_conversations.tables.erasures import Line
from wabus_conversations.threads.facts import Account


class Keeping:
    """The rules of one worker, as far as it has read them."""

    def __init__(self, key: bytes, default_days: int, feed_days: int = FEED_DAYS) -> None:
        self._key = key
        self._default_days = default_days
        self._lines = Lines(key)
        self.feed_days = feed_days
        """For how many days it is kept what has changed."""
        self._days: dict[str, int] = {}
        self._revisions: dict[str, int] = {}
        self.read_until = 0
        """The revision of the last line that was read."""
        self.version = 0
        """One more whenever a line was read that was not known, or was written down again."""
        self.drawn = asyncio.Event()
        """Set while somebody is written down as forgotten: what is of them has to go."""

    def learn(self, lines: Iterable[Line]) -> bool:
        """Take in lines in time; whether any of them was not known, or was written down again."""
        news = [line for line in lines if self._revisions.get(line.identity, 0) < line.revision]
        if not news:
            return False
        self._lines.learn_all((line.identity, line.at) for line in news)
        self._revisions |= {line.identity: line.revision for line in news}
        self.read_until = max(self.read_until, *(line.revision for line in news))
        self.version += 1
        return True

    def set_days(self, days: Mapping[str, int]) -> None:
        """Take in how long organisations keep their messages."""
        self._days = dict(days)

    def kept_from(self, account: Account, now: datetime) -> datetime:
        """What is older by Meta's time is not kept: its time is over, or its organisation or account was forgotten."""
        since, until = self.in_time_from(account.org_id, now), self.forgotten_until(account)
        return since if until is None else max(since, until + timedelta(microseconds=1))

    def in_time_from(self, org_id: str, now: datetime) -> datetime:
        """What an organisation has that is older by Meta's time, is past its time."""
        return now - timedelta(days=self._days.get(org_id, self._default_days))

    def forgotten_until(self, account: Account) -> datetime | None:
        """Up to when nothing is kept of an account; None if nobody asked to forget it, or its organisation."""
        lines = self.organisation_until(account.org_id), self.account_until(account.waba_id)
        return max((line for line in lines if line), default=None)

    def organisation_until(self, org_id: str) -> datetime | None:
        """The same by the organisation's line alone."""
        return self._lines.of(OrganisationForgotten, org_id)

    def account_until(self, waba_id: str) -> datetime | None:
        """The same by the account's line alone."""
        return self._lines.of(AccountForgotten, waba_id)

    def line_of(self, org_id: str, waba_id: str | None, until: datetime) -> tuple[str, datetime]:
        """The line by which an organisation was forgotten, or an account."""
        if waba_id is None:
            return identity_of(self._key, OrganisationForgotten, org_id), until
        return identity_of(self._key, AccountForgotten, waba_id), until

    def longest_from(self, now: datetime) -> datetime:
        """What is older by Meta's time nobody keeps."""
        return now - timedelta(days=max((self._default_days, *self._days.values())))

    def forgotten_at(self, org_id: str, value: str) -> datetime | None:
        """Up to when nothing is kept of a number or user id; None if nobody asked to be forgotten by it."""
        if not len(self._lines):
            return None
        named = contact_id(value)
        lines = self._lines.of(ContactForgotten, named, org_id), self._lines.of(ContactForgotten, named)
        return max((line for line in lines if line), default=None)

    def forgotten_as(self, org_id: str, value: str) -> tuple[str, str]:
        """How a number or user id is named when it is forgotten: by the organisation, and by all."""
        named = contact_id(value)
        return (
            identity_of(self._key, ContactForgotten, named, org_id),
            identity_of(self._key, ContactForgotten, named),
        )
