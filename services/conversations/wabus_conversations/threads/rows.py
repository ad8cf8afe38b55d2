"""Rows as they stand: a message joined from all that tells of it, and statuses, each once with its earliest time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from wabus_whatsapp.joins import MessageState, earliest, latest
from wabus_whatsapp.window import Opens

from wabus_conversations.threads.facts import NOBODY, Account, MessageFact, Source, StatusFact, Whose


class Status(NamedTuple):
    """A row of `message_statuses`, with what it says of its message."""

    fact: StatusFact
    whose: Whose
    """Ids of identifiers."""


@dataclass(slots=True)
class Message:
    """A row of `messages`. The ids in `whose` are those of identifiers.

    What describes it is that of the source that tells the most; what became of it is the join of its statuses.
    """

    message_id: str
    account: Account
    at: datetime
    source: Source
    outgoing: bool
    kind: str
    whose: Whose
    group_id: str | None
    opens: Opens
    unread: bool
    referred: bool
    name: str | None = None
    username: str | None = None
    state: MessageState = MessageState.NONE
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    played_at: datetime | None = None
    failed_at: datetime | None = None
    refused_at: datetime | None = None
    free_until: datetime | None = None
    told: MessageFact | StatusFact | None = None
    """What describes it, if that is new; None where the table has it already."""

    @property
    def is_activity(self) -> bool:
        """Whether the conversation is as new as this message."""
        return self.source >= Source.ACCEPTED and self.kind in ("message", "call")

    def copied(self) -> "Message":
        """The same for changes. (`dataclasses.replace` takes five times as long.)"""
        return Message(
            self.message_id, self.account, self.at, self.source, self.outgoing, self.kind, self.whose, self.group_id,
            self.opens, self.unread, self.referred, self.name, self.username, self.state, self.sent_at,
            self.delivered_at, self.read_at, self.played_at, self.failed_at, self.refused_at, self.free_until,
            self.told,
        )  # fmt: skip


def of_fact(fact: MessageFact, whose: Whose, started_at: datetime) -> Message:
    """A message as one source tells it. Nothing older than the service's first start is unread."""
    return Message(
        message_id=fact.message_id,
        account=fact.account,
        at=fact.at,
        source=fact.source,
        outgoing=fact.outgoing,
        kind=fact.kind,
        whose=whose,
        group_id=fact.group_id,
        opens=fact.opens,
        unread=fact.unread and fact.at >= started_at,
        referred=fact.referred,
        name=fact.name,
        username=fact.username,
        state=fact.state,
        told=fact,
    )


def of_statuses(statuses: Iterable[Status]) -> Message:
    """A message that is known by statuses alone: something else has sent it with the same number."""
    first = min((status.fact for status in statuses), key=lambda fact: (fact.at, fact.participant, fact.status))
    return Message(
        message_id=first.message_id,
        account=first.account,
        at=first.at,
        source=Source.STATUS,
        outgoing=True,
        kind="message",
        whose=NOBODY,
        group_id=first.group_id,
        opens=Opens.NO,
        unread=False,
        referred=False,
        told=first,
    )


def better(one: Message, other: Message) -> Message:
    """Which of two sources describes the message: the one that tells more, else the earlier; and the join of both.

    Of two of one moment it is the one that names more of the person, whichever came first; of two that name the same,
    the first stays, for it is in the table.
    """
    best, rest = (other, one) if _rank(other) > _rank(one) else (one, other)
    return replace(
        best,
        state=max(best.state, rest.state),
        sent_at=earliest(best.sent_at, rest.sent_at),
        delivered_at=earliest(best.delivered_at, rest.delivered_at),
        read_at=earliest(best.read_at, rest.read_at),
        played_at=earliest(best.played_at, rest.played_at),
        failed_at=earliest(best.failed_at, rest.failed_at),
        refused_at=latest(best.refused_at, rest.refused_at),
        free_until=latest(best.free_until, rest.free_until),
    )


_TIME_OF = {
    MessageState.SENT: "sent_at",
    MessageState.DELIVERED: "delivered_at",
    MessageState.READ: "read_at",
    MessageState.PLAYED: "played_at",
    MessageState.FAILED: "failed_at",
}


def take_status(message: Message, status: Status) -> None:
    """Join a status into its message."""
    fact = status.fact
    message.state = max(message.state, fact.state)
    if name := _TIME_OF.get(fact.state):
        held = getattr(message, name)
        if held is None or fact.at < held:
            setattr(message, name, fact.at)
    if fact.refused:
        message.refused_at = latest(message.refused_at, fact.at)
    message.free_until = latest(message.free_until, fact.free_until)
    if message.source == Source.STATUS:
        message.at = min(message.at, fact.at)
        message.group_id = message.group_id or fact.group_id
        if not message.group_id:
            message.whose = Whose(
                _least(message.whose.wa_id, status.whose.wa_id), _least(message.whose.user_id, status.whose.user_id)
            )


def _rank(message: Message) -> tuple[int, float, bool, bool, str, str]:
    number, user = message.whose
    return message.source, -message.at.timestamp(), user is not None, number is not None, user or "", number or ""


def _least(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return min(one, other)
