"""Whose is what, worked out anew with all evidence at hand, and what is changed by that: persons, threads, sums.

Whoever calls this has locked the scopes against everybody else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.identity import Evidence, People, Seen, Together

from wabus_conversations.tables import conversations
from wabus_conversations.tables.identifiers import COLUMNS, insert_persons
from wabus_conversations.tables.messages import NARROW, Stored, stored_message
from wabus_conversations.threads.clusters import KnownIdentifier, evidence_of, needs_every_item
from wabus_conversations.threads.fold import place_of
from wabus_conversations.threads.gathering import Explicit
from wabus_conversations.threads.ids import Ids
from wabus_conversations.threads.summary import Place


class _Row(NamedTuple):
    known: KnownIdentifier
    org_id: str


@dataclass(slots=True)
class _Settled:
    people: People
    rows: dict[str, _Row]
    clusters: dict[str, str]
    contested: set[str]
    pairs: dict[str, tuple[datetime, str]]
    """Of numbers: since when they came with which user id and no other."""
    moved: set[str] = field(default_factory=set[str])
    """Persons whose threads may have changed."""


async def settle(
    connection: Connection,
    identifiers: Iterable[str],
    pairs: Mapping[tuple[str, str], datetime],
    fresh: Iterable[str],
    ids: Ids,
) -> Mapping[str, str]:
    """Settle whose these identifiers are, and all that Meta ever linked with them.

    `pairs` are numbers and user ids that came together now; what is `fresh` nobody has seen yet. Returns the
    conversations that have got messages by that, or lost some, each with its organisation.
    """
    settled = await _people(connection, identifiers, pairs)
    await _write_identifiers(connection, settled)
    return await _write_threads(connection, settled, set(fresh), ids)


async def _people(
    connection: Connection, identifiers: Iterable[str], pairs: Mapping[tuple[str, str], datetime]
) -> _Settled:
    found = await connection.fetch(
        f"""
        SELECT {COLUMNS}, org_id FROM identifiers WHERE cluster IN (
            SELECT cluster FROM identifiers WHERE identifier_id = ANY($1)
        ) FOR UPDATE
        """,  # noqa: S608
        sorted(set(identifiers)),
    )
    rows = {row[0]: _Row(KnownIdentifier(*row[1:-1]), row[-1]) for row in found}
    told = await connection.fetch(
        """
        SELECT kind, first::text, second::text, at FROM identity_evidence WHERE first = ANY($1)
        UNION SELECT kind, first::text, second::text, at FROM identity_evidence WHERE second = ANY($1)
        """,
        list(rows),
    )
    users = {identifier for identifier, row in rows.items() if row.known.kind == "user_id"}
    evidence = evidence_of((Explicit(*row) for row in told), users)
    evidence += [Together(at, number, user) for (number, user), at in pairs.items() if number in rows]
    evidence += [
        Together(row.known.paired_at, identifier, row.known.paired)
        for identifier, row in rows.items()
        if row.known.paired and row.known.paired_at
    ]
    contested = {identifier for identifier, row in rows.items() if row.known.contested} | needs_every_item(evidence)
    evidence += await _items(connection, contested)
    seen = {identifier: Seen(row.known.first_seen, identifier in users) for identifier, row in rows.items()}
    people = People(evidence, seen)
    runs = {number: run for number in rows.keys() - users if (run := people.last_run(number))}
    return _Settled(people, rows, _clusters(rows, evidence), needs_every_item(evidence), runs)


async def _items(connection: Connection, numbers: set[str]) -> list[Evidence]:
    """Each message and status that named these numbers together with a user id."""
    if not numbers:
        return []
    rows = await connection.fetch(
        """
        SELECT at, wa_id::text, user_id::text FROM messages
        WHERE wa_id = ANY($1) AND user_id IS NOT NULL AND source > 1
        UNION SELECT at, wa_id::text, user_id::text FROM message_statuses
        WHERE wa_id = ANY($1) AND user_id IS NOT NULL
        """,
        sorted(numbers),
    )
    return [Together(*row) for row in rows]


def _clusters(rows: Mapping[str, _Row], evidence: Iterable[Evidence]) -> dict[str, str]:
    """All that was ever linked, by the least of its identifiers."""
    linked: dict[str, str] = {}

    def root(each: str) -> str:
        while each in linked:
            each = linked[each]
        return each

    def link(one: str, other: str) -> None:
        least, most = sorted((root(one), root(other)))
        if least != most:
            linked[most] = least

    for identifier, row in rows.items():
        if row.known.cluster in rows:
            link(identifier, row.known.cluster)
    for each in evidence:
        named = [part for part in _named(each) if part in rows]
        for other in named[1:]:
            link(named[0], other)
    return {identifier: root(identifier) for identifier in rows}


def _named(evidence: Evidence) -> list[str]:
    match evidence:
        case Together(number=number, user=user):
            return [number, user]
        case _:
            return [
                part
                for name in evidence.__dataclass_fields__
                if name != "at" and (part := getattr(evidence, name)) is not None
            ]


async def _write_identifiers(connection: Connection, settled: _Settled) -> None:
    people = settled.people
    changed: list[tuple[object, ...]] = []
    persons: dict[str, tuple[str, str, datetime]] = {}
    newest = max((row.known.first_seen for row in settled.rows.values()), default=None)
    for identifier, row in sorted(settled.rows.items()):
        known, person = row.known, people.first(identifier)
        holder = people.holder(identifier, _ever(newest))
        persons[person] = row.org_id, known.scope, people.first_seen(person)
        paired_at, paired = settled.pairs.get(identifier, (None, None))
        new = (
            settled.clusters[identifier],
            person,
            holder,
            people.first_seen(identifier),
            paired,
            paired_at,
            identifier in settled.contested,
        )
        old = known[1:-1]
        if new != old:
            changed.append((identifier, *new))
        if (known.person_id, known.holder_id) != (person, holder) or identifier in settled.contested:
            settled.moved |= {known.person_id, known.holder_id, person, holder}
    if changed:
        await connection.execute(
            """
            UPDATE identifiers SET cluster = new.cluster, person_id = new.person_id, holder_id = new.holder_id,
                first_seen = new.first_seen, paired = new.paired, paired_at = new.paired_at,
                contested = new.contested
            FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::uuid[],
                $7::timestamptz[], $8::boolean[])
                AS new(id, cluster, person_id, holder_id, first_seen, paired, paired_at, contested)
            WHERE identifier_id = new.id
            """,
            *map(list, zip(*changed, strict=True)),
        )
    await insert_persons(connection, persons)
    former = {row.known.person_id for row in settled.rows.values()} - persons.keys()
    await connection.execute("DELETE FROM persons WHERE person_id = ANY($1)", sorted(former))


def _ever(newest: datetime | None) -> datetime:
    """After all evidence."""
    return datetime.max.replace(tzinfo=newest.tzinfo if newest else None)


async def _write_threads(connection: Connection, settled: _Settled, fresh: set[str], ids: Ids) -> Mapping[str, str]:
    """Let each message of these persons be in the thread of whose it is."""
    if not settled.moved:
        return {}
    rows = await connection.fetch(
        f"""
        SELECT {NARROW} FROM messages AS m JOIN conversations USING (conversation_id)
        WHERE conversations.person_id = ANY($1)
        """,  # noqa: S608
        sorted(settled.moved),
    )
    places: dict[str, Place] = {}
    moving: list[tuple[date, str, str]] = []
    touched: dict[str, set[str]] = {}
    moving_at: list[tuple[datetime, str, str]] = []
    for stored in map(stored_message, rows):
        place = _place(stored, settled, ids)
        if place is None or place.conversation_id == stored.conversation_id:
            continue
        places[place.conversation_id] = place
        moving.append((stored.month, stored.message.message_id, place.conversation_id))
        moving_at.append((stored.message.at, stored.conversation_id, place.conversation_id))
        touched.setdefault(stored.conversation_id, set()).add(place.conversation_id)
    if not moving:
        return {}
    await connection.execute(
        """
        UPDATE messages SET conversation_id = new.conversation_id
        FROM unnest($1::date[], $2::uuid[], $3::uuid[]) AS new(month, id, conversation_id)
        WHERE messages.month = new.month AND message_id = new.id
        """,
        *map(list, zip(*moving, strict=True)),
    )
    await connection.execute(
        """
        INSERT INTO former_conversations (conversation_id, org_id, phone_number_id, identifier_id)
        SELECT conversation_id, org_id, phone_number_id, person_id FROM conversations
        WHERE conversation_id = ANY($1) AND NOT person_id = ANY($2)
        ON CONFLICT DO NOTHING
        """,
        sorted(touched),
        sorted(fresh),
    )
    last = sorted(moving_at, key=lambda each: each[0])
    moved = {gone: stays for _, gone, stays in last}
    return (await conversations.sum_up(connection, touched.keys() | places.keys(), places, moved)).all


def _place(stored: Stored, settled: _Settled, ids: Ids) -> Place | None:
    """Where a message is now; None where that is not for these persons to say."""
    whose = stored.message.whose
    identifier = whose.user_id or whose.wa_id
    if identifier not in settled.rows:
        return None
    return place_of(stored.message, settled.people.holder, ids)
