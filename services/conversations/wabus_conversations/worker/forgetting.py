"""Somebody is forgotten: what is of them and no later is deleted, and what came later is of somebody new."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.erasing import draw

from wabus_conversations.tables import conversations, erasures, identifiers
from wabus_conversations.tables.erasures import Meant
from wabus_conversations.tables.locks import lock_everything
from wabus_conversations.tables.messages import Stored
from wabus_conversations.tables.settle import settle
from wabus_conversations.threads.clusters import New
from wabus_conversations.threads.facts import Whose
from wabus_conversations.threads.fold import place_of
from wabus_conversations.threads.gathering import Identifier
from wabus_conversations.threads.ids import Ids, Kind
from wabus_conversations.threads.summary import Place
from wabus_conversations.worker.changed import Changed
from wabus_conversations.worker.keeping import Keeping


async def forget(
    connection: Connection, lines: Iterable[tuple[str, datetime]], ids: Ids, changed: Changed | None = None
) -> None:
    """Delete what is of the people whom some of these lines mean, and draw the lines of all that they are known by.

    What was of a whole organisation or account is deleted in small steps: see `clearing`.
    """
    await lock_everything(connection)
    forgotten = await erasures.meant(connection, list(lines))
    if forgotten:
        # Whoever was forgotten by one identifier is forgotten by all that they are known by.
        latest: dict[str, datetime] = {}
        for each in forgotten:
            latest[each.forgotten_as] = max(each.until, latest.get(each.forgotten_as, each.until))
        await draw(connection, latest.items())
        await _delete(connection, forgotten, ids, changed or Changed())


async def forget_too(
    connection: Connection,
    forgotten: Mapping[tuple[str, str], datetime],
    ids: Ids,
    keeping: Keeping,
    changed: Changed,
) -> None:
    """Forget who turned out to be known by these numbers and user ids of organisations, too."""
    await lock_everything(connection)
    lines = [(keeping.forgotten_as(*who)[0], until) for who, until in forgotten.items()]
    await draw(connection, lines)
    await forget(connection, lines, ids, changed)
    keeping.learn(await erasures.lines_after(connection, keeping.read_until))


async def _delete(connection: Connection, forgotten: Sequence[Meant], ids: Ids, changed: Changed) -> None:
    touched = await erasures.delete(connection, forgotten)
    instead = {
        each.identifier_id: ids.after_erasure(ids.identifier(each.scope, _kind(each), each.value), each.until)
        for each in forgotten
    }
    about = {
        instead[each.identifier_id]: Identifier(each.org_id, each.scope, _kind(each), each.value) for each in forgotten
    }
    persons = sorted({each.person_id for each in forgotten})
    left = await erasures.left(connection, persons)
    seen: dict[str, datetime] = {}
    pairs: dict[tuple[str, str], datetime] = {}
    places: dict[str, Place] = {}
    moved: list[tuple[Stored, str]] = []
    for stored in left:
        message = stored.message
        number, user = (instead.get(each, each) if each else None for each in message.whose)
        message.whose = Whose(number, user)
        place = place_of(message, lambda identifier, _: identifier, ids)
        places[place.conversation_id] = place
        moved.append((stored, place.conversation_id))
        touched |= {stored.conversation_id, place.conversation_id}
        for identifier in (number, user):
            if identifier in about:
                seen[identifier] = min(message.at, seen.get(identifier, message.at))
        if number and user:
            pairs[number, user] = min(message.at, pairs.get((number, user), message.at))
    await erasures.rename(connection, moved, instead)
    await erasures.delete_identifiers(connection, list(instead), persons)
    new = [New(identifier, identifier, identifier, at, None, None) for identifier, at in seen.items()]
    names = {instead[each.identifier_id]: (each.forgotten_as, each.forgotten_everywhere_as) for each in forgotten}
    await identifiers.insert(connection, new, about, names)
    changed.anew((await conversations.sum_up(connection, touched, places)).all)
    if seen:
        changed.anew(await settle(connection, seen, pairs, seen, ids))


def _kind(each: Meant) -> Kind:
    return "user_id" if each.kind == "user_id" else "wa_id"
