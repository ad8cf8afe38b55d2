"""What a conversation's row says of its messages: last activity, unread, the window, the person's name."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from wabus_whatsapp.joins import Dated, latest, newest
from wabus_whatsapp.window import Opens

from wabus_conversations.threads.facts import Account, Source
from wabus_conversations.threads.rows import Message


class Place(NamedTuple):
    """Which conversation: a business number's with a person, or with a group.

    Where Meta does not say with whom, it is with the group that has no name.
    """

    conversation_id: str
    account: Account
    person_id: str | None
    group_id: str | None


@dataclass(slots=True)
class Summary:
    """The join of what messages say; but for `unread`, which is a sum over messages that are each counted once."""

    first_at: datetime
    last: tuple[datetime, int, str] | None = None
    """The last message that is activity: when, its place in the log among those of the second, and its id."""
    history_at: datetime | None = None
    unread: int = 0
    user_last_at: datetime | None = None
    maybe_at: datetime | None = None
    refused_at: datetime | None = None
    referred_at: datetime | None = None
    free_reported_until: datetime | None = None
    heard: tuple[datetime, int] | None = None
    """The last message or call of the person that was told live: when, and its place in the log."""
    name: Dated = None
    username: Dated = None


def add(summary: Summary, message: Message, tie: int, unread: int) -> None:
    """Add what a message says; `unread` is by how many it makes more of them."""
    at = message.at
    summary.first_at = min(summary.first_at, at)
    if message.is_activity:
        last = at, tie, message.message_id
        summary.last = last if summary.last is None else max(summary.last, last)
    elif message.kind == "message" and message.source > 1:
        summary.history_at = latest(summary.history_at, at)
    if message.source == Source.RECEIVED and not message.outgoing and message.kind in ("message", "call"):
        heard = at, tie
        summary.heard = heard if summary.heard is None else max(summary.heard, heard)
    summary.unread += unread
    if message.opens == Opens.YES:
        summary.user_last_at = latest(summary.user_last_at, at)
    elif message.opens == Opens.MAYBE:
        summary.maybe_at = latest(summary.maybe_at, at)
    summary.refused_at = latest(summary.refused_at, message.refused_at)
    summary.free_reported_until = latest(summary.free_reported_until, message.free_until)
    if message.referred:
        summary.referred_at = latest(summary.referred_at, at)
    if message.group_id is None:
        summary.name = newest(summary.name, (at, message.name) if message.name else None)
        summary.username = newest(summary.username, (at, message.username) if message.username else None)


def counts_again(before: Message, after: Message) -> bool:
    """Whether a message says less, or something else, than it has said: then its conversation is summed up anew."""
    if before.source <= 1:
        return after.at > before.at
    return (
        after.at != before.at
        or after.opens < before.opens
        or before.referred > after.referred
        or (before.name or "", before.username or "") != (after.name or "", after.username or "")
        or (before.is_activity and not after.is_activity)
        or (not before.is_activity and after.is_activity and before.kind == "message")
    )
