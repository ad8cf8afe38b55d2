"""The fold: what a batch changes in messages, and what that changes in conversations.

With nothing stored before it is the whole of it: `threads_of` is what the tables hold of these facts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wabus_whatsapp.identity import Evidence, People, Seen, Together
from wabus_whatsapp.window import free_entry_until

from wabus_conversations.threads import rows, summary
from wabus_conversations.threads.clusters import evidence_of
from wabus_conversations.threads.facts import Source, Whose
from wabus_conversations.threads.gathering import Batch, join
from wabus_conversations.threads.ids import Ids
from wabus_conversations.threads.rows import Message, Status
from wabus_conversations.threads.summary import Place, Summary

Holder = Callable[[str, datetime], str]
"""The person who has an identifier at a moment."""


ANSWERS = (Source.STATUS, Source.ACCEPTED, Source.STANDBY)
"""How messages are known that were sent through the API. What was written in the phone app is no answer of the kind
that Meta means by a free entry point: it is neither charged nor counted."""


@dataclass(slots=True)
class Change:
    """A message as it was in the table, if it was there, and as it is now."""

    before: Message | None
    after: Message


@dataclass(slots=True)
class Sums:
    """What a batch adds to conversations, and those that have to be summed up anew."""

    places: dict[str, Place] = field(default_factory=dict[str, Place])
    added: dict[str, Summary] = field(default_factory=dict[str, Summary])
    """By conversation."""
    again: set[str] = field(default_factory=set[str])


@dataclass(slots=True)
class Thread:
    """A conversation with its messages, in their order."""

    place: Place
    summary: Summary
    messages: list[Message] = field(default_factory=list[Message])
    free_computed_until: datetime | None = None


def changes(stored: Mapping[str, Message], batch: Batch) -> list[Change]:
    """Join what a batch tells of messages with what is stored of them; nothing of those that are gone."""
    by_message: dict[str, list[Status]] = {}
    for (message_id, _, _), status in batch.statuses.items():
        by_message.setdefault(message_id, []).append(status)
    found: list[Change] = []
    for message_id in sorted(batch.messages.keys() | by_message.keys()):
        if message_id in batch.gone:
            continue
        before, told, statuses = stored.get(message_id), batch.messages.get(message_id), by_message.get(message_id, ())
        if before is None:
            after = told or rows.of_statuses(statuses)
        else:
            after = join(batch, before, told) if told else before.copied()
        for status in statuses:
            rows.take_status(after, status)
        if after != before:
            found.append(Change(before, after))
    return found


def place_of(message: Message, holder: Holder, ids: Ids) -> Place:
    """The conversation in which a message belongs."""
    account, (number, user) = message.account, message.whose
    group, person = message.group_id, None
    if group is None:
        identifier = user or number
        person = holder(identifier, message.at) if identifier else None
    org_id, phone_number_id = account.org_id, account.phone_number_id
    if person is None:
        group = group or ""
        return Place(ids.group_conversation(org_id, phone_number_id, group), account, None, group)
    return Place(ids.conversation(org_id, phone_number_id, person), account, person, None)


def sums(placed: Iterable[tuple[Change, str | None, Place]], tie: Callable[[Message], int]) -> Sums:
    """What changes of messages are for their conversations; each change has the conversation of before, and the new."""
    found = Sums()
    for change, before_in, place in placed:
        before, after = change.before, change.after
        if before and before_in and (before_in != place.conversation_id or summary.counts_again(before, after)):
            found.again.update((before_in, place.conversation_id))
        held = found.added.get(place.conversation_id)
        if held is None:
            held = found.added[place.conversation_id] = Summary(after.at)
            found.places[place.conversation_id] = place
        was_unread = before.unread if before else False
        summary.add(held, after, tie(after), after.unread - was_unread)
    return found


def people_of(batch: Batch) -> People:
    """The persons of a batch, by all that it says."""
    users = {identifier for identifier, each in batch.identifiers.items() if each.kind == "user_id"}
    evidence: list[Evidence] = evidence_of(batch.evidence, users)
    evidence += [Together(at, number, user) for (number, user), at in batch.pairs.items()]
    told = [(message.whose, message.at) for message in batch.messages.values()]
    told += [(status.whose, status.fact.at) for status in batch.statuses.values()]
    evidence += points(told)
    return People(evidence, {identifier: Seen(at, identifier in users) for identifier, at in batch.seen.items()})


def points(told: Iterable[tuple[Whose, datetime]]) -> list[Evidence]:
    """What items say of their two identifiers, at their time."""
    return [Together(at, number, user) for (number, user), at in told if number and user]


def threads_of(batch: Batch, ids: Ids) -> list[Thread]:
    """Everything that a batch says, as conversations, if there was nothing before; the latest first."""
    people = people_of(batch)
    threads: dict[str, Thread] = {}
    for change in changes({}, batch):
        message = change.after
        place = place_of(message, people.holder, ids)
        thread = threads.setdefault(place.conversation_id, Thread(place, Summary(message.at)))
        thread.messages.append(message)
        summary.add(thread.summary, message, _tie(message), int(message.unread))
    for thread in threads.values():
        thread.messages.sort(key=lambda message: (message.at, _tie(message), message.message_id))
        thread.free_computed_until = free_until(thread.messages)
    return sorted(threads.values(), key=lambda thread: _activity(thread.summary), reverse=True)


def free_until(messages: Sequence[Message]) -> datetime | None:
    """Until when messages are free to somebody who came by an ad, by when they were first answered."""
    referred = [message.at for message in messages if message.referred]
    answers = sorted(message.at for message in messages if is_answer(message))
    found = [free_entry_until(at, next((answer for answer in answers if answer >= at), None)) for at in referred]
    return max((until for until in found if until), default=None)


def is_answer(message: Message) -> bool:
    """Whether a message was sent through the API, by us or by another responder."""
    return message.outgoing and message.kind == "message" and message.source in ANSWERS


def _tie(message: Message) -> int:
    return message.told.tie if message.told else 0


def _activity(held: Summary) -> datetime:
    return (held.last and held.last[0]) or held.history_at or held.first_at
