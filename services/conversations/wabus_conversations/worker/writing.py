"""A batch becomes rows, inside the transaction that moves the offsets.

First as one of many; where it turns out that identifiers are linked anew, once more, alone in their scopes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_conversations.tables import contacts, conversations, erasures, identifiers, messages
from wabus_conversations.tables.locks import lock
from wabus_conversations.tables.media import wanted
from wabus_conversations.tables.messages import Places, Stored
from wabus_conversations.tables.settle import settle
from wabus_conversations.threads import fold
from wabus_conversations.threads.clusters import Plan, plan
from wabus_conversations.threads.facts import MessageFact
from wabus_conversations.threads.fold import Change
from wabus_conversations.threads.gathering import Batch
from wabus_conversations.threads.ids import Ids
from wabus_conversations.threads.summary import Place
from wabus_conversations.worker.changed import Changed
from wabus_conversations.worker.forgetting import forget_too
from wabus_conversations.worker.keeping import Keeping
from wabus_conversations.worker.media.wanting import new_medium

Gathered = Callable[[frozenset[str]], Awaitable[Batch]]
"""Joins the facts of a batch by what is known of who was forgotten, without messages of which nothing is kept."""


@dataclass(slots=True)
class Learned:
    """What is learned while a batch is written, and holds for the next attempt."""

    alone: set[str] = field(default_factory=set[str])
    """Scopes that have to be written alone: identifiers are linked anew."""
    gone: frozenset[str] = frozenset()
    """Messages of which nothing is kept."""
    damaged: bool = False
    """Rows are there that follow from others, which are not: somebody has deleted by hand."""


class _Again(Exception):
    """The batch has to be written once more, with what was learned."""


async def write(
    connection: Connection,
    gathered: Gathered,
    batch: Batch | None,
    ids: Ids,
    keeping: Keeping,
    changed: Callable[[], Changed] = Changed,
) -> None:
    """Write what a batch says, in the transaction of the connection.

    It may have been gathered already, by what is known now of who was forgotten. `changed` makes what takes note of
    the changes of an attempt, and writes them down.
    """
    learned = Learned()
    as_of = keeping.version
    while True:
        if batch is None:
            as_of = keeping.version
            batch = await gathered(learned.gone)
        if batch.forgotten:
            forgetting = changed()
            await forget_too(connection, batch.forgotten, ids, keeping, forgetting)
            await forgetting.write(connection)
            batch = None
            continue
        try:
            async with connection.transaction():
                await _lock(connection, batch, learned)
                # Whoever is forgotten from now on waits for us; whoever was before is known now.
                keeping.learn(await erasures.lines_after(connection, keeping.read_until))
                if keeping.version != as_of:
                    raise _Again
                attempt = changed()
                await _write(connection, batch, ids, keeping, learned, attempt)
                await attempt.write(connection)
        except _Again:
            batch = None
        else:
            return


async def _write(
    connection: Connection, batch: Batch, ids: Ids, keeping: Keeping, learned: Learned, changed: Changed
) -> None:
    """Write what a batch says; its scopes are locked.

    Raises `_Again` where it has to be written once more, with what was learned by then.
    """
    found = await messages.places(connection, _months(batch), batch.gone)
    if found.gone - batch.gone:
        learned.gone |= found.gone
        raise _Again
    await _bury(connection, found, batch.gone, changed)
    planned = plan(batch, await identifiers.known(connection, batch.seen))
    _only_alone((batch.identifiers[each].scope for each in planned.unsettled), learned)
    await _write_identifiers(connection, batch, planned, keeping, learned)
    changes = fold.changes({message_id: stored.message for message_id, stored in found.stored.items()}, batch)
    await identifiers.insert_evidence(connection, batch.evidence)
    await _learn_others(connection, changes, planned, learned)
    placed = await _place(connection, changes, found, planned, ids)
    await messages.write(connection, [(change, place) for change, place, _ in placed], found)
    for change, place, _ in placed:
        org_id = change.after.account.org_id
        changed.message(org_id, place, change.after.message_id)
        if (stored_in := _stored_in(found.stored, change)) not in (None, place):
            changed.anew({stored_in: org_id, place: org_id})
    await _write_media(connection, changes)
    for message_id, conversation_id, org_id in await messages.conversations_of(connection, batch.media):
        changed.message(org_id, conversation_id, message_id)
    statuses = {key: status for key, status in batch.statuses.items() if key[0] not in batch.gone}
    if statuses:
        fresh = set[str]() if learned.damaged else found.fresh
        try:
            await messages.write_statuses(connection, statuses, found.months, fresh)
        except asyncpg.UniqueViolationError:
            if learned.damaged:
                raise
            learned.damaged = True
            raise _Again from None
    sums = fold.sums(
        ((change, _stored_in(found.stored, change), place) for change, _, place in placed if place),
        lambda message: message.told.tie if message.told else found.stored[message.message_id].tie,
    )
    await conversations.add(connection, sums)
    changed.row((await conversations.sum_up(connection, sums.again, sums.places)).all)
    if planned.unsettled:
        fresh = {new.identifier_id for new in planned.new}
        changed.anew(await settle(connection, planned.unsettled, batch.pairs, fresh, ids))
    await contacts.write(connection, batch)
    if about := {*batch.books, *(identifier for _, identifier, _ in batch.contact_facts)}:
        changed.row(await conversations.of_identifiers(connection, about))


async def _write_media(connection: Connection, changes: Iterable[Change]) -> None:
    """Let the media that messages tell of be fetched, but for those that were taken back."""
    facts = [change.after.told for change in changes if isinstance(change.after.told, MessageFact)]
    revoked = {fact.about_id for fact in facts if fact.kind == "revoke" and fact.about_id}
    now = datetime.now(UTC)
    media = [medium for fact in facts if (medium := new_medium(fact, now))]
    await wanted.want(connection, media, now)
    if media or revoked:
        await wanted.take_back(connection, revoked | {medium.message_id for medium in media}, now)


async def _bury(connection: Connection, found: Places, gone: set[str], changed: Changed) -> None:
    """Delete what is stored of messages that turn out to be of those of whom nothing is kept: a status came first."""
    buried = [(stored, message_id) for message_id, stored in found.stored.items() if message_id in gone]
    if buried:
        await erasures.delete_messages(connection, [(stored.month, message_id) for stored, message_id in buried])
        summed = await conversations.sum_up(connection, {stored.conversation_id for stored, _ in buried}, {})
        changed.anew(summed.all)


async def _lock(connection: Connection, batch: Batch, learned: Learned) -> None:
    """Lock the scopes of a batch, and those that have to be written alone."""
    scopes = {identifier.scope for identifier in batch.identifiers.values()} | learned.alone
    if scopes:
        await lock(connection, scopes, learned.alone)


def _only_alone(scopes: Iterable[str], learned: Learned) -> None:
    wanted = set(scopes)
    if not wanted <= learned.alone:
        learned.alone |= wanted
        raise _Again


async def _write_identifiers(
    connection: Connection, batch: Batch, planned: Plan, keeping: Keeping, learned: Learned
) -> None:
    names = {
        new.identifier_id: keeping.forgotten_as(about.org_id, about.value)
        for new in planned.new
        if (about := batch.identifiers[new.identifier_id])
    }
    inserted = await identifiers.insert(connection, planned.new, batch.identifiers, names)
    # Somebody else has met the same person meanwhile: whose is what follows from what they wrote.
    _only_alone((batch.identifiers[each].scope for each in names.keys() - inserted), learned)
    await identifiers.move_back(connection, planned.earlier, planned.paired_earlier)


def _months(batch: Batch) -> dict[str, date]:
    """The month of each message, by the first that is heard of it."""
    months = {message_id: _month(status.fact.at) for (message_id, _, _), status in batch.statuses.items()}
    months |= {message_id: _month(message.at) for message_id, message in batch.messages.items()}
    return months


def _month(at: datetime) -> date:
    return at.date().replace(day=1)


async def _learn_others(
    connection: Connection,
    changes: Iterable[Change],
    planned: Plan,
    learned: Learned,
) -> None:
    """Learn whose identifiers are that only a stored message has."""
    others = {
        identifier
        for change in changes
        if _is_placed_anew(change)
        for identifier in change.after.whose
        if identifier and identifier not in planned.persons
    }
    if not others:
        return
    found = await identifiers.known(connection, others)
    planned.persons |= {identifier: has.holder_id for identifier, has in found.items()}
    contested = {identifier for identifier, has in found.items() if has.contested}
    planned.unsettled |= contested
    _only_alone((found[identifier].scope for identifier in contested), learned)


def _is_placed_anew(change: Change) -> bool:
    """Whether the conversation of a message may be another than it was."""
    before, after = change.before, change.after
    return before is None or before.whose != after.whose or before.at != after.at or before.group_id != after.group_id


async def _place(
    connection: Connection, changes: Iterable[Change], found: Places, planned: Plan, ids: Ids
) -> list[tuple[Change, str, Place | None]]:
    """The conversation of each message, and what it is where that has to learn of the change."""
    placed: list[tuple[Change, str, Place | None]] = []
    later: list[tuple[Change, str]] = []
    for change in changes:
        if _is_placed_anew(change):
            place = fold.place_of(change.after, lambda identifier, _: planned.persons[identifier], ids)
            placed.append((change, place.conversation_id, place))
            continue
        stored_in = found.stored[change.after.message_id].conversation_id
        if _says_nothing(change):
            placed.append((change, stored_in, None))
        else:
            later.append((change, stored_in))
    if later:
        places = await conversations.places(connection, {stored_in for _, stored_in in later})
        placed += [(change, stored_in, places[stored_in]) for change, stored_in in later]
    return placed


def _says_nothing(change: Change) -> bool:
    """Whether only the state of a message has changed, which is nothing to its conversation."""
    before, after = change.before, change.after
    return (
        before is not None
        and after.told is None
        and (before.refused_at, before.free_until) == (after.refused_at, after.free_until)
    )


def _stored_in(stored: Mapping[str, Stored], change: Change) -> str | None:
    found = stored.get(change.after.message_id)
    return found.conversation_id if found else None
