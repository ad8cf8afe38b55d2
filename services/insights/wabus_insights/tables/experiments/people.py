"""Who is in which arm, and what they did: rows that are only added to until a person is counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_insights.experiments.merging import Person, merged

MOST_LINKED = 100  # identifiers of one person


class Key(NamedTuple):
    """An identifier of a person as it is kept, with the names under which it is forgotten."""

    key: UUID
    forgotten_as: str
    forgotten_everywhere_as: str


class Draw(NamedTuple):
    """Somebody is in an arm, by their identifiers: the first is what was hashed."""

    experiment_id: UUID
    keys: Sequence[Key]
    arm: str
    epoch: int | None
    """None where they were in it before."""
    at: datetime
    send_id: UUID | None
    draw_id: UUID
    """By which Meta tells what a platform has sent by itself."""


class SignRow(NamedTuple):
    """Something that somebody did, or that happened to a message."""

    key: UUID
    sign: str
    at: datetime
    org_id: str
    forgotten_as: str | None
    forgotten_everywhere_as: str | None


async def organisations(connection: Connection, org_ids: Sequence[str]) -> set[str]:
    """Those of some organisations that have an experiment which is not decided."""
    rows = await connection.fetch(
        "SELECT DISTINCT org_id FROM experiments WHERE org_id = ANY($1) AND decided_at IS NULL", org_ids
    )
    return {row["org_id"] for row in rows}


async def draw(connection: Connection, draws: Sequence[Draw]) -> None:
    """Write down who is in which arm, in the order of the log: the first draw of a person counts.

    Whoever is named once, for the first time and by nothing that is linked with anybody, touches nobody else: they are
    written together, which is most of them.
    """
    if not draws:
        return
    rows = await connection.fetch(
        "SELECT experiment_id FROM experiments WHERE experiment_id = ANY($1)",
        list({each.experiment_id for each in draws}),
    )
    experiments = {row["experiment_id"] for row in rows}
    draws = [each for each in draws if each.experiment_id in experiments]
    named = Counter(key.key for each in draws for key in each.keys)
    rows = await connection.fetch(
        """
        SELECT key FROM experiment_keys WHERE key = ANY($1) UNION SELECT key FROM experiment_links WHERE key = ANY($1)
        """,
        list(named),
    )
    known = {row["key"] for row in rows}
    alone = [
        each
        for each in draws
        if each.epoch is not None and all(named[key.key] == 1 and key.key not in known for key in each.keys)
    ]
    await _write_new(connection, alone)
    places = {id(each) for each in alone}
    for each in draws:
        if id(each) not in places:
            await _draw(connection, each)


async def _write_new(connection: Connection, draws: Sequence[Draw]) -> None:
    people = [(each.experiment_id, each.keys[0].key, each.arm, each.epoch, each.at) for each in draws]
    keys: list[tuple[object, ...]] = []
    for each in draws:
        about = each.experiment_id, each.keys[0].key
        for key in each.keys:
            drawn = key is each.keys[0]
            keys.append((key.key, *about, drawn, key.forgotten_as, key.forgotten_everywhere_as, each.at))
        keys.extend((of, *about, False, None, None, each.at) for of in (each.send_id, each.draw_id) if of)
    if people:
        await connection.execute(
            """
            INSERT INTO experiment_people (experiment_id, person, arm, epoch, drawn_at, draws)
            SELECT experiment_id, person, arm, epoch, at, ARRAY[epoch]
            FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::timestamptz[])
                AS new(experiment_id, person, arm, epoch, at)
            ON CONFLICT DO NOTHING
            """,
            *map(list, zip(*people, strict=True)),
        )
        await connection.execute(
            """
            INSERT INTO experiment_keys
                (key, experiment_id, person, drawn, forgotten_as, forgotten_everywhere_as, at)
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::boolean[], $5::text[], $6::text[],
                $7::timestamptz[])
            ON CONFLICT DO NOTHING
            """,
            *map(list, zip(*keys, strict=True)),
        )


async def link(connection: Connection, org_id: str, pairs: Sequence[tuple[Key, Key, datetime]]) -> None:
    """Write down that two identifiers are of one person, and let whoever is in an experiment by both be one."""
    new = await connection.fetch(
        """
        INSERT INTO experiment_links AS held (key, other, org_id, forgotten_as, forgotten_everywhere_as,
            other_forgotten_as, other_forgotten_everywhere_as, at)
        SELECT DISTINCT ON (key, other) key, other, $1, forgotten_as, everywhere_as, other_as, other_everywhere_as, at
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::timestamptz[])
            AS told(key, forgotten_as, everywhere_as, other, other_as, other_everywhere_as, at)
        ORDER BY key, other, at ON CONFLICT DO NOTHING RETURNING key, other
        """,
        org_id,
        *map(
            list, zip(*[(*one, *other, when) for a, b, when in pairs for one, other in ((a, b), (b, a))], strict=True)
        ),
    )
    for key in await _of_several(connection, [row["key"] for row in new if row["key"] < row["other"]]):
        keys = await _linked(connection, [key])
        for experiment_id, persons in (await _experiments_of(connection, keys)).items():
            await _unite(connection, experiment_id, sorted(persons))


async def _of_several(connection: Connection, keys: Sequence[UUID]) -> list[UUID]:
    """Those of some identifiers by which, and by what is linked with them, several are in one experiment."""
    if not keys:
        return []
    most = MOST_LINKED * len(keys)
    rows = await connection.fetch(
        """
        WITH RECURSIVE known AS (
            SELECT root, root AS key FROM unnest($1::uuid[]) AS root
            UNION SELECT known.root, link.other FROM known JOIN experiment_links AS link USING (key)
        ), named AS MATERIALIZED (
            SELECT root, key FROM known LIMIT $2
        )
        SELECT root, 0 AS found FROM (
            SELECT root, experiment_id FROM named JOIN experiment_keys USING (key)
            GROUP BY 1, 2 HAVING count(DISTINCT person) > 1
        ) AS several
        UNION ALL SELECT NULL, count(*) FROM named
        """,
        list(keys),
        most,
    )
    if any(row["root"] is None and row["found"] >= most for row in rows):
        return list(keys)  # so many are linked that not all were looked at
    several = {row["root"] for row in rows}
    return [key for key in keys if key in several]


async def become(connection: Connection, known: Sequence[tuple[UUID, UUID]]) -> None:
    """Write down which message a send of an experiment has become."""
    if known:
        await connection.execute(
            """
            INSERT INTO experiment_keys (key, experiment_id, person, at)
            SELECT told.message_id, held.experiment_id, held.person, held.at
            FROM unnest($1::uuid[], $2::uuid[]) AS told(send_id, message_id)
            JOIN experiment_keys AS held ON held.key = told.send_id
            ON CONFLICT DO NOTHING
            """,
            *map(list, zip(*known, strict=True)),
        )


async def sign(connection: Connection, signs: Sequence[SignRow]) -> None:
    """Write down what was done, by whom and when."""
    if signs:
        await connection.execute(
            """
            INSERT INTO experiment_signs (key, sign, at, org_id, forgotten_as, forgotten_everywhere_as)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
            ON CONFLICT DO NOTHING
            """,
            *map(list, zip(*signs, strict=True)),
        )


async def arm_of(pool: asyncpg.Pool, experiment_id: UUID, keys: Sequence[UUID]) -> tuple[str, UUID] | None:
    """The arm that a person is in, and what they are kept as there; None if they are in none.

    By any of their identifiers and what is linked with these.
    """
    row = await pool.fetchrow(
        """
        WITH RECURSIVE known AS (
            SELECT unnest($2::uuid[]) AS key
            UNION SELECT link.other FROM known JOIN experiment_links AS link USING (key)
        )
        SELECT arm, held.person FROM (SELECT key FROM known LIMIT $3) AS named
        JOIN experiment_keys AS keys ON keys.key = named.key AND keys.experiment_id = $1
        JOIN experiment_people AS held ON held.experiment_id = $1 AND held.person = keys.person
        ORDER BY drawn_at LIMIT 1
        """,
        experiment_id,
        keys,
        MOST_LINKED,
    )
    return (row["arm"], row["person"]) if row else None


async def _draw(connection: Connection, drawn: Draw) -> None:
    keys = [key.key for key in drawn.keys]
    unit = keys[0]
    is_new_unit = not await connection.fetchval(
        "SELECT drawn FROM experiment_keys WHERE key = $1 AND experiment_id = $2", unit, drawn.experiment_id
    )
    persons = await _persons(connection, drawn.experiment_id, await _linked(connection, keys))
    if drawn.epoch is not None and is_new_unit:
        await connection.execute(
            """
            INSERT INTO experiment_people (experiment_id, person, arm, epoch, drawn_at, draws)
            VALUES ($1, $2, $3, $4, $5, ARRAY[$4::int]) ON CONFLICT DO NOTHING
            """,
            drawn.experiment_id, unit, drawn.arm, drawn.epoch, drawn.at,
        )  # fmt: skip
        await connection.execute(
            """
            INSERT INTO experiment_keys AS held
                (key, experiment_id, person, drawn, forgotten_as, forgotten_everywhere_as, at)
            VALUES ($1, $2, $1, true, $3, $4, $5) ON CONFLICT (key, experiment_id) DO UPDATE SET drawn = true
            """,
            unit, drawn.experiment_id, drawn.keys[0].forgotten_as, drawn.keys[0].forgotten_everywhere_as, drawn.at,
        )  # fmt: skip
        await _add_key(connection, drawn.draw_id, drawn.experiment_id, unit, None, drawn.at)
        persons = [*persons, unit]
    if not persons:
        return
    person = await _unite(connection, drawn.experiment_id, persons)
    for key in drawn.keys:
        await _add_key(connection, key.key, drawn.experiment_id, person, key, drawn.at)
    if drawn.send_id:
        await _add_key(connection, drawn.send_id, drawn.experiment_id, person, None, drawn.at)


async def _unite(connection: Connection, experiment_id: UUID, persons: Sequence[UUID]) -> UUID:
    """Let people who turn out to be one be one; who that is."""
    distinct = list(dict.fromkeys(persons))
    if len(distinct) == 1:
        return distinct[0]
    rows = await connection.fetch(
        """
        SELECT person, arm, epoch, drawn_at, draws, excluded, counted_at IS NOT NULL AS counted
        FROM experiment_people WHERE experiment_id = $1 AND person = ANY($2) ORDER BY drawn_at, person FOR UPDATE
        """,
        experiment_id,
        distinct,
    )
    known = {row["person"]: Person(row["arm"], tuple(row["draws"]), row["excluded"], row["counted"]) for row in rows}
    first, *others = list(known)
    kept, gone = merged(known[first], [known[each] for each in others])
    for person, left in zip(others, gone, strict=True):
        if left is not None:
            # Counted already: it stays what was counted, and whoever is not counted yet is not counted any more.
            await connection.execute(
                "UPDATE experiment_people SET excluded = $3 WHERE experiment_id = $1 AND person = $2",
                experiment_id, person, left.excluded,
            )  # fmt: skip
            continue
        await connection.execute(
            "UPDATE experiment_keys SET person = $3 WHERE experiment_id = $1 AND person = $2",
            experiment_id, person, first,
        )  # fmt: skip
        await connection.execute(
            "DELETE FROM experiment_people WHERE experiment_id = $1 AND person = $2", experiment_id, person
        )
    await connection.execute(
        "UPDATE experiment_people SET draws = $3, excluded = $4 WHERE experiment_id = $1 AND person = $2",
        experiment_id, first, list(kept.draws), kept.excluded,
    )  # fmt: skip
    return first


async def _persons(connection: Connection, experiment_id: UUID, keys: Sequence[UUID]) -> list[UUID]:
    """The people whose these identifiers are, the one who was drawn first before the others."""
    rows = await connection.fetch(
        """
        SELECT person, min(drawn_at) AS at FROM experiment_keys JOIN experiment_people USING (experiment_id, person)
        WHERE experiment_id = $1 AND key = ANY($2) GROUP BY person ORDER BY at, person
        """,
        experiment_id,
        keys,
    )
    return [row["person"] for row in rows]


async def _linked(connection: Connection, keys: Sequence[UUID]) -> list[UUID]:
    """These identifiers, and all others of the same people."""
    rows = await connection.fetch(
        """
        WITH RECURSIVE known AS (
            SELECT unnest($1::uuid[]) AS key
            UNION SELECT link.other FROM known JOIN experiment_links AS link USING (key)
        )
        SELECT key FROM known LIMIT $2
        """,
        keys,
        MOST_LINKED,
    )
    return [row["key"] for row in rows]


async def _experiments_of(connection: Connection, keys: Sequence[UUID]) -> Mapping[UUID, list[UUID]]:
    rows = await connection.fetch(
        "SELECT DISTINCT experiment_id, person FROM experiment_keys WHERE key = ANY($1)", keys
    )
    found: dict[UUID, list[UUID]] = {}
    for row in rows:
        found.setdefault(row["experiment_id"], []).append(row["person"])
    return found


async def _add_key(
    connection: Connection, key: UUID, experiment_id: UUID, person: UUID, named: Key | None, at: datetime | None = None
) -> None:
    await connection.execute(
        """
        INSERT INTO experiment_keys (key, experiment_id, person, forgotten_as, forgotten_everywhere_as, at)
        VALUES ($1, $2, $3, $4, $5, coalesce($6, now())) ON CONFLICT DO NOTHING
        """,
        key, experiment_id, person, named and named.forgotten_as, named and named.forgotten_everywhere_as, at,
    )  # fmt: skip
