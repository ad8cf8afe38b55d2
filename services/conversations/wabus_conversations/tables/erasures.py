"""Lines in time, as the kernel writes them down: who was forgotten, and up to when; and what is deleted for it.

Of a contact all at once; of an organisation, or an account, a little at a time: then `Cleared` says of whom.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import asyncpg
from wabus_runtime.postgres.database import Connection

from wabus_conversations.tables.media import wanted
from wabus_conversations.tables.messages import NARROW, Stored, stored_message

_AGAIN = 20  # lines that are read once more


class Line(NamedTuple):
    """A row of `erasures`."""

    identity: str
    at: datetime
    revision: int


async def lines_after(connection: asyncpg.Pool | Connection, revision: int) -> list[Line]:
    """The lines that were written after the one of this revision, and some before it.

    Of two who write lines at the same time, as workers and a rebuild do, one may commit the lower revision later.
    """
    rows = await connection.fetch(
        "SELECT identity, at, revision FROM erasures WHERE revision > $1 ORDER BY revision", revision - _AGAIN
    )
    return [Line(*row) for row in rows]


class Cleared(NamedTuple):
    """An organisation, or one of its accounts, of which nothing of before is kept."""

    org_id: str
    waba_id: str | None
    """None for the whole organisation."""
    until: datetime


class Meant(NamedTuple):
    """An identifier of somebody who is forgotten up to a moment."""

    identifier_id: str
    org_id: str
    scope: str
    kind: str
    value: str
    person_id: str
    forgotten_as: str
    forgotten_everywhere_as: str
    until: datetime


async def meant(connection: Connection, lines: Sequence[tuple[str, datetime]]) -> list[Meant]:
    """The identifiers of those who are forgotten by these lines: all that Meta ever linked with one of them.

    Who had a number before, or got it, is forgotten with it: what links people can't be kept of only one of them.
    """
    rows = await connection.fetch(
        """
        WITH forgotten AS (
            SELECT cluster, max(until) AS until FROM identifiers
            JOIN unnest($1::text[], $2::timestamptz[]) AS line(identity, until)
                ON identity IN (forgotten_as, forgotten_everywhere_as)
            GROUP BY cluster
        )
        SELECT identifier_id::text, org_id, scope, kind, value, person_id::text, forgotten_as,
            forgotten_everywhere_as, until
        FROM identifiers JOIN forgotten USING (cluster)
        """,
        [identity for identity, _ in lines],
        [until for _, until in lines],
    )
    return [Meant(*row) for row in rows]


async def delete(connection: Connection, forgotten: Sequence[Meant]) -> set[str]:
    """Delete what is of these people and no later, and return their conversations, which have to be summed up anew.

    Whoever calls this has locked all scopes.
    """
    ids, until = [each.identifier_id for each in forgotten], [each.until for each in forgotten]
    persons = {each.person_id: each.until for each in forgotten}
    rows = await connection.fetch(
        """
        WITH line AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[]) AS line(person_id, until))
        SELECT conversation_id::text, month, message_id::text FROM line
        JOIN conversations USING (person_id) JOIN messages AS m USING (conversation_id) WHERE m.at <= until
        UNION ALL
        SELECT conversation_id::text, month, message_id::text
        FROM unnest($3::uuid[], $4::timestamptz[], $5::text[]) AS line(id, until, org_id)
        JOIN conversations AS c ON c.org_id = line.org_id AND c.group_id IS NOT NULL
        JOIN messages AS m USING (conversation_id) WHERE id IN (m.wa_id, m.user_id) AND m.at <= until
        """,
        list(persons.keys()),
        list(persons.values()),
        ids,
        until,
        [each.org_id for each in forgotten],
    )
    await _delete_members(connection, forgotten)
    await delete_messages(connection, [(row[1], row[2]) for row in rows])
    await connection.execute(
        """
        DELETE FROM identity_evidence USING unnest($1::uuid[], $2::timestamptz[]) AS line(id, until)
        WHERE id IN (first, second) AND at <= until
        """,
        ids,
        until,
    )
    await connection.execute(
        """
        DELETE FROM contact_facts USING unnest($1::uuid[], $2::timestamptz[]) AS line(id, until)
        WHERE identifier_id = id AND at <= until
        """,
        ids,
        until,
    )
    await delete_former(connection, ids)
    return {row[0] for row in rows}


async def delete_messages(connection: Connection, places: Sequence[tuple[date, str]]) -> None:
    """Delete messages with their statuses and media, for good: what is heard of them later is not kept either."""
    if not places:
        return
    months, ids = map(list, zip(*sorted(places), strict=True))
    await wanted.delete(connection, ids)
    await connection.execute("UPDATE message_places SET gone = true WHERE message_id = ANY($1) AND NOT gone", ids)
    for table in ("message_statuses", "messages"):
        await connection.execute(
            f"""
            DELETE FROM {table} AS old USING unnest($1::date[], $2::uuid[]) AS gone(month, id)
            WHERE old.month = gone.month AND message_id = id
            """,  # noqa: S608
            months,
            ids,
        )


async def _delete_members(connection: Connection, forgotten: Sequence[Meant]) -> None:
    """Delete what these people were as members of groups: that each got a message, and read it."""
    await connection.execute(
        """
        DELETE FROM message_statuses AS held
        USING unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS line(id, until, org_id)
            JOIN conversations AS c ON c.org_id = line.org_id AND c.group_id IS NOT NULL
            JOIN messages AS m USING (conversation_id)
        WHERE held.month = m.month AND held.message_id = m.message_id AND held.participant <> ''
            AND line.id IN (held.wa_id, held.user_id) AND held.at <= line.until
        """,
        [each.identifier_id for each in forgotten],
        [each.until for each in forgotten],
        [each.org_id for each in forgotten],
    )


async def left(connection: Connection, persons: Sequence[str]) -> list[Stored]:
    """The messages that are left of persons."""
    rows = await connection.fetch(
        f"""
        SELECT {NARROW} FROM messages AS m JOIN conversations USING (conversation_id) WHERE person_id = ANY($1)
        """,  # noqa: S608
        persons,
    )
    return [stored_message(row) for row in rows]


async def rename(connection: Connection, moved: Sequence[tuple[Stored, str]], instead: Mapping[str, str]) -> None:
    """Write messages with the identifiers that they have now, each into its conversation, and so their statuses."""
    if not moved:
        return
    months = [stored.month for stored, _ in moved]
    messages = [stored.message for stored, _ in moved]
    await connection.execute(
        """
        UPDATE messages SET conversation_id = new.conversation_id, wa_id = new.wa_id, user_id = new.user_id
        FROM unnest($1::date[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[])
            AS new(month, id, conversation_id, wa_id, user_id)
        WHERE messages.month = new.month AND message_id = new.id
        """,
        months,
        [message.message_id for message in messages],
        [conversation_id for _, conversation_id in moved],
        [message.whose.wa_id for message in messages],
        [message.whose.user_id for message in messages],
    )
    for column in ("wa_id", "user_id"):
        await connection.execute(
            f"""
            UPDATE message_statuses AS held SET {column} = new.id
            FROM unnest($1::date[], $2::uuid[]) AS place(month, message_id),
                unnest($3::uuid[], $4::uuid[]) AS new(old, id)
            WHERE held.month = place.month AND held.message_id = place.message_id AND held.{column} = new.old
            """,  # noqa: S608
            months,
            [message.message_id for message in messages],
            list(instead.keys()),
            list(instead.values()),
        )


async def delete_identifiers(connection: Connection, identifiers: Sequence[str], persons: Sequence[str]) -> None:
    """Delete identifiers and persons of whom nothing is left."""
    await connection.execute("DELETE FROM identifiers WHERE identifier_id = ANY($1)", identifiers)
    await connection.execute("DELETE FROM persons WHERE person_id = ANY($1)", persons)
    await connection.execute("DELETE FROM identity_evidence WHERE first = ANY($1)", identifiers)
    await connection.execute("DELETE FROM identity_evidence WHERE second = ANY($1)", identifiers)
    await connection.execute("DELETE FROM contact_facts WHERE identifier_id = ANY($1)", identifiers)


async def accounts(connection: asyncpg.Pool | Connection) -> list[tuple[str, str | None]]:
    """All of whom anything may be there: accounts, each with its organisation, and organisations that have said how
    long their messages are kept, or what their teams are, or of which something has changed."""
    rows = await connection.fetch(
        """
        WITH RECURSIVE told AS (
            SELECT min(org_id) AS org_id FROM changes
            UNION ALL SELECT (SELECT min(org_id) FROM changes WHERE org_id > told.org_id)
            FROM told WHERE told.org_id IS NOT NULL
        )
        SELECT org_id, waba_id FROM scopes UNION SELECT org_id, NULL FROM retention
        UNION SELECT org_id, NULL FROM told WHERE org_id IS NOT NULL
        UNION SELECT org_id, NULL FROM work_settings ORDER BY 1, 2
        """
    )
    return [(row[0], row[1]) for row in rows]


async def has_accounts(connection: Connection, org_id: str) -> bool:
    """Whether anything may be there of any account of an organisation."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM scopes WHERE org_id = $1)", org_id) or False


