"""The fold of what is done with one conversation. Events come in the order of the log, each once."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

from wabus_events import (
    ConversationAssigned,
    ConversationClosed,
    ConversationEvent,
    ConversationRead,
    ConversationReopened,
    ConversationSnoozed,
    ConversationTagged,
)

from wabus_conversations.work.audiences import audience, kept_when_taken

TAGS_MOST = 30
"""Tags of one conversation."""

State = Literal["open", "closed", "snoozed"]
Outcome = Literal["done", "unchanged", "taken", "too_many"]
"""What came of an event: `taken` where somebody else was faster."""


class MessagePlace(NamedTuple):
    """The place of a message of the person: by Meta's time, and among those of one second by the log."""

    at: datetime
    tie: int


@dataclass(frozen=True, slots=True)
class Work:
    """What is done with a conversation."""

    agent: str | None = None
    bot: str | None = None
    team: str | None = None
    kept: str | None = None
    """Whom it is for where that is not said by who has it: the audience that it keeps."""
    assigned_at: datetime | None = None
    assigned_by: str | None = None
    reason: str | None = None
    rule: str | None = None
    put: Literal["closed", "snoozed"] | None = None
    """To what it was put: it is open all the same once something was heard that is newer than `up_to`."""
    put_id: str | None = None
    """The event that put it there."""
    put_at: datetime | None = None
    put_by: str | None = None
    up_to: MessagePlace | None = None
    """What was heard when it was put there, or when somebody wanted that nobody has it."""
    snoozed_until: datetime | None = None
    last_agent: str | None = None
    """Who had it when it was closed last."""
    last_closed_at: datetime | None = None
    read: MessagePlace | None = None
    """Up to where somebody has looked at it."""
    tags: tuple[str, ...] = ()
    last_at: datetime | None = None
    """When anything was done last."""

    @property
    def holder(self) -> str | None:
        """The agent or bot that has it."""
        return self.agent or self.bot

    @property
    def audience(self) -> str:
        """Whom it is for."""
        return audience(self.team, self.kept, self.agent)


NOTHING_DONE = Work()


def state_of(work: Work, heard: MessagePlace | None) -> State:
    """Whether a conversation is open, by what was heard of the person last."""
    if work.put is None or (heard is not None and (work.up_to is None or heard > work.up_to)):
        return "open"
    return work.put


def fold(work: Work, event: ConversationEvent) -> tuple[Work, Outcome]:
    """What is done with a conversation after an event, and what came of the event."""
    after, outcome = _fold(work, event)
    return replace(after, last_at=max(event.time, work.last_at or event.time)), outcome


def _fold(work: Work, event: ConversationEvent) -> tuple[Work, Outcome]:
    match event:
        case ConversationAssigned():
            return _assigned(work, event)
        case ConversationClosed():
            return _closed(work, event), "done"
        case ConversationSnoozed():
            return replace(_put(work, event, "snoozed"), snoozed_until=event.until), "done"
        case ConversationReopened():
            if event.snooze is not None and (work.put != "snoozed" or work.put_id != event.snooze):
                return work, "unchanged"
            return _reopened(work, event), "done" if work.put else "unchanged"
        case ConversationRead():
            seen = _up_to(event)
            if seen is None or (work.read is not None and seen <= work.read):
                return work, "unchanged"
            return replace(work, read=seen), "done"
        case ConversationTagged():
            tags = (set(work.tags) | set(event.added)) - set(event.removed)
            if len(tags) > TAGS_MOST and len(tags) > len(work.tags):
                return work, "too_many"
            return replace(work, tags=tuple(sorted(tags))), "done"
        case _:
            return work, "done"


def _assigned(work: Work, event: ConversationAssigned) -> tuple[Work, Outcome]:
    wanted, held = (event.agent, event.bot, event.team), (work.agent, work.bot, work.team)
    frees = not any(wanted) and work.kept is not None and event.reason == "asked"
    if wanted == held and work.put is None and not frees:
        return work, "unchanged"
    if work.holder != event.instead_of and not (work.holder is not None and work.holder == (event.agent or event.bot)):
        return work, "taken"
    if event.reason == "routed" and not _may_route(work, event):
        return work, "taken"
    assigned = replace(
        _open(work) if any(wanted) else work if work.put else replace(work, up_to=_up_to(event)),
        agent=event.agent,
        bot=event.bot,
        team=event.team,
        kept=kept_when_taken(work.audience) if not event.team and (event.agent or event.bot) else None,
        assigned_at=event.time,
        assigned_by=event.by,
        reason=event.reason,
        rule=event.rule,
    )
    return assigned, "done"


def _reopened(work: Work, event: ConversationReopened) -> Work:
    """Open; where somebody wanted that and nobody has it, that is what somebody wanted, too."""
    if event.snooze is not None or work.put is None or work.holder or work.team:
        return _open(work)
    return replace(_open(work), assigned_at=event.time, assigned_by=event.by, reason="asked", up_to=work.up_to)


def _may_route(work: Work, event: ConversationAssigned) -> bool:
    """Whether nobody has decided otherwise since the message for which a rule wants it."""
    if work.holder is not None or (work.team is not None and work.team != event.team):
        return False
    heard = _up_to(event)
    return work.put is None or (heard is not None and (work.up_to is None or heard > work.up_to))


def _closed(work: Work, event: ConversationClosed) -> Work:
    closed = _put(work, event, "closed")
    return replace(
        closed,
        agent=None,
        bot=None,
        team=None,
        kept=work.audience or None,
        assigned_at=None,
        assigned_by=None,
        reason=None,
        rule=None,
        last_agent=work.agent or work.last_agent,
        last_closed_at=event.time,
    )


def _put(work: Work, event: ConversationClosed | ConversationSnoozed, put: Literal["closed", "snoozed"]) -> Work:
    return replace(
        work,
        put=put,
        put_id=event.id,
        put_at=event.time,
        put_by=event.by,
        up_to=_up_to(event),
        snoozed_until=None,
    )


def _open(work: Work) -> Work:
    return replace(work, put=None, put_id=None, put_at=None, put_by=None, up_to=None, snoozed_until=None)


def _up_to(
    event: ConversationAssigned | ConversationClosed | ConversationSnoozed | ConversationRead,
) -> MessagePlace | None:
    return MessagePlace(event.up_to_at, event.up_to_tie) if event.up_to_at else None


def joined(one: Work, other: Work) -> Work:
    """What is done with two conversations that turn out to be one: `other` is the one that goes.

    Nobody loses it: who has the one that stays goes on, else who had the other; it is open if one of the two was.
    """
    owner = one if one.holder or not other.holder else other
    put = one if one.put is None or other.put is not None else other
    team = owner.team or one.team or other.team
    latest = max(one, other, key=lambda work: (work.last_closed_at is not None, work.last_closed_at))
    if put.put:
        up_to = max((each.up_to for each in (one, other) if each.up_to), default=None)
    else:  # that nobody has it is wanted still
        up_to = owner.up_to if owner.put is None else None
    read = [each.read for each in (one, other) if each.read]
    return replace(
        owner,
        team=team,
        kept=owner.kept or one.kept or other.kept,
        put=put.put,
        put_id=put.put_id,
        put_at=put.put_at,
        put_by=put.put_by,
        up_to=up_to,
        snoozed_until=put.snoozed_until,
        last_agent=latest.last_agent,
        last_closed_at=latest.last_closed_at,
        read=max(read, default=None),
        tags=tuple(sorted({*one.tags, *other.tags})),
        last_at=max((each.last_at for each in (one, other) if each.last_at), default=None),
    )
