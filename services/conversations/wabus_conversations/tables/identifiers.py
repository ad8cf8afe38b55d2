"""Rows of identifiers and persons: read, inserted where they are new, moved back in time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from wabus_runtime.postgres.database import Connection

from wabus_conversations.threads.clusters import KnownIdentifier, New
from wabus_conversations.threads.gathering import Explicit, Identifier

COLUMNS = """
    identifier_id::text, kind, cluster::text, person_id::text, holder_id::text, first_seen, paired::text, paired_at,
    contested, scope
"""


async def known(connection: Connection, identifiers: Iterable[str]) -> dict[str, KnownIdentifier]:
    """Those of the identifiers that are in the table."""
    rows = await connection.fetch(
        f"SELECT {COLUMNS} FROM identifiers WHERE identifier_id = ANY($1)",  # noqa: S608
        list(identifiers),
    )
    return {row[0]: KnownIdentifier(*row[1:]) for row in rows}


async def insert(
    connection: Connection,
    new: Sequence[New],
    identifiers: Mapping[str, Identifier],
    forgotten_as: Mapping[str, tuple[str, str]],
) -> set[str]:
    """Insert identifiers with their persons; those that somebody else has inserted meanwhile are left as they are.

    Returns those that are new indeed.
    """
    if not new:
        return set()
    ordered = sorted(new)
    about = [identifiers[each.identifier_id] for each in ordered]
    rows = await connection.fetch(
        """
        INSERT INTO identifiers (
            identifier_id, forgotten_as, forgotten_everywhere_as, org_id, scope, kind, value, first_seen, cluster,
            person_id, holder_id, paired, paired_at
        )
        SELECT identifier_id, forgotten_as, forgotten_everywhere_as, org_id, scope, kind, value, first_seen, cluster,
            person_id, person_id, paired, paired_at
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
            $8::timestamptz[], $9::uuid[], $10::uuid[], $11::uuid[], $12::timestamptz[])
            AS new(identifier_id, forgotten_as, forgotten_everywhere_as, org_id, scope, kind, value, first_seen,
                cluster, person_id, paired, paired_at)
        ON CONFLICT (identifier_id) DO NOTHING
        RETURNING identifier_id::text
        """,
        [each.identifier_id for each in ordered],
        [forgotten_as[each.identifier_id][0] for each in ordered],
        [forgotten_as[each.identifier_id][1] for each in ordered],
        [each.org_id for each in about],
        [each.scope for each in about],
        [each.kind for each in about],
        [each.value for each in about],
        [each.first_seen for each in ordered],
        [each.cluster for each in ordered],
        [each.person_id for each in ordered],
        [each.paired for each in ordered],
        [each.paired_at for each in ordered],
    )
    inserted = {row[0] for row in rows}
    persons = {
        each.person_id: (at.org_id, at.scope, each.first_seen)
        for each, at in zip(ordered, about, strict=True)
        if each.identifier_id == each.person_id and each.identifier_id in inserted
    }
    await insert_persons(connection, persons)
    return inserted


async def insert_persons(connection: Connection, persons: Mapping[str, tuple[str, str, datetime]]) -> None:
    """Insert persons, or set since when they are known: by their id the organisation, the scope, and that."""
    ordered = sorted(persons.items())
    await connection.execute(
        """
        INSERT INTO persons (person_id, org_id, scope, first_seen)
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[])
        ON CONFLICT (person_id) DO UPDATE SET first_seen = excluded.first_seen
            WHERE persons.first_seen <> excluded.first_seen
        """,
        [person for person, _ in ordered],
        [org_id for _, (org_id, _, _) in ordered],
        [scope for _, (_, scope, _) in ordered],
        [first_seen for _, (_, _, first_seen) in ordered],
    )


async def move_back(
    connection: Connection, earlier: Mapping[str, datetime], paired_earlier: Mapping[str, datetime]
) -> None:
    """Let identifiers have been seen, and paired, earlier than was known."""
    if earlier:
        ordered = sorted(earlier.items())
        await connection.execute(
            """
            WITH moved AS (
                UPDATE identifiers AS held SET first_seen = least(held.first_seen, new.at)
                FROM unnest($1::uuid[], $2::timestamptz[]) AS new(id, at) WHERE held.identifier_id = new.id
                RETURNING held.identifier_id, held.first_seen
            )
            UPDATE persons SET first_seen = moved.first_seen FROM moved WHERE person_id = identifier_id
            """,
            *map(list, zip(*ordered, strict=True)),
        )
    if paired_earlier:
        ordered = sorted(paired_earlier.items())
        await connection.execute(
            """
            UPDATE identifiers AS held SET paired_at = least(held.paired_at, new.at)
            FROM unnest($1::uuid[], $2::timestamptz[]) AS new(id, at) WHERE held.identifier_id = new.id
            """,
            *map(list, zip(*ordered, strict=True)),
        )


async def insert_evidence(connection: Connection, evidence: Iterable[Explicit]) -> None:
    """Keep what was told of identifiers, each once."""
    ordered = sorted(evidence)
    if ordered:
        await connection.execute(
            """
            INSERT INTO identity_evidence (kind, first, second, at)
            SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[]) ON CONFLICT DO NOTHING
            """,
            *map(list, zip(*ordered, strict=True)),
        )