async def some_messages(connection: Connection, cleared: Cleared, limit: int) -> list[tuple[str, date, str]]:
    """Some messages of before: conversation, month and id.

    A number that has moved to another account may have its conversations there: of two the greater.
    """
    rows = await connection.fetch(
        """
        SELECT conversation_id::text, month, message_id::text FROM conversations JOIN LATERAL (
            SELECT month, message_id FROM messages AS m
            WHERE m.conversation_id = conversations.conversation_id AND m.at <= $3
                AND ($2::text IS NULL OR m.waba_id = $2)
            LIMIT $4
        ) AS old ON true
        WHERE org_id = $1 AND first_at <= $3 AND ($2::text IS NULL OR waba_id >= $2) LIMIT $4
        """,
        cleared.org_id,
        cleared.waba_id,
        cleared.until,
        limit,
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def without_older(connection: Connection, cleared: Cleared, conversation_ids: Iterable[str]) -> list[str]:
    """Those of the conversations that have no message of before any more."""
    rows = await connection.fetch(
        """
        SELECT id::text FROM unnest($1::uuid[]) AS one(id) WHERE NOT EXISTS (
            SELECT FROM messages AS m WHERE m.conversation_id = id AND m.at <= $3
                AND ($2::text IS NULL OR m.waba_id = $2)
        )
        """,
        sorted(set(conversation_ids)),
        cleared.waba_id,
        cleared.until,
    )
    return [row[0] for row in rows]


_FACTS = """
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM {table} WHERE org_id = $1 AND at <= $3 AND ($2::text IS NULL OR waba_id = $2) LIMIT $4
    ))
"""


async def delete_facts(connection: Connection, cleared: Cleared, limit: int) -> int:
    """Delete some of what was told beside messages: facts, names in an address book, how far a history has come.

    Returns how many.
    """
    asked = (cleared.org_id, cleared.waba_id, cleared.until, limit)
    done = [
        await connection.execute(_FACTS.format(table="contact_facts"), *asked),
        await connection.execute(_FACTS.format(table="histories"), *asked),
        await connection.execute(
            """
            UPDATE identifiers SET book_name = NULL, book_at = NULL, book_waba_id = NULL
            WHERE identifier_id = ANY(ARRAY(
                SELECT identifier_id FROM identifiers
                WHERE org_id = $1 AND book_waba_id IS NOT NULL AND book_at <= $3
                    AND ($2::text IS NULL OR book_waba_id = $2)
                LIMIT $4
            ))
            """,
            *asked,
        ),
    ]
    if cleared.waba_id is None:
        await connection.execute("DELETE FROM retention WHERE org_id = $1 AND at <= $2", cleared.org_id, cleared.until)
    return sum(int(each.rpartition(" ")[2]) for each in done)


Page = tuple[str, str]
"""The last identifier of a page: its value and its id."""
FIRST_PAGE: Page = ("", "00000000-0000-0000-0000-000000000000")


async def page_of_identifiers(
    connection: Connection, cleared: Cleared, after: Page, limit: int
) -> tuple[list[str], Page | None]:
    """Some identifiers that were seen before, and where the next page begins, if there is one."""
    rows = await connection.fetch(
        """
        SELECT value, identifier_id::text, first_seen <= $4 FROM identifiers
        WHERE org_id = $1 AND (value, identifier_id) > ($2, $3::uuid) ORDER BY value, identifier_id LIMIT $5
        """,
        cleared.org_id,
        *after,
        cleared.until,
        limit,
    )
    last = (rows[-1][0], rows[-1][1]) if len(rows) == limit else None
    return [row[1] for row in rows if row[2]], last


class Linked(NamedTuple):
    """An identifier among all that was ever linked with it."""

    cluster: str
    first_seen: datetime


async def with_clusters(connection: asyncpg.Pool | Connection, identifiers: Sequence[str]) -> dict[str, Linked]:
    """These identifiers and all that was ever linked with them."""
    rows = await connection.fetch(
        """
        SELECT identifier_id::text, cluster::text, first_seen FROM identifiers
        WHERE cluster IN (SELECT cluster FROM identifiers WHERE identifier_id = ANY($1))
        """,
        identifiers,
    )
    return {row[0]: Linked(row[1], row[2]) for row in rows}


async def named_since(connection: Connection, cleared: Cleared, identifiers: Sequence[str]) -> dict[str, datetime]:
    """Those of an organisation's identifiers by which anybody is named afterwards, and when first.

    `identifiers` are with all that is linked with them: the id of a person is one of theirs.
    """
    rows = await connection.fetch(
        """
        WITH threads AS (
            SELECT m.month, m.message_id, m.wa_id, m.user_id, m.at FROM conversations AS c
            JOIN messages AS m USING (conversation_id)
            WHERE c.org_id = $1 AND (c.person_id = ANY($2) OR c.group_id IS NOT NULL)
        )
        SELECT id::text, min(at) FROM (
            SELECT unnest(ARRAY[wa_id, user_id]), at FROM threads
            UNION ALL SELECT unnest(ARRAY[s.wa_id, s.user_id]), s.at FROM threads
                JOIN message_statuses AS s ON s.month = threads.month AND s.message_id = threads.message_id
            UNION ALL SELECT identifier_id, at FROM contact_facts WHERE identifier_id = ANY($2)
            UNION ALL SELECT identifier_id, book_at FROM identifiers WHERE identifier_id = ANY($2) AND book_name <> ''
            UNION ALL SELECT first, at FROM identity_evidence WHERE first = ANY($2)
            UNION ALL SELECT second, at FROM identity_evidence WHERE second = ANY($2)
        ) AS named(id, at) WHERE id = ANY($2) AND at > $3 GROUP BY id
        """,
        cleared.org_id,
        identifiers,
        cleared.until,
    )
    return dict(map(tuple, rows))


async def named_at_all(
    connection: asyncpg.Pool | Connection, org_id: str, identifiers: Sequence[str]
) -> dict[str, bool]:
    """Those of an organisation's identifiers by which anybody is named, and whether more than links name them."""
    rows = await connection.fetch(
        """
        WITH in_groups AS MATERIALIZED (
            SELECT month, message_id, m.wa_id, m.user_id
            FROM conversations AS c JOIN messages AS m USING (conversation_id)
            WHERE c.org_id = $1 AND c.group_id IS NOT NULL
        ), of_groups AS MATERIALIZED (
            SELECT unnest(ARRAY[wa_id, user_id]) AS id FROM in_groups
            UNION SELECT unnest(ARRAY[s.wa_id, s.user_id]) FROM in_groups JOIN message_statuses AS s
                ON s.month = in_groups.month AND s.message_id = in_groups.message_id
        )
        SELECT id::text, named, linked FROM unnest($2::uuid[]) AS one(id) CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM contact_facts WHERE identifier_id = id)
                OR EXISTS (SELECT FROM identifiers WHERE identifier_id = id AND book_name <> '')
                OR EXISTS (
                    SELECT FROM identifiers AS own JOIN identifiers AS other USING (cluster)
                    JOIN conversations AS c ON c.person_id = other.identifier_id
                    JOIN messages AS m USING (conversation_id)
                    WHERE own.identifier_id = id AND (id IN (m.wa_id, m.user_id) OR EXISTS (
                        SELECT FROM message_statuses AS s WHERE s.month = m.month AND s.message_id = m.message_id
                            AND id IN (s.wa_id, s.user_id)
                    ))
                )
                OR id IN (SELECT of_groups.id FROM of_groups WHERE of_groups.id IS NOT NULL) AS named,
                EXISTS (SELECT FROM identity_evidence WHERE first = id)
                    OR EXISTS (SELECT FROM identity_evidence WHERE second = id) AS linked
        ) AS found WHERE named OR linked
        """,
        org_id,
        identifiers,
    )
    return {row[0]: row[1] for row in rows}


async def delete_links(connection: Connection, cleared: Cleared, identifiers: Sequence[str]) -> None:
    """Delete what linked an organisation's identifiers before, and the ids that they had before."""
    for column in ("first", "second"):
        await connection.execute(
            f"DELETE FROM identity_evidence WHERE {column} = ANY($1) AND at <= $2",  # noqa: S608
            identifiers,
            cleared.until,
        )
    await delete_former(connection, identifiers)


async def delete_former(connection: Connection, identifiers: Sequence[str]) -> None:
    """Delete the ids that lead to conversations of these identifiers."""
    await connection.execute("DELETE FROM former_conversations WHERE identifier_id = ANY($1)", identifiers)


async def unlink(connection: Connection, kept: Mapping[str, tuple[str, datetime]], *, all_pairs: bool) -> None:
    """Let whose these identifiers are follow from what is left: each with its cluster, and when it was first seen.

    What they came together with stays known where that is among them, unless it is `all_pairs` that are gone.
    """
    ids = list(kept)
    await connection.execute(
        """
        UPDATE identifiers AS held SET cluster = new.cluster, first_seen = new.first_seen,
            paired = CASE WHEN paired = ANY($1) AND NOT $4 THEN paired END,
            paired_at = CASE WHEN paired = ANY($1) AND NOT $4 THEN paired_at END,
            contested = kind = 'wa_id'
        FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS new(id, cluster, first_seen)
        WHERE identifier_id = new.id
        """,
        ids,
        [cluster for cluster, _ in kept.values()],
        [first_seen for _, first_seen in kept.values()],
        all_pairs,
    )


async def delete_scopes(connection: Connection, cleared: Cleared) -> bool:
    """Delete the scopes of accounts of which nothing is there any more; whether there was any."""
    rows = await connection.fetch(
        """
        DELETE FROM scopes AS s WHERE org_id = $1 AND ($2::text IS NULL OR waba_id = $2)
            AND NOT EXISTS (SELECT FROM conversations AS c WHERE (c.org_id, c.waba_id) = (s.org_id, s.waba_id))
            AND NOT EXISTS (SELECT FROM contact_facts AS f WHERE (f.org_id, f.waba_id) = (s.org_id, s.waba_id))
            AND NOT EXISTS (SELECT FROM histories AS h WHERE (h.org_id, h.waba_id) = (s.org_id, s.waba_id))
            AND NOT EXISTS (SELECT FROM identifiers AS i WHERE (i.org_id, i.book_waba_id) = (s.org_id, s.waba_id))
            AND ($2 IS NOT NULL OR NOT EXISTS (SELECT FROM persons AS p WHERE p.org_id = s.org_id))
        RETURNING 1
        """,
        cleared.org_id,
        cleared.waba_id,
    )
    return bool(rows)
